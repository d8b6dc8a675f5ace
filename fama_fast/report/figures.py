"""The figures of a report, as Vega-Lite specifications made with altair.

Each function takes plain data and returns one chart with a description for screen readers. Colours are those of Okabe
and Ito (2008), told apart by people who see fewer; text is drawn in the page's own colour, so one figure serves light
and dark. Texts from factors (names, formulas) are data of the chart: Vega draws them, nothing reads them as code or
markup. It knows no page and no store.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

BLUE, ORANGE, GREEN, PINK = "#2f81c7", "#E69F00", "#009E73", "#CC79A7"
WIDTH, HEIGHT = 360, 200
_POINTS = 260  # a line needs no more on a page
_BARS = 30


def finished(chart: Any, description: str, *, width: int | str = WIDTH, height: int = HEIGHT) -> alt.TopLevelMixin:
    """The chart with its size, its description for screen readers, and the colours of the page."""
    plain = chart.properties(width=width, height=height, description=description)
    out: alt.TopLevelMixin = (
        plain.configure(background="transparent", font="inherit")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="currentColor",
            titleColor="currentColor",
            domainColor="currentColor",
            tickColor="currentColor",
            gridColor="#8884",
            labelLimit=220,
        )
        .configure_legend(
            labelColor="currentColor",
            titleColor="currentColor",
            labelLimit=300,
            symbolLimit=60,
            symbolBaseFillColor="currentColor",
        )
        .configure_title(color="currentColor", anchor="start")
    )
    return out


def number(value: Any) -> float | None:
    """The value as a finite float, or None: JSON has no NaN."""
    if value is None:
        return None
    out = float(value)
    return out if math.isfinite(out) else None


def thinned(values: Any, points: int = _POINTS) -> list[int]:
    """Indices of at most about `points` entries, evenly spread, the last one included."""
    n = len(values)
    step = max(1, -(-n // points))
    picked = list(range(0, n, step))
    if n and picked[-1] != n - 1:
        picked.append(n - 1)
    return picked


def cumulative_rank_ic(
    series: Mapping[str, Any], dates: Any, *, tested_from: Any = None, trained_to: str | None = None
) -> alt.TopLevelMixin:
    """Chart of the running sum of daily RankIC, one line a factor; a rule where the test split begins, and dates shaded
    that lie before a model's training ended."""
    import altair as alt

    days = [str(d)[:10] for d in np.asarray(dates)]
    rows = []
    for name, daily in series.items():
        total = np.nancumsum(np.asarray(daily, dtype=np.float64))
        known = np.flatnonzero(np.isfinite(np.asarray(daily, dtype=np.float64)))
        if not known.size:
            continue
        first, last = int(known[0]), int(known[-1])
        rows += [
            {"date": days[first + i], "total": round(float(total[first + i]), 4), "factor": name}
            for i in thinned(range(first, last + 1))
        ]
    shown = sorted(str(r["date"]) for r in rows) or [days[0], days[-1]]
    pick = alt.selection_point(fields=["factor"], bind="legend")
    line = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=1.5)
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("total:Q", title="running sum of RankIC"),
            color=alt.Color("factor:N", title=None, scale=alt.Scale(scheme="tableau20"), sort=list(series)),
            opacity=alt.condition(pick, alt.value(0.95), alt.value(0.12)),
            tooltip=[alt.Tooltip("factor:N"), alt.Tooltip("date:T"), alt.Tooltip("total:Q", format="+.2f")],
        )
        .add_params(pick)
    )
    chart: Any = line
    if tested_from is not None:
        rule = (
            alt.Chart(alt.InlineData(values=[{"date": str(tested_from)[:10]}]))
            .mark_rule(strokeDash=[5, 4], color="#888", strokeWidth=1.5)
            .encode(x=alt.X("date:T"), tooltip=alt.value("the test split begins"))
        )
        chart = line + rule
    seen = ""
    if trained_to is not None and shown[0] < trained_to:
        end = min(trained_to, shown[-1])
        shade = (
            alt.Chart(alt.InlineData(values=[{"from": shown[0], "to": end}]))
            .mark_rect(color="#888", opacity=0.15)
            .encode(
                x=alt.X("from:T"),
                x2=alt.X2("to:T"),
                tooltip=alt.value(f"the model was trained on texts to {trained_to}"),
            )
        )
        chart = shade + chart
        seen = f" Dates to {end} are shaded: the model may have read about them."
    return finished(
        chart,
        f"Line chart: running sum of daily RankIC of {len(series)} factors from {shown[0]} to {shown[-1]}.{seen}",
        width="container",
        height=300,
    )


def by_period(rows: Sequence[Mapping[str, Any]]) -> alt.TopLevelMixin:
    """Bar chart of RankIC by year, in colour by its sign."""
    import altair as alt

    data = [{"year": r["period"], "rank_ic": number(r["rank_ic"]), "days": r["n_days"]} for r in rows]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_bar()
        .encode(
            x=alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("rank_ic:Q", title="RankIC"),
            color=_either("datum.rank_ic < 0", ORANGE, BLUE),
            tooltip=[alt.Tooltip("year:O"), alt.Tooltip("rank_ic:Q", format="+.4f"), alt.Tooltip("days:Q")],
        )
    )
    return finished(chart, "Bar chart: mean RankIC by year. " + _in_text(data, "year", "rank_ic"))


