"""`ff.export`: factors on their way out, as texts of other systems or as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fama_fast import notebook_html as html
from fama_fast.arguments import shown
from fama_fast.atomic import atomic_write
from fama_fast.engine import Alpha, compile_recorded, evaluate
from fama_fast.errors import ConfigError, DataError, nearest_name, shortened
from fama_fast.evaluation.alphalens import to_alphalens
from fama_fast.exporting.brain_settings import brain_settings
from fama_fast.exporting.files import write_texts
from fama_fast.exporting.translate import LANGUAGES, MEANINGS, Translation, translate
from fama_fast.library import Factor
from fama_fast.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    import polars as pl


To = Literal["brain", "qlib", "alphalens", "csv", "parquet"]
KINDS: tuple[str, ...] = ("brain", "qlib", "alphalens", "csv", "parquet")
PERIODS = (1, 5, 10)


@dataclass(frozen=True)
class Exported:
    """What became of the factors.

    Attributes:
        to: the kind. translations: of texts, in the order of the factors. frames: alphalens's `factor_data` by the
            name of the factor. files: what was written.
    """

    to: str
    translations: tuple[Translation, ...] = ()
    frames: Mapping[str, pd.DataFrame] | None = None
    files: tuple[Path, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The texts that there are, by the name of the factor."""
        return {item.name: item.text for item in self.translations if item.said}

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Why a factor has no text: each operator and field for which the language has no words."""
        return {item.name: item.cannot for item in self.translations if not item.said}

    def table(self) -> pl.DataFrame:
        """One row a translation: name, formula, text (null where there is none), meaning, cannot, differs, needs."""
        import polars as pl

        rows = [
            (t.name, t.formula, t.text or None, t.meaning, list(t.cannot), list(t.differs), list(t.needs))
            for t in self.translations
        ]
        texts = pl.List(pl.String)
        schema = {"name": pl.String, "formula": pl.String, "text": pl.String, "meaning": pl.String}
        return pl.DataFrame(rows, {**schema, "cannot": texts, "differs": texts, "needs": texts}, orient="row")

    def __repr__(self) -> str:
        if self.translations:
            return f"Exported({len(self.texts)} of {len(self.translations)} factors said in {self.to})"
        count = len(self.files) or len(self.frames or {})
        return f"Exported({self.to}: {count} {'file' if self.files else 'frame'}{'s' * (count != 1)})"

    def _repr_html_(self) -> str:
        rows = [
            [shortened(t.text or t.formula, 200), MEANINGS[t.meaning], "; ".join((*t.cannot, *t.differs))]
            for t in self.translations
        ]
        table = html.table(["text", "meaning", "what differs or cannot be said"], rows, texts=3) if rows else ""
        return html.card(repr(self), {"files": ", ".join(map(str, self.files)) or None}, table)


def export(
    factors: Any,
    to: To,
    output: str | Path | None = None,
    *,
    data: Any = None,
    names: Sequence[str] | None = None,
    fields: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    entry_lag: int | None = None,
    periods: Sequence[int] = PERIODS,
    quantiles: int = 5,
    group: str | None = None,
    min_coverage: float | None = None,
) -> Exported:
    """Write factors for another system: texts for BRAIN or qlib, `factor_data` for alphalens, values as CSV or Parquet.

    What is exported is the factor as it points upwards, whatever was proposed. A text is read back by the package's
    reader of that language and computed beside the formula; what that language cannot say is named, and so is
    what it says otherwise.

    Args:
        factors: a factor set, a factor, an alpha, a text in our language, a list of these, or a result of `mine`.
        to: "brain", "qlib", "alphalens", "csv" or "parquet".
        output: texts: `.txt` or `.json`; values: a file of that ending; alphalens: a `.parquet` file of one factor or
            a folder of several. None: texts and alphalens come back alone; values need it.
        data: a panel or what `load_market_data` takes: what values are computed on; texts are compared on it besides.
        names: of the factors, by default their canonical texts.
        fields: what the other system's data call fields and groups, by our name: `{"AMOUNT": "turnover"}`.
        settings: of BRAIN, such as `{"universe": "TOP500", "decay": 4}`. entry_lag: of the factors' scores: BRAIN's
            delay, and when alphalens's returns begin (0 when not given, as alphalens has it).
        periods, quantiles, group: of `to_alphalens`. min_coverage: of `evaluate`.

    Raises:
        ConfigError: an unknown kind or setting, an option of another kind, no output. DataError: nothing to export, two
            factors of one name, no data. ExpressionError: a text that is no formula. OutputError: cannot be written.
    """
    if to not in KINDS:
        near = nearest_name(str(to), KINDS)
        raise ConfigError(
            f"cannot export to {shown(to)}{f' (did you mean {near}?)' if near else ''}: {', '.join(KINDS)}"
        )
    alphas = _alphas(factors)
    called = _names(alphas, names)
    if settings and to != "brain":
        raise ConfigError(f"settings are BRAIN's, and this is an export to {to}")
    if fields and to not in LANGUAGES:
        raise ConfigError(f"fields are names in another system's texts, and an export to {to} has none")
    if to in ("brain", "qlib"):
        chosen = brain_settings(settings or {}, entry_lag=entry_lag) if to == "brain" else None
        found = translate(alphas, called, to, fields=fields, data=None if data is None else _panel(data))
        files = () if output is None else (write_texts(output, to, found, chosen),)
        return Exported(to, tuple(found), None, files)
    if data is None:
        raise DataError(f"an export to {to} is of values: give the data that they are computed on")
    if to == "alphalens":
        returns = {"periods": periods, "quantiles": quantiles, "group": group, "entry_lag": entry_lag or 0}
        return _alphalens(alphas, called, _panel(data), output, min_coverage, returns)
    if output is None:
        raise ConfigError(f"say which file the values go to: output='values.{to}'")
    place = Path(output)
    if place.suffix.lower() != f".{to}":
        raise ConfigError(f"an export to {to} ends in .{to}, and the output is {place}")
    evaluate(alphas, data, output=place, names=called, min_coverage=min_coverage)
    return Exported(to, (), None, (place,))


def _alphas(factors: Any) -> list[Alpha]:
    """The alphas of whatever was given.

    Raises:
        DataError: there are none, or something else. ExpressionError: a text that is no formula.
    """
    own = getattr(factors, "factors", factors)  # a result of `mine`
    items: Iterable[Any] = [own] if isinstance(own, str | Factor | Alpha) or not hasattr(own, "__iter__") else own
    alphas = []
    for item in items:
        if isinstance(item, Alpha):
            alphas.append(item)
        elif isinstance(item, Factor):
            alphas.append(compile_recorded(item.expression, dialect=item.provenance.get("dialect", "fama")))
        elif isinstance(item, str):
            alphas.append(compile_recorded(item))
        else:
            raise DataError(f"a factor is a Factor, an Alpha or a text, not {shown(item)}")
    if not alphas:
        raise DataError("there is no factor to export")
    return alphas


def _names(alphas: Sequence[Alpha], names: Sequence[str] | None) -> list[str]:
    called = [a.canonical for a in alphas] if names is None else [str(name) for name in names]
    if len(called) != len(alphas):
        raise ConfigError(f"there are {len(alphas)} factors and {len(called)} names")
    twice = next((name for at, name in enumerate(called) if name in called[:at]), None)
    if twice is not None:
        raise DataError(f"two factors are called {twice!r}: leave one out, or give names")
    return called


def _panel(data: Any) -> Panel:
    from fama_fast.data import load_market_data

    return data if isinstance(data, Panel) else load_market_data(data)


def _alphalens(
    alphas: Sequence[Alpha],
    names: Sequence[str],
    panel: Panel,
    output: str | Path | None,
    min_coverage: float | None,
    returns: Mapping[str, Any],
) -> Exported:
    frames: dict[str, pd.DataFrame] = {}
    files: list[Path] = []
    place = None if output is None else Path(output)
    one = place is not None and place.suffix.lower() == ".parquet"
    if place is not None and place.suffix and not one:
        raise ConfigError(f"factor_data is written as .parquet or into a folder, and the output is {place}")
    if one and len(alphas) > 1:
        raise ConfigError(f"{place} would hold one factor's factor_data, and there are {len(alphas)}: give a folder")
    width = len(str(len(alphas)))
    for at, (name, values) in enumerate(
        zip(names, evaluate(list(alphas), panel, min_coverage=min_coverage), strict=True), start=1
    ):
        frame = to_alphalens(values, panel, **returns)
        frame.attrs["factor"] = name
        frames[name] = frame
        if place is not None:
            file = place if one else place / f"factor_{at:0{width}d}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as temporary:
                frame.to_parquet(temporary)
            files.append(file)
    return Exported("alphalens", (), frames, tuple(files))
