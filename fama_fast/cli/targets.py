"""Options that say what is predicted, shared by `score`, `mine` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fama_fast.target import Target

TargetReturns = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="EXPR",
        help="Returns to predict, in which LEAD(x, d) is x as it will be d rows later, as in "
        "'LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1' (docs/target.md).  [default: the close's]",
        show_default=False,
    ),
]
Neutralize = Annotated[
    list[str] | None,
    typer.Option(
        "--neutralize",
        metavar="NAME|EXPR",
        help="Group or expression whose part is taken out of what is predicted; repeat for several.",
        show_default=False,
    ),
]
TradableBar = Annotated[
    str | None,
    typer.Option(
        "--tradable",
        metavar="EXPR|a-share",
        help="Condition on the bar of the entry; where it is false nothing is predicted: 'HIGH > LOW && VOLUME > 0'.",
        show_default=False,
    ),
]
Winsorize = Annotated[
    float | None,
    typer.Option(
        "--winsorize",
        metavar="SHARE",
        help="Share of each date's labels held in at either end, such as 0.01.",
        show_default=False,
    ),
]


def target_given(
    base: Target | None,
    *,
    returns: str | None,
    neutralize: list[str] | None,
    tradable: str | None,
    winsorize: float | None,
    dialect: str = "fama",
) -> Target | None:
    """The target of a run (None without one), with what options say laid over it; None where nothing says anything.

    Raises:
        ConfigError, ExpressionError: what the options say makes no sense.
    """
    from fama_fast.target import Target

    said: dict[str, Any] = {"neutralize": neutralize or None, "tradable": tradable, "winsorize": winsorize}
    said = {name: value for name, value in said.items() if value is not None}
    if returns is None and not said:
        return base
    own = {} if base is None else base.as_dict()
    if returns is not None:
        for name in ("column", "reach", "horizons", "entry_lag"):
            own.pop(name, None)
        said["returns"] = returns
    if dialect != "fama":
        said["dialect"] = dialect
    return Target.read({**own, **said})