def by_group(rows: Sequence[Mapping[str, Any]], what: str) -> alt.TopLevelMixin:
    """Horizontal bar chart of RankIC within sectors or liquidity buckets; of many groups those with the most
    members."""
    import altair as alt

    largest = {r["group"] for r in sorted(rows, key=lambda r: -r["members"])[:_BARS]}
    data = [
        {"group": r["group"], "rank_ic": number(r["rank_ic"]), "t": number(r["rank_ic_t"])}
        for r in rows
        if r["group"] in largest
    ]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_bar()
        .encode(
            y=alt.Y("group:N", title=None, sort=[r["group"] for r in data]),
            x=alt.X("rank_ic:Q", title="RankIC"),
            color=_either("datum.rank_ic < 0", ORANGE, BLUE),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("rank_ic:Q", format="+.4f"),
                alt.Tooltip("t:Q", format="+.1f"),
            ],
        )
    )
    figures = _in_text(data, "group", "rank_ic")
    of = f" (the {len(data)} largest of {len(rows)})" if len(rows) > len(data) else ""
    return finished(chart, f"Bar chart: RankIC within each {what}{of}. {figures}", height=max(80, 20 * len(data)))


def quantiles(rows: Sequence[Mapping[str, Any]]) -> alt.TopLevelMixin:
    """Bar chart of the annual return of each quantile bucket less the mean of all."""
    import altair as alt

    data = [{"quantile": r["quantile"], "excess": number(r["annual_excess"])} for r in rows]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_bar()
        .encode(
            x=alt.X("quantile:O", title="quantile (1 is lowest)", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("excess:Q", title="annual return over the mean", axis=alt.Axis(format="+.0%")),
            color=_either("datum.excess < 0", ORANGE, BLUE),
            tooltip=[alt.Tooltip("quantile:O"), alt.Tooltip("excess:Q", format="+.2%")],
        )
    )
    return finished(chart, "Bar chart: annual excess return by quantile. " + _in_text(data, "quantile", "excess"))


def decay(curve: Sequence[float], half_life: float | None) -> alt.TopLevelMixin:
    """Line chart of RankIC with one-day returns entered later and later."""
    import altair as alt

    data = [{"days": k, "rank_ic": number(v)} for k, v in enumerate(curve)]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_line(point=True, color=GREEN)
        .encode(
            x=alt.X("days:Q", title="days waited"),
            y=alt.Y("rank_ic:Q", title="RankIC of that day"),
            tooltip=[alt.Tooltip("days:Q"), alt.Tooltip("rank_ic:Q", format="+.4f")],
        )
    )
    half = number(half_life)
    reached = "the half-life is not reached" if half is None else f"the half-life is {half:.1f} days"
    return finished(chart, f"Line chart: RankIC by days waited before entering; {reached}.")


def cost_curve(portfolios: Mapping[str, Mapping[str, Any]]) -> alt.TopLevelMixin:
    """Line chart of the annual return of each portfolio at each one-way cost."""
    import altair as alt

    data = [
        {"portfolio": name, "cost": level["cost_bp"], "annual": number(level["annual_return"])}
        for name, performance in portfolios.items()
        for level in performance["costs"]
    ]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_line(point=True)
        .encode(
            x=alt.X("cost:Q", title="one-way cost, basis points"),
            y=alt.Y("annual:Q", title="annual return", axis=alt.Axis(format="+.0%")),
            color=alt.Color(
                "portfolio:N", title=None, scale=alt.Scale(range=[BLUE, ORANGE, GREEN]), legend=alt.Legend(orient="top")
            ),
            tooltip=[alt.Tooltip("portfolio:N"), alt.Tooltip("cost:Q"), alt.Tooltip("annual:Q", format="+.2%")],
        )
    )
    return finished(chart, "Line chart: annual return after costs. " + ", ".join(portfolios))


def turnover(series: Mapping[str, Any], dates: Any) -> alt.TopLevelMixin:
    """Line chart of the monthly mean of a factor's daily rank turnover."""
    import altair as alt

    months = np.asarray(dates).astype("datetime64[M]")
    data = []
    for name, daily in series.items():
        values = np.asarray(daily, dtype=np.float64)
        for month in np.unique(months):
            part = values[months == month]
            part = part[np.isfinite(part)]
            if part.size:
                data.append({"month": f"{month}-01", "turnover": round(float(part.mean()), 5), "factor": name})
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_line(color=PINK)
        .encode(
            x=alt.X("month:T", title=None),
            y=alt.Y("turnover:Q", title="rank turnover a day"),
            tooltip=[alt.Tooltip("month:T"), alt.Tooltip("turnover:Q", format=".3f")],
        )
    )
    return finished(chart, "Line chart: mean daily turnover of ranks by month.")


