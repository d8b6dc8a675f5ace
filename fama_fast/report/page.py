"""Renders the report as one HTML file: it opens from disk, works offline, and runs no text as code.

Jinja2 escapes every value; figures are JSON in script elements that browsers do not run, with `<` escaped; a content
security policy in the page forbids requests altogether. The Vega library comes with the package vl-convert.
"""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from fama_fast._version import __version__
from fama_fast.errors import ConfigError, OutputError
from fama_fast.ledger.records import plain
from fama_fast.number_text import decimal, is_known, p_value, percent, signed
from fama_fast.report import figures
from fama_fast.report.formula import laid_out
from fama_fast.report.statistics import STATISTICS

if TYPE_CHECKING:
    from pathlib import Path

    from fama_fast.report.content import Content


def missing_library(name: str) -> ConfigError:
    """The error message where the extra is not installed."""
    return ConfigError(f'reports need the package {name}: pip install "fama_fast[report]"')


def charts(content: Content) -> dict[str, Any]:
    """Every figure of the page by its id, as Vega-Lite specifications; absent where the data is."""
    try:
        from altair.utils.schemapi import debug_mode
    except ImportError as error:
        raise missing_library(error.name or "altair") from error
    # Altair checks every part of every chart against its schema, a third of a report's time; the tests do that instead.
    with debug_mode(False):
        return {name: chart.to_dict(validate=False) for name, chart in _drawn(content).items()}


def _drawn(content: Content) -> dict[str, Any]:
    """The same as charts of Altair."""
    out: dict[str, Any] = {}
    if content.gates and any(content.gates.values()):
        out["funnel"] = figures.funnel(content.gates)
    if content.progress:
        out["search"] = figures.search(content.progress)
    if content.chains:
        out["chains"] = figures.chains(content.chains)
    study = content.study
    if study is not None:
        out["cumulative"] = cumulative_chart(content)
        if len(study.names) > 1:
            alike = study.correlations
            out["correlations"] = figures.correlations(study.names, alike.matrix.tolist(), alike.order.tolist())
        for name, factor_study in zip(study.names, study.studies, strict=True):
            out |= {
                f"{name}-{kind}": chart for kind, chart in _factor_charts(name, factor_study, content.dates).items()
            }
    return out


def cumulative_chart(content: Content) -> Any:
    """The cumulative RankIC of the factors of a content that has a study, as an Altair chart."""
    try:
        import altair  # noqa: F401
    except ImportError as error:
        raise missing_library(error.name or "altair") from error
    study = content.study
    assert study is not None
    series = {n: s.daily["rank_ic"] for n, s in zip(study.names, study.studies, strict=True)}
    return figures.cumulative_rank_ic(series, content.dates, tested_from=content.tested_from, trained_to=content.cutoff)


def _factor_charts(name: str, found: Any, dates: Any) -> dict[str, Any]:
    parts = found.figures
    out: dict[str, Any] = {}
    # A factor that is constant, or too rare for portfolios, has no such figure; an empty one would say nothing.
    if any(is_known(y["rank_ic"]) for y in parts["by_year"]):
        out["years"] = figures.by_period(parts["by_year"])
    if any(is_known(q["annual_excess"]) for q in parts["quantiles"]):
        out["quantiles"] = figures.quantiles(parts["quantiles"])
    if any(is_known(v) for v in parts["decay"]["curve"]):
        out["decay"] = figures.decay(parts["decay"]["curve"], parts["decay"]["half_life"])
    if any(is_known(c["annual_return"]) for p in portfolios(parts).values() for c in p["costs"]):
        out["costs"] = figures.cost_curve(portfolios(parts))
    if is_known(parts["turnover"]):
        out["turnover"] = figures.turnover({name: found.daily["turnover"]}, dates)
    for name_of, key, what in (("sectors", "by_sector", "sector"), ("liquidity", "by_liquidity", "liquidity bucket")):
        if any(is_known(g["rank_ic"]) for g in parts.get(key, ())):
            out[name_of] = figures.by_group(parts[key], what)
    return out


def portfolios(parts: dict[str, Any]) -> dict[str, Any]:
    """The portfolios of a study by the names that the page shows."""
    names = {
        "long_short": "long-short",
        "long_short_neutral": "sector-neutral",
        "top_k": f"top {parts['top_k']['k']}, long only",
    }
    return {label: parts[key] for key, label in names.items() if key in parts}


def studied(content: Content) -> str:
    """A sentence that says which dates the figures of the factors are of; those of each factor are beside it too."""
    tested = [e.name for e in content.entries if e.studied != content.studied]
    more = ""
    if tested:
        which = "all factors" if len(tested) == len(content.entries) else ", ".join(tested)
        more = f"; for {which}, whose test was opened, of test dates too"
    held = ", on which was judged what holds" if content.splits else ""
    return f"Figures below are of {content.studied}{held}{more}."


def render(content: Content) -> str:
    """Render the page as HTML.

    Raises:
        ConfigError: a package of the `report` extra is missing.
    """
    try:
        import jinja2
        import vl_convert
    except ImportError as error:
        raise missing_library(error.name or "jinja2") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fama_fast.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": decimal,
        "signed": signed,
        "points": lambda value, horizon: signed(1e4 * value / horizon if is_known(value) else None, 1),
        "percent": percent,
        "p": p_value,
        "formula": laid_out,
        "studied": studied,
        "count": lambda n: f"{n:,}",
    }
    specs = {name: json_in_html(spec) for name, spec in charts(content).items()}
    return environment.get_template("page.html.j2").render(
        content=content,
        specs=specs,
        portfolios=portfolios,
        statistics=STATISTICS,
        vega=_bundle(vl_convert) if specs else "",
        version=__version__,
        made=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


@cache
def _bundle(vl_convert: Any) -> str:
    # "</script" inside a script would end it.
    return str(vl_convert.javascript_bundle()).replace("</script", "<\\/script")


def json_in_html(value: Any) -> str:
    """JSON text that can stand in a script element: no `<`, no NaN."""
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write(content: Content, path: str | Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    from fama_fast.atomic import atomic_write

    text = render(content)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figures(content: Content, folder: str | Path, kind: str = "svg") -> list[Path]:
    """Write every figure as a file of its own, PNG or SVG, on a white ground, in a folder that is made if need be.

    Raises:
        ConfigError: another kind. OutputError: a file cannot be written.
    """
    from pathlib import Path

    from fama_fast.atomic import atomic_write

    try:
        import vl_convert
    except ImportError as error:
        raise missing_library(error.name or "vl_convert") from error
    if kind not in ("svg", "png"):
        raise ConfigError(f"figures are written as svg or png, not {kind!r}")
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {place}: {error.strerror or error}") from error
    written = []
    for name, spec in charts(content).items():
        plain = _for_paper(spec)
        path = place / f"{name}.{kind}"
        with atomic_write(path) as temporary:
            if kind == "svg":
                temporary.write_text(vl_convert.vegalite_to_svg(plain), encoding="utf-8")
            else:
                temporary.write_bytes(vl_convert.vegalite_to_png(plain, scale=2.0))
        written.append(path)
    return written


def _for_paper(spec: dict[str, Any]) -> dict[str, Any]:
    """The figure for a file: a fixed width, black on white."""
    text = (
        json.dumps(plain(spec)).replace('"currentColor"', '"#222"').replace('"font": "inherit"', '"font": "sans-serif"')
    )
    out: dict[str, Any] = json.loads(text)
    out["config"]["background"] = "white"
    if out.get("width") == "container":
        out["width"] = 720
    return out
