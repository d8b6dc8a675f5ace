"""Reports: what they say, what they leave out, and how they look in a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.errors import ConfigError, DataError
from fama_fast.library import Factor, FactorSet, make_factor
from fama_fast.panel import GroupField, Panel
from fama_fast.report import from_document, from_factors, render, write, write_figures
from fama_fast.report.formula import laid_out
from fama_fast.report.page import charts
from fama_fast.report.searched import proposers
from fama_fast.report.summary import markdown_summary
from tests.support.browser import browser_page, keep_screenshot, needs_browser

T, N = 260, 50
HOSTILE = "<script>alert('boo')</script>\"'&lt;{{ 7 * 7 }}</script><img src=x onerror=alert(1)>"
RIGHT_TO_LEFT = "\u202eתשואה הפוכה שוק\u202c"
TEXTS = ("-TS_RETURNS(CLOSE, 5)", "RANK(TS_STDDEV(RET, 20))", "CORREL(CLOSE, VOLUME, 10)")


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(11)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0))
    sectors = np.broadcast_to((np.arange(N) % 3).astype(float), (T, N)).copy()
    dates = np.busday_offset("2019-06-03", np.arange(T), roll="forward").astype("datetime64[D]")
    return Panel(
        dates,
        [f"S{i:02d}" for i in range(N)],
        {"HIGH": close * 1.01, "LOW": close * 0.99, "CLOSE": close, "VOLUME": rng.lognormal(12, 1, (T, N))},
        groups={"SECTOR": GroupField(sectors, ("alpha", "<b>beta</b>", "gamma"))},
        warnings=("3 prices are missing <i>here</i>",),
        source="hand-made",
    )


@pytest.fixture(scope="module")
def document(panel):
    days = panel.dates.astype(str)
    factors = []
    for i, text in enumerate(TEXTS):
        alpha = ff.compile(text)
        scores = {"train": {"rank_ic": 0.03}, "valid": {"rank_ic": 0.02}} | (
            {"test": {"rank_ic": 0.01}} if i == 0 else {}
        )
        factors.append(
            {
                "expression": text,
                "canonical": alpha.canonical,
                "fingerprint": alpha.fingerprint,
                "hypothesis": (HOSTILE, RIGHT_TO_LEFT, "x" * 10_000)[i],
                "scores": scores,
                "provenance": {"origin": HOSTILE, "round": 1, "parents": [HOSTILE], "explanation": HOSTILE},
                "verdict": {
                    "holds": i == 0,
                    "train_t": 4.0,
                    "train_p_adjusted": 0.0001,
                    "valid_t": 3.0,
                    "valid_p_adjusted": 0.01,
                },
            }
        )
    t = {"first": days[0], "last": days[150], "days": 151}
    v = {"first": days[153], "last": days[200], "days": 48}
    s = {"first": days[203], "last": days[-3], "days": T - 205}
    return {
        "verdict": {
            "status": "found",
            "headline": f"found: 1 of 3 {HOSTILE}",
            "statements": ["60 different candidates were measured.", HOSTILE],
            "pool": {"valid": {"rank_ic": 0.02, "rank_ic_interval": [0.01, 0.03]}, "test": {"rank_ic": 0.01}},
            "control": {"random_formulas": {"candidates": 60, "admitted": 0}},
        },
        "data": {
            "source": "hand-made",
            "hash": panel.data_hash,
            "dates": T,
            "symbols": N,
            "first": days[0],
            "last": days[-1],
            "warnings": list(panel.warnings),
        },
        "splits": {"train": t, "valid": v, "test": s},
        "search": {
            "proposer": "evolve",
            "rounds": 2,
            "stop": "2 rounds done",
            "candidates": 60,
            "funnel": {"parse": 20, "admission": 37, "admitted": 3},
        },
        "factors": factors,
        "settings": {"splits": {"entry_lag": 1, "horizon": 1}, "run": {"seed": 5}},
        "record": {"run": "r1", "version": "0", "seconds": 1.5},
    }


@pytest.fixture(scope="module")
def content(document, panel):
    return from_document(document, panel, title="Mining run r1")


@pytest.fixture(scope="module")
def html(content):
    return render(content)


def test_dates_of_the_test_are_shown_only_where_the_run_opened_it(content, panel):
    first, second = content.study.studies[0], content.study.studies[1]
    test_start = int(np.flatnonzero(panel.dates.astype(str) == content.tested_from)[0])
    assert np.isfinite(first.daily["rank_ic"][test_start:]).any()
    assert not np.isfinite(second.daily["rank_ic"][test_start - 2 :]).any()
    assert first.figures["horizons"][0]["n_days"] > second.figures["horizons"][0]["n_days"] > 0


def test_what_comes_after_the_validation_changes_nothing_for_a_closed_factor(document, panel, content):
    close = panel["CLOSE"].copy()
    close[201:] *= np.random.default_rng(1).uniform(0.5, 2.0, close[201:].shape)
    other = panel.replace(fields={"CLOSE": close})
    changed = {**document, "data": {**document["data"], "hash": other.data_hash}}
    again = from_document(changed, other)
    assert again.study.studies[1].figures == content.study.studies[1].figures
    assert again.study.correlations.matrix.tolist() == content.study.correlations.matrix.tolist()
    assert again.study.studies[0].figures != content.study.studies[0].figures


def test_nothing_in_a_text_becomes_markup(html):
    outside = re.sub(r"<script type=\"(module|application/json)\".*?</script>", "", html, flags=re.DOTALL)
    assert "<script" not in outside
    assert "<img" not in outside
    assert "<b>beta" not in html
    assert "<i>here" not in html
    assert "{{ 7 * 7 }}" in outside
    assert "&lt;script&gt;alert" in outside


def test_specifications_are_plain_json_that_cannot_end_their_element(html):
    specs = re.findall(r"<script type=\"application/json\" id=\"spec-(.*?)\">(.*?)</script>", html, flags=re.DOTALL)
    assert {"cumulative", "correlations", "funnel", "F1-years", "F1-sectors", "F3-costs"} <= {name for name, _ in specs}
    for _, text in specs:
        assert "<" not in text
        json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))


def test_the_page_names_what_it_cannot_show(document):
    bare = render(from_document(document, None, no_panel="the file is gone"))
    assert "Figures not supplied: the file is gone." in bare
    assert "Search over time not supplied" in bare
    assert "Chains of experience not supplied" in bare
    assert bare.count("nothing admitted") == 2  # of the random formulas, on validation and on the test


def test_figures_are_of_validation_and_test_dates_and_of_no_date_between(content, document, panel):
    """Rows 201 and 202 lie between the splits: their labels reach from one into the other."""
    days = panel.dates.astype(str)
    values = ff.compile(TEXTS[0]).evaluate(panel)
    daily = ff.rank_ic(values, ff.forward_returns(panel))
    valid, test = np.arange(153, 201), np.arange(203, T - 2)
    opened, closed = content.entries[0].figures, content.entries[1].figures
    assert opened["horizons"][0]["n_days"] == np.isfinite(daily[np.r_[valid, test]]).sum()
    assert opened["horizons"][0]["rank_ic"] == pytest.approx(np.nanmean(daily[np.r_[valid, test]]), abs=1e-12)
    other = ff.rank_ic(ff.compile(TEXTS[1]).evaluate(panel), ff.forward_returns(panel))
    assert closed["horizons"][0]["n_days"] == len(valid) - 2  # the labels of the last two reach beyond validation
    assert closed["horizons"][0]["rank_ic"] == pytest.approx(np.nanmean(other[valid[:-2]]), abs=1e-12)
    assert content.entries[0].studied == (
        f"validation dates ({days[153]} to {days[200]}) and test dates ({days[203]} to {days[T - 3]})"
    )
    assert content.entries[1].studied == content.studied == f"validation dates ({days[153]} to {days[200]})"


def test_the_page_says_which_dates_each_figure_is_of(content, html, panel):
    days = panel.dates.astype(str)
    sentence = (
        f"Figures below are of validation dates ({days[153]} to {days[200]}), on which was judged what holds; for F1, "
        "whose test was opened, of test dates too."
    )
    assert sentence in html
    assert sentence in markdown_summary(content)
    assert f"Rank correlations on validation dates ({days[153]} to {days[200]})" in html
    assert f"Of {content.entries[0].studied}; RankIC by year and turnover from {days[0]} on." in html
    assert f"Running sum of daily RankIC from {days[0]} on, training dates first; the dashed rule" in html
    assert "nothing was fitted" not in html


def test_rows_that_the_run_recorded_are_its_splits(document, panel, content):
    rows = {"train": [0, 151], "valid": [153, 201], "test": [203, T - 2]}
    splits = {name: {**document["splits"][name], "rows": rows[name]} for name in rows}
    again = from_document({**document, "splits": splits}, panel)
    assert [e.figures for e in again.entries] == [e.figures for e in content.entries]
    wrong = {**document, "splits": {**splits, "test": {**splits["test"], "rows": [203, T + 9]}}}
    with pytest.raises(DataError, match=f"the data has {T} dates, and the run's splits name rows 203 to {T + 9}"):
        from_document(wrong, panel)


def test_the_t_of_the_table_is_of_the_labels_that_the_run_ranked_by(document, panel):
    settings = {**document["settings"], "splits": {"entry_lag": 1, "horizon": 5}}
    content = from_document({**document, "settings": settings}, panel)
    by_horizon = {h["horizon"]: h["rank_ic_t"] for h in content.entries[0].figures["horizons"]}
    row = re.search(r'<a href="#F1">.*?</tr>', render(content), flags=re.DOTALL)
    assert row is not None
    assert f'<td class="n">{by_horizon[5]:+.1f}</td>' in row[0]
    assert "RankIC of labels of 5 days." in render(content)


FINDING = {"check": "gaps", "severity": "warning", "count": 1234, "message": "market days missing", "examples": ["A 3"]}


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (None, "Nobody made them for this report: <code>fama-fast data check</code> does."),
        ({"checked": False, "why": "they take 9GB"}, "They were not made: they take 9GB."),
        ({"checked": True, "findings": []}, "They found nothing."),
        ({"checked": True, "findings": [FINDING]}, "warning, 1,234: <bdi>market days missing: A 3</bdi>"),
    ],
)
def test_the_quality_of_the_data_is_told_as_far_as_it_was_checked(document, quality, said):
    data = document["data"] | ({} if quality is None else {"quality": quality})
    content = from_document({**document, "data": data}, None)
    html = render(content)
    assert said in html
    assert "<h3>What reading them let pass</h3>" in html
    assert "had nothing to say" not in html
    summary = markdown_summary(content)
    assert ("Quality checks: gaps 1,234." in summary) == (said.startswith("warning"))
    assert ("Quality checks: nothing found." in summary) == (said == "They found nothing.")
    assert ("Quality checks were not made: they take 9GB." in summary) == (said.startswith("They were not"))


def test_what_was_switched_off_or_has_not_come_is_said_so(document):
    settings = {
        **document["settings"],
        "control": {"random": False, "shuffle": 0},
        "run": {"seed": 5, "use_coe": False},
    }
    without = {**document, "settings": settings, "verdict": {**document["verdict"], "control": {}}}
    html = render(from_document(without, None))
    assert "not supplied: control.random is off" in html
    assert "Random formulas: the same grammar" not in html
    assert "Chain-of-Experience was off." in html
    stopped = {**without["verdict"], "status": "interrupted", "pool": {"valid": {}, "test": {}}}
    html = render(from_document({**without, "verdict": stopped}, None))
    assert "at the end of the run" in html
    assert "the test has not been opened for this result" in html
    assert "Shuffled labels not supplied" not in html


def test_dates_that_the_model_may_have_read_about_are_marked(document, panel):
    days = panel.dates.astype(str)

    def told(cutoff, proposer="llm", data=panel):
        search = {**document["search"], "proposer": proposer}
        settings = {**document["settings"], "llm": {"cutoff": cutoff}}
        return from_document({**document, "search": search, "settings": settings}, data)

    within = told(days[160])
    assert within.before == {"train": 151, "valid": 7, "test": 0}
    html, summary = render(within), markdown_summary(within)
    assert f"7 of 48 validation dates and 0 of {T - 205} test dates lie before it" in summary
    assert f'<th scope="col" class="n">before {days[160]}</th>' in html
    assert f"dates to {days[160]} are shaded" in html
    spec = charts(within)["cumulative"]
    assert any(rows[0].get("to") == days[160] for rows in spec["datasets"].values())
    assert f"Dates to {days[160]} are shaded" in spec["description"]
    # Without the data: what the first and the last date of a split say, and no more.
    assert told(days[160], data=None).before == {"train": 151, "valid": None, "test": 0}
    assert "some of 48 validation dates" in told(days[160], "mixed", None).read
    assert told("2999-01-01", data=None).before == {"train": 151, "valid": 48, "test": T - 205}
    for silent in (told(None), told(days[160], "evolve")):
        assert (silent.cutoff, silent.read, silent.before) == (None, "", {})
        assert "before it" not in markdown_summary(silent)
        assert "shaded" not in render(silent)


def test_data_of_another_run_are_refused(document, panel):
    with pytest.raises(DataError, match="is not the data of this run"):
        from_document(document, panel.slice_dates(0, 100))


def test_plain_factors_say_that_nothing_was_held_back(panel, tmp_path):
    alphas = [ff.compile(t) for t in TEXTS]
    factors = [make_factor(a.text, sign=s) for a, s in zip(alphas, (1, -1, 1), strict=True)]
    content = from_factors(factors, panel, title="Factors", source="mine.yaml")
    text = markdown_summary(content)
    assert "No verdict: these factors come from a file" in text
    assert "all dates, which may be those the factors were chosen on" in text
    assert text.count("\n| F") == 3
    assert "`-RANK(TS_STDDEV(RET, 20))`" in text
    assert "No verdict" in render(content)


def test_figures_are_files_that_programs_read(content, tmp_path):
    written = write_figures(content, tmp_path / "svg", "svg")
    assert {p.name for p in written} >= {"cumulative.svg", "F1-decay.svg"}
    assert all(p.read_text().startswith("<svg") for p in written)
    assert all("currentColor" not in p.read_text() for p in written)
    with pytest.raises(ConfigError, match="svg or png"):
        write_figures(content, tmp_path, "gif")


def test_png_figures(document, tmp_path):
    only_funnel = from_document(document, None)
    (path,) = write_figures(only_funnel, tmp_path, "png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_formula_is_laid_out_along_its_brackets():
    text = "RANK(TS_MEAN(CORREL(RANK(CLOSE), RANK(VOLUME), 10), 20)) * SIGN(DELTA(TS_MEAN(CLOSE * VOLUME, 20), 5))"
    laid = laid_out(text, 40)
    assert max(map(len, laid.splitlines())) <= 70
    assert "".join(laid.split()) == "".join(text.split())
    assert laid_out("RANK(CLOSE)") == "RANK(CLOSE)"
    assert laid_out("RANK(((") == "RANK((("


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_in_a_browser(content, tmp_path, width, dark):
    path = tmp_path / "report.html"
    write(content, path)
    assert path.stat().st_size < 5_000_000
    with browser_page(width=width, dark=dark) as (page, heard):
        page.goto(path.as_uri())
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.wait_for_function("[...document.querySelectorAll('.vega')].every(e => e.dataset.state === 'drawn')")
        assert page.locator(".vega svg").count() == page.locator(".vega").count() > 15
        # A page that is wider than the screen cannot be read on a phone.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#verdict-title").is_visible()
        assert HOSTILE in page.locator(".headline").inner_text()
        assert page.locator(".vega svg[aria-label], .vega [aria-label]").count() > 0
        keep_screenshot(page, f"report-{width}-{'dark' if dark else 'light'}")
        assert heard.messages == []
        assert heard.requests == [path.as_uri()]


@needs_browser
def test_tables_sort_by_keyboard_and_mouse(content, tmp_path):
    path = tmp_path / "report.html"
    write(content, path)
    with browser_page() as (page, heard):
        page.goto(path.as_uri())
        order = "[...document.querySelectorAll('#factor-table tbody tr')].map(r => r.cells[0].innerText)"
        turnover = "[...document.querySelectorAll('#factor-table tbody tr')].map(r => parseFloat(r.cells[6].innerText))"
        assert page.evaluate(order) == ["F1", "F2", "F3"]
        page.get_by_role("button", name="turnover").click()
        values = page.evaluate(turnover)
        assert values == sorted(values, reverse=True)
        page.get_by_role("button", name="turnover").press("Enter")
        values = page.evaluate(turnover)
        assert values == sorted(values)
        assert page.locator("th[aria-sort=ascending]").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "BUTTON"
        assert heard.messages == []


@needs_browser
def test_without_scripts_the_words_and_tables_are_there(content, tmp_path):
    path = tmp_path / "report.html"
    write(content, path)
    with browser_page(javascript=False) as (page, _):
        page.goto(path.as_uri())
        assert page.locator(".headline").is_visible()
        assert page.locator("#factor-table tbody tr").count() == 3


def test_the_command(panel, tmp_path, capsys, monkeypatch):
    from fama_fast.cli import main

    monkeypatch.chdir(tmp_path)
    alpha = ff.compile(TEXTS[0])
    FactorSet([Factor(TEXTS[0], alpha.canonical, alpha.fingerprint)]).to_yaml("mine.yaml")
    assert main(["report", "mine.yaml"]) == 0
    assert "figures not supplied: name the market data with --data" in capsys.readouterr().err
    assert "Factors of mine.yaml" in (tmp_path / "report.html").read_text()
    assert main(["report", "mine.yaml", "--markdown"]) == 0
    summary = capsys.readouterr().out
    assert "| F1 |" in summary
    assert main(["report", "mine.yaml", "--markdown", "--output", "summary.md"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "wrote summary.md" in told.err
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == summary
    for arguments, words in (
        (["report", "mine.yaml", "--markdown", "--output", "page.html"], "another file than page.html"),
        (["report", "mine.yaml", "--format", "png"], "--figures FOLDER, which is not given"),
        (["report", "gone.yaml"], "the file gone.yaml does not exist"),
        (["report", "mine.yaml", "--format", "gif"], "--format is svg or png"),
        (["report", "mine.yaml", "--output", "mine.yaml/page.html"], "mine.yaml"),
        (["report", "last"], "ledger"),
    ):
        capsys.readouterr()
        assert main(arguments) == 2, arguments
        assert words in capsys.readouterr().err


def test_each_pool_is_a_row_of_the_four_measures(document):
    valid = {"rank_ic": 0.0613, "ic": 0.0441, "spread": 0.00171, "net": 0.00102, "spread_interval": [0.0004, 0.0031]}
    wide = {"formulas": 1234, "seeds": 34, "valid": valid, "test": {**valid, "rank_ic": 0.0587}}
    verdict = {**document["verdict"], "wide": wide}
    html = render(from_document({**document, "verdict": verdict}, None))
    row = html[html.index(">wide pool, validation<") :].split("</tr>")[0]
    for figure in ("+0.0613", "+0.0441", "+17.1", "+4.0 to +31.0", "+10.2"):
        assert figure in row
    assert "+0.0587" in html[html.index(">wide pool, test<") :].split("</tr>")[0]
    assert ">new factors, validation<" in html
    beside = {
        "formulas": 1200,
        "pool": {"rank_ic": 0.0411},
        "run_pool": {"rank_ic": 0.0522},
        "pool_test": {"rank_ic": 0.0311},
        "run_pool_test": {"rank_ic": 0.0322},
    }
    random = {"candidates": 1500, "admitted": 20, "pool": {"valid": {}, "test": {}}, "wide": beside}
    html = render(from_document({**document, "verdict": {**verdict, "control": {"random_formulas": random}}}, None))
    for split, ours, theirs in (("validation", "+0.0522", "+0.0411"), ("test", "+0.0322", "+0.0311")):
        row = html[html.index(f">wide pool of 1,200, {split}<") :].split("</tr>")[0]
        assert row.index(ours) < row.index(theirs)
    closed = {**document["verdict"], "pool": {"valid": {}, "test": {}}, "wide": {**wide, "test": {}}}
    html = render(from_document({**document, "verdict": closed}, None))
    assert ">wide pool, validation<" in html
    assert ">wide pool, test<" not in html
    assert "wide pool" not in render(from_document(document, None))


def test_a_run_that_asked_models_says_who_proposed_what(document):
    def row(proposer, model, gate, fingerprint=None, measured=True):
        scores = {"train": {"rank_ic": 0.01}} if measured else {}
        return {"proposer": proposer, "model": model, "gate": gate, "fingerprint": fingerprint, "scores": scores}

    rows = [
        row("llm", "small", "parse", measured=False),
        row("llm", "small", "admission", "a"),
        row("llm", "large", None, "b"),
        row("evolve", None, "correlation", "c"),
        row("evolve", None, "correlation", "d"),
        row("llm", "small", "parse", measured=False),
    ]
    spent = [
        {"usage": {"cost": 0.25}, "extra": {"by_model": {"small": {"cost": 0.05}, "large": {"cost": 0.2}}}},
        {"usage": {"cost": 0.01}, "extra": {"by_model": {"small": {"cost": 0.01}}}},
    ]
    found = list(proposers(rows, {"b", "d"}, spent))
    assert [r["cost"] for r in found] == [None, 0.2, pytest.approx(0.06)]
    # Older versions recorded what all models cost together, which is one model's where there is one.
    together = [{"usage": {"cost": 0.25}, "extra": None}]
    assert [r["cost"] for r in proposers(rows, {"b"}, together)] == [None, None, None]
    assert [r["cost"] for r in proposers(rows[2:], {"b"}, [])] == [None, None, None]
    assert [r["cost"] for r in proposers(rows[2:5], {"b"}, together)] == [None, 0.25]
    assert [(r["proposer"], r["model"], r["candidates"], r["measured"], r["found"]) for r in found] == [
        ("evolve", "", 2, 2, 1),
        ("llm", "large", 1, 1, 1),
        ("llm", "small", 3, 1, 0),
    ]
    assert found[2]["share"] == 0.5
    assert [r["stopped"] for r in found] == ["correlation 2", "", "parse 2, admission 1"]
    assert list(proposers(rows[3:5], {"d"})) == []  # nobody asked a model
    html = render(replace(from_document(document, None), proposers=tuple(found)))
    table = html[html.index("Who proposed what") :].split("</table>")[0]
    for text in ("small", "large", "50%", "parse 2, admission 1", ">0.2000<", ">0.0600<"):
        assert text in table
    assert "Who proposed what" not in render(from_document(document, None))


def test_every_figure_is_valid_vega_lite_by_altairs_schema(content, document):
    # The page is made without Altair's own checks, which cost more than the figures.
    import altair as alt

    more = replace(
        content,
        progress=({"tried": 1, "best": 0.01, "admitted": 1, "seconds": 0.5},),
        chains=(
            ({"name": "F1", "score": 0.01, "new": "found here"}, {"name": "F2", "score": 0.02, "new": "known before"}),
        ),
        cutoff="2019-12-31",
    )
    specs = charts(more)
    assert {"search", "chains", "funnel", "cumulative", "correlations", "F1-years", "F1-costs"} <= set(specs)
    for spec in specs.values():
        alt.Chart.from_dict(spec)  # raises where the schema is not kept
    broken = {**specs["F1-years"], "mark": "no such mark"}
    with pytest.raises(Exception, match="mark"):
        alt.Chart.from_dict(broken)
