"""The chart that compares searches, which reports do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fama_fast.report.figures import BLUE, GREEN, ORANGE, PINK, finished, thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLOURS = [BLUE, ORANGE, GREEN, PINK, "#56B4E9", "#D55E00", "#8a7f00", "#777777"]  # Okabe and Ito (2008)


def searches(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    """Line chart of the best training RankIC among admitted factors over candidates proposed, one line a run."""
    import altair as alt

    data = [
        {"run": run, "tried": rows[i]["tried"], "best": rows[i]["best"]}
        for run, rows in curves.items()
        for i in thinned(rows)
    ]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_line(interpolate="step-after", point=True)
        .encode(
            x=alt.X("tried:Q", title="candidates tried", axis=alt.Axis(tickCount=6)),
            y=alt.Y("best:Q", title="best RankIC admitted, training"),
            color=alt.Color(
                "run:N",
                title=None,
                sort=list(curves),
                scale=alt.Scale(range=_COLOURS),
                legend=alt.Legend(orient="bottom", columns=1, labelLimit=300),
            ),
            tooltip=["run:N", "tried:Q", alt.Tooltip("best:Q", format=".4f")],
        )
    )
    return finished(
        chart,
        f"Line chart: best training RankIC of {len(curves)} runs over the candidates they tried.",
        width="container",
        height=260,
    )