def correlations(names: Sequence[str], matrix: Any, order: Sequence[int]) -> alt.TopLevelMixin:
    """Heat map of rank correlations, like factors side by side."""
    import altair as alt

    labels = [names[i] for i in order]
    data = [{"a": names[i], "b": names[j], "rho": round(float(matrix[i][j]), 3)} for i in order for j in order]
    size = max(160, min(640, 22 * len(labels)))
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_rect()
        .encode(
            x=alt.X("a:N", title=None, sort=labels),
            y=alt.Y("b:N", title=None, sort=labels),
            color=alt.Color("rho:Q", title="ρ", scale=alt.Scale(scheme="blueorange", domain=[-1, 1])),
            tooltip=[alt.Tooltip("a:N"), alt.Tooltip("b:N"), alt.Tooltip("rho:Q", format="+.2f")],
        )
    )
    return finished(
        chart,
        f"Heat map: rank correlations of {len(labels)} factors, ordered so that like factors are neighbours.",
        width=size,
        height=size,
    )


def chains(paths: Sequence[Sequence[Mapping[str, Any]]]) -> alt.TopLevelMixin:
    """Chart of the chains of experience: each a path of factors by ascending score."""
    import altair as alt

    data = [
        {"chain": f"chain {c + 1}", "step": k + 1, "score": number(m["score"]), "factor": m["name"], "new": m["new"]}
        for c, path in enumerate(paths)
        for k, m in enumerate(path)
    ]
    base = alt.Chart(alt.InlineData(values=data)).encode(
        x=alt.X("step:O", title="step of the chain", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("score:Q", title="training RankIC", scale=alt.Scale(zero=False)),
        color=alt.Color("chain:N", title=None, scale=alt.Scale(scheme="tableau10")),
    )
    points = base.mark_point(filled=True, size=70).encode(
        shape=alt.Shape(
            "new:N", title=None, scale=alt.Scale(domain=["found here", "known before"], range=["circle", "square"])
        ),
        tooltip=[
            alt.Tooltip("chain:N"),
            alt.Tooltip("step:O"),
            alt.Tooltip("factor:N"),
            alt.Tooltip("new:N"),
            alt.Tooltip("score:Q", format="+.4f"),
        ],
    )
    return finished(
        base.mark_line(strokeWidth=1.5) + points,
        f"Graph: {len(paths)} chains of factors, each from its weakest to its strongest member.",
        width="container",
        height=280,
    )


def search(rows: Sequence[Mapping[str, Any]]) -> alt.TopLevelMixin:
    """Line chart of the search: best training RankIC and admitted factors over candidates proposed."""
    import altair as alt

    data = [rows[i] for i in thinned(rows)]
    base = alt.Chart(alt.InlineData(values=data)).encode(x=alt.X("tried:Q", title="candidates tried"))
    best = base.mark_line(interpolate="step-after", color=BLUE).encode(
        y=alt.Y("best:Q", title="best |RankIC| admitted, training", axis=alt.Axis(titleColor=BLUE)),
        tooltip=[
            alt.Tooltip("tried:Q"),
            alt.Tooltip("best:Q", format=".4f"),
            alt.Tooltip("admitted:Q"),
            alt.Tooltip("seconds:Q", format=".1f"),
        ],
    )
    admitted = base.mark_line(interpolate="step-after", color=ORANGE).encode(
        y=alt.Y("admitted:Q", title="factors admitted", axis=alt.Axis(titleColor=ORANGE)),
    )
    layered: Any = alt.layer(best, admitted).resolve_scale(y="independent")
    last = rows[-1] if rows else {"tried": 0, "admitted": 0}
    return finished(
        layered,
        f"Line chart: {last['admitted']} factors admitted out of {last['tried']} candidates over the search.",
        width="container",
        height=220,
    )


def funnel(counts: Mapping[str, int]) -> alt.TopLevelMixin:
    """Bar chart of candidates by the gate that stopped them."""
    import altair as alt

    data: list[dict[str, Any]] = [{"gate": gate, "n": n} for gate, n in counts.items() if n]
    chart = (
        alt.Chart(alt.InlineData(values=data))
        .mark_bar()
        .encode(
            y=alt.Y("gate:N", title=None, sort=[d["gate"] for d in data]),
            x=alt.X("n:Q", title="candidates"),
            color=_either("datum.gate == 'admitted'", GREEN, BLUE),
            tooltip=[alt.Tooltip("gate:N"), alt.Tooltip("n:Q")],
        )
    )
    return finished(
        chart, "Bar chart: candidates by gate. " + _in_text(data, "gate", "n"), height=max(80, 20 * len(data))
    )


def _either(test: str, yes: str, no: str) -> alt.ColorValue:
    """One colour where a test of the datum is true, another where not."""
    import altair as alt

    return alt.ColorValue(no, condition={"test": test, "value": yes})


def _in_text(rows: Sequence[Mapping[str, Any]], key: str, value: str) -> str:
    """The data as text, for readers who cannot see the bars."""
    parts = []
    for row in rows[:30]:
        v = row[value]
        parts.append(f"{row[key]}: {'not known' if v is None else f'{v:.4g}'}")
    return "; ".join(parts) + "."
