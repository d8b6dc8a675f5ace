"""`Target`: what is predicted, said once for labels, splits, gates, pool and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fama_fast.arguments import shown, whole
from fama_fast.data.labels import MIN_MEMBERS, Sessions, check_days, label_exits, label_span, read_horizon
from fama_fast.engine.chunks import Loaded
from fama_fast.errors import ConfigError, UnknownName, listed, nearest_name, shortened
from fama_fast.lang import get_dialect, parse_recorded
from fama_fast.target import a_share
from fama_fast.target.beta import Beta
from fama_fast.target.controls import NAME, neutral_of
from fama_fast.target.labels import TargetLabels
from fama_fast.target.needs import needs
from fama_fast.target.returns import ColumnReturns, LeadReturns, leads_of
from fama_fast.target.rows import LabelRows, ReturnLabels
from fama_fast.target.settings import read_beta, read_horizons, read_text, read_texts, read_winsorize
from fama_fast.target.tradable import Tradable, is_preset

if TYPE_CHECKING:
    from fama_fast.data.labels import Horizon
    from fama_fast.engine.alpha import Alpha
    from fama_fast.panel import Panel
    from fama_fast.panel.source import Source
    from fama_fast.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Target:
    """What is predicted. Without arguments the close's return over one row, entered a row later.

    The steps have this order: returns (or column); only dates that are scored; only bars that can be entered;
    winsorize; beta; neutralize. Where one of the last three is asked for, non-members of a universe have no label.

    Attributes:
        returns: an expression in which alone `LEAD(x, d)` exists, x as it will be d rows later:
            `LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1`. How far it looks ahead is computed. A price of zero or below is no
            price.
        column: in place of it a column of the data that is the label. reach: how many rows that looks ahead, at most.
        horizons: rows (or sessions, "1 session") that the close is held; several are several labels. Of `returns` and
            `column` it follows, see `held`.
        entry_lag: rows from knowing to entering. None: the nearest row that `returns` looks at, else 1 (0 of a column
            that looks one row ahead).
        neutralize: names of groups and expressions known at t, of which the label is made independent: the residual of
            each date's least-squares regression on an intercept, group dummies and the expressions' values. Cells that
            lack one, and dates with no more cells than parameters, have no label.
        beta: less the market's part: beta times the mean label of the date, beta being the slope of RET on the members'
            mean over so many days up to t (True: 60), of which half must be there; a member or not by then.
        winsorize: share of a date's labels held in at either end, such as 0.01.
        tradable: a condition on the bar of the entry, such as `HIGH > LOW && VOLUME > 0`, or "a-share": where it is
            false or missing there is no label.
        dialect: of the expressions.

    Raises:
        ConfigError: settings that make no sense, or contradict one another. ExpressionError: an expression that is not
            in the language. The names are looked up when the data are there.
    """

    returns: str | None = None
    column: str | None = None
    reach: int | None = None
    horizons: tuple[Horizon, ...] | None = None
    entry_lag: int | None = None
    neutralize: tuple[str, ...] = ()
    beta: int | None = None
    winsorize: float | None = None
    tradable: str | None = None
    dialect: str = "fama"
    _ahead: tuple[int, int] = field(default=(0, 0), init=False, repr=False, compare=False)
    _at_close: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        get_dialect(self.dialect)
        for name in ("returns", "column", "tradable"):
            read_text(getattr(self, name), name)
        self._put("neutralize", read_texts(self.neutralize, "neutralize"))
        self._put("horizons", read_horizons(self.horizons))
        self._put("beta", read_beta(self.beta))
        self._put("winsorize", read_winsorize(self.winsorize))
        if self.entry_lag is not None:
            self._put("entry_lag", check_days(self.entry_lag, "entry_lag", 0))
        self._check_column()
        if self.returns is not None:
            leads = leads_of(self.returns, self.dialect)
            self._put("_ahead", (leads.first, leads.last))
            self._put("_at_close", leads.entered == ("CLOSE",))
            if self.entry_lag is not None and self.entry_lag != leads.first:
                raise ConfigError(
                    f"entry_lag is {self.entry_lag}, but the nearest row that the returns {shortened(self.returns)} "
                    f"look at is {leads.first} ahead: keep one"
                )
        if self.horizons is not None and not self.is_plain:
            what = "column" if self.returns is None else "returns"
            raise ConfigError(f"horizons are those of the close's returns: leave them out, the target has {what}")
        condition = [] if self.tradable is None or is_preset(self.tradable) else [self.tradable]
        for text in (*condition, *(t for t in self.neutralize if not NAME.match(t))):
            parse_recorded(text, dialect=self.dialect)

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_column(self) -> None:
        if self.column is None:
            if self.reach is not None:
                raise ConfigError("reach is that of a column; how far returns look ahead is computed")
            return
        if self.returns is not None:
            raise ConfigError("a target has returns or a column, not both")
        if self.reach is None:
            raise ConfigError(f"the target's column {self.column} needs reach: how many rows it looks ahead, such as 5")
        self._put("reach", check_days(self.reach, "reach", 1))
        if self.entry >= check_days(self.reach, "reach", 1):
            raise ConfigError(f"entry_lag is {self.entry}, but the column looks {self.reach} rows ahead")

    @classmethod
    def read(cls, value: Target | str | Mapping[str, Any] | None) -> Target:
        """A target as it is, of its returns alone, or of a mapping of its arguments; None is the plain one.

        Raises:
            ConfigError: something else, or an argument that there is not.
        """
        if isinstance(value, Target):
            return value
        if isinstance(value, str):
            return cls(returns=value)
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            raise ConfigError(f"a target is a Target, its returns, or a mapping of its settings, not {shown(value)}")
        known = [f.name for f in fields(cls) if f.init]
        for name in value:
            if name not in known:
                near = nearest_name(str(name), known)
                hint = f"did you mean {near}?" if near else f"it has {', '.join(known)}"
                raise ConfigError(f"a target has no {shown(name)}: {hint}")
        return cls(**value)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], horizon: int, entry_lag: int) -> Target:
        """A target of a configuration, with what its splits say: a horizon and an entry lag of 1 there say nothing.

        Raises:
            As `Target` and `with_short_form`.
        """
        own = cls.read({name: value for name, value in settings.items() if value is not None})
        return own.with_short_form(None if horizon == 1 else [horizon], None if entry_lag == 1 else entry_lag)

    @property
    def is_plain(self) -> bool:
        """Whether it is made of the close's returns."""
        return self.returns is None and self.column is None

    @property
    def is_default(self) -> bool:
        """Whether there is nothing but horizons and an entry lag."""
        steps = (self.neutralize, self.beta, self.winsorize, self.tradable)
        return self.is_plain and not any(steps)

    @property
    def entry(self) -> int:
        """Rows from knowing to entering."""
        if self.entry_lag is not None:
            return self.entry_lag
        if self.column is not None:
            return min(1, int(self.reach or 1) - 1)
        return self._ahead[0] if self.returns is not None else 1

    @property
    def keys(self) -> tuple[int | Sessions, ...]:
        """What each label is known by: its horizon, or how many rows it is held."""
        if self.is_plain:
            return tuple(read_horizon(h) for h in self.horizons or (1,))
        return (max(1, self._last - self.entry),)

    @property
    def _last(self) -> int:
        return self._ahead[1] if self.returns is not None else int(self.reach or 0)

    def held(self, sessions: IntArray) -> dict[int | Sessions, int]:
        """Rows that the position of each label is held, by its key; of sessions the most that one is.

        sessions: (T,) number of each row's session (`Panel.sessions`).
        """
        return {
            h: h if isinstance(h, int) else max(1, label_span(sessions, h, self.entry) - self.entry) for h in self.keys
        }

    def overlap(self, sessions: IntArray) -> dict[int | Sessions, int]:
        """Rows over which neighbouring labels may share returns, by key: what statistics of a series allow for."""
        return {h: h if isinstance(h, int) else label_span(sessions, h, self.entry) for h in self.keys}

    def ahead(self, sessions: IntArray) -> dict[int | Sessions, int]:
        """Rows that each label looks ahead at most, by its key."""
        if not self.is_plain:
            return {self.keys[0]: self._last}
        return {h: label_span(sessions, h, self.entry) for h in self.keys}

    def rows_ahead(self, sessions: IntArray) -> int:
        """Rows that the target looks ahead at most: what is purged between splits."""
        return max(self.ahead(sessions).values())

    def with_short_form(self, horizons: Sequence[Horizon] | None, entry_lag: int | None) -> Target:
        """With horizons and entry lag that were given beside it, None where they were not.

        Raises:
            ConfigError: they contradict the target.
        """
        out = self
        if horizons is not None:
            given = tuple(read_horizon(h) for h in horizons)
            if (not self.is_plain or self.horizons is not None) and given != self.keys:
                raise ConfigError(
                    f"the horizon {' and '.join(map(str, given))} contradicts the target, which holds "
                    f"{' and '.join(map(str, self.keys))}: keep one"
                )
            out = replace(out, horizons=given) if self.is_plain else out
        if entry_lag is not None and entry_lag != self.entry:
            if self.entry_lag is not None or self.returns is not None:
                raise ConfigError(
                    f"the entry lag {entry_lag} contradicts the target, which enters after {self.entry}: keep one"
                )
            out = replace(out, entry_lag=entry_lag)
        return out

    def over_one_row(self) -> Target:
        """The same held one row: itself where it is, else of the close's returns."""
        if self.keys == (1,) and self.column is None:
            return self
        return replace(self, returns=None, column=None, reach=None, horizons=(1,), entry_lag=self.entry)

    def untouched(self) -> Target:
        """The same without any step: what a position earns."""
        return replace(self, neutralize=(), beta=None, winsorize=None, tradable=None)

    def as_dict(self) -> dict[str, Any]:
        """What was set, as plain data; `Target.read` takes it."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.init and value != f.default:
                many = isinstance(value, tuple)
                out[f.name] = [str(v) if isinstance(v, Sessions) else v for v in value] if many else value
        return out

    # With data

    def needs(self) -> list[Alpha]:
        """Alphas whose fields, groups and lookbacks are what must be loaded; every name is taken as a column."""
        texts = [(text, self.dialect) for text in self.neutralize]
        if self.tradable is not None:
            preset = is_preset(self.tradable)
            texts += [(f, "fama") for f in a_share.FIELDS] if preset else [(self.tradable, self.dialect)]
        if self.beta is not None:
            texts.append((f"TS_SUM(RET, {self.beta})", "fama"))
        if self.is_plain or self.column is not None:
            texts.append((self.column or "CLOSE", "fama"))
        return needs(texts, self.returns, self.dialect)

    def labels(self, source: Source, *, min_members: int = MIN_MEMBERS) -> dict[int | Sessions, LabelRows]:
        """The labels by key, made ready for some data; none looks behind their last row.

        Raises:
            ExpressionError: a name that the data lack, with the nearest one. DataError: data that a preset does not
            fit. ConfigError: a position that a preset does not allow.
        """
        least = whole(min_members, "min_members", 0)
        tradable = None
        if self.tradable is not None:
            tradable = Tradable.of(self.tradable, self.dialect, source, at_close=self.is_plain or self._at_close)
            if is_preset(self.tradable):
                self._check_sessions(source.sessions)
        steps: dict[str, Any] = {
            "dates": len(source.dates),
            "entry_lag": self.entry,
            "min_members": least,
            "tradable": tradable,
            "winsorize": self.winsorize,
            "beta": None if self.beta is None else Beta.of(self.beta, source),
            "neutral": neutral_of(self.neutralize, self.dialect, source),
        }
        if self.returns is not None:
            return {self.keys[0]: TargetLabels(LeadReturns.of(self.returns, self.dialect, source), **steps)}
        if self.column is not None:
            assert self.reach is not None
            return {self.keys[0]: TargetLabels(ColumnReturns.of(self.column, self.reach, source), **steps)}
        if "CLOSE" not in source:
            raise UnknownName(
                f"the data has no field 'CLOSE' (it has {listed(source.fields)})",
                suggestion=nearest_name("CLOSE", source.fields),
            )
        plain = {h: ReturnLabels.of(source, h, self.entry, min_members=least) for h in self.keys}
        if self.is_default:
            return dict(plain)
        return {h: TargetLabels(returns, **steps) for h, returns in plain.items()}

    def values(
        self,
        panel: Panel,
        horizon: Horizon | None = None,
        *,
        min_members: int = MIN_MEMBERS,
        threads: int | None = None,
    ) -> FloatArray:
        """(T, N) labels of a panel, NaN where there is none.

        Args:
            horizon: which one, of several. min_members: dates on which a universe has fewer members have no label.

        Raises:
            As `labels`. ConfigError: there are several horizons, and none or another one is named.
        """
        key = self._key(horizon)
        whole_panel = Loaded(0, len(panel.dates), [(0, panel)], 0, counted=False)
        return self.labels(panel, min_members=min_members)[key].rows(whole_panel, 0, len(panel.dates), threads)

    def enterable(self, panel: Panel, *, threads: int | None = None) -> BoolArray | None:
        """(T, N) whether the position of each date could be entered; None without a condition."""
        if self.tradable is None:
            return None
        found = next(iter(self.labels(panel).values()))
        assert isinstance(found, TargetLabels)
        whole_panel = Loaded(0, len(panel.dates), [(0, panel)], 0, counted=False)
        return found.enterable(whole_panel, 0, len(panel.dates), threads)

    def _key(self, horizon: Horizon | None) -> int | Sessions:
        if horizon is None:
            if len(self.keys) > 1:
                raise ConfigError(f"the target has the horizons {', '.join(map(str, self.keys))}: say which one")
            return self.keys[0]
        key = read_horizon(horizon)
        if key not in self.keys:
            raise ConfigError(f"the target has no horizon {key}: it has {', '.join(map(str, self.keys))}")
        return key

    def _check_sessions(self, sessions: IntArray) -> None:
        rows = np.arange(sessions.size)
        for key, last in self.ahead(sessions).items():
            exits = label_exits(sessions, key, self.entry) if self.is_plain else rows + last
            a_share.check_sessions(sessions, rows + self.entry, exits)
