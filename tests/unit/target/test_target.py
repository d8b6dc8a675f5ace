"""Targets equal their definition cell by cell, look ahead as far as they say, and refuse what makes no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.data.labels import only_scored, scored_returns
from fama_fast.panel import Panel
from fama_fast.target import Target
from tests.support.target_panel import target_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return target_panel()


def ahead(values: Any, rows: int) -> Any:
    """Row t has what row t + rows had."""
    out = np.full(values.shape, np.nan)
    out[: len(values) - rows] = values[rows:]
    return out


def price(values: Any) -> Any:
    return np.where(values > 0.0, values, np.nan)


def held(panel: Panel, labels: Any) -> Any:
    return only_scored(labels, panel.universe, 10)


@pytest.mark.parametrize(("horizon", "lag"), [(1, 1), (5, 1), (3, 0), (2, 4)])
def test_the_close_s_return_is_the_text_of_it_and_what_it_was(panel: Panel, horizon: int, lag: int) -> None:
    expected = scored_returns(panel, horizon, lag)
    np.testing.assert_array_equal(Target(horizons=[horizon], entry_lag=lag).values(panel), expected)
    before = f"LEAD(CLOSE, {lag})" if lag else "CLOSE"
    text = Target(returns=f"LEAD(CLOSE, {lag + horizon}) / {before} - 1")
    np.testing.assert_array_equal(text.values(panel), expected)
    assert (text.entry, text.keys, text.rows_ahead(panel.sessions)) == (lag, (horizon,), lag + horizon)


def test_open_to_open_and_vwap_to_vwap(panel: Panel) -> None:
    opened = price(panel["OPEN"])
    with np.errstate(invalid="ignore"):
        vwap = (price(panel["HIGH"]) + price(panel["LOW"]) + price(panel["CLOSE"])) / 3.0
        for name, prices in (("OPEN", opened), ("VWAP", vwap)):
            expected = held(panel, ahead(prices, 2) / ahead(prices, 1) - 1.0)
            found = Target(returns=f"LEAD({name}, 2) / LEAD({name}, 1) - 1").values(panel)
            np.testing.assert_array_equal(found, expected)
            assert np.isfinite(found).sum() > 2000
    by_qlib = Target(returns="Ref($open, -2) / Ref($open, -1) - 1", dialect="qlib").values(panel)
    np.testing.assert_array_equal(by_qlib, held(panel, ahead(opened, 2) / ahead(opened, 1) - 1.0))


def test_any_operator_may_stand_inside_and_around(panel: Panel) -> None:
    volume_rank, mean = ff.evaluate(["RANK(VOLUME)", "TS_MEAN(VOLUME, 7)"], panel)
    cases = {
        "LEAD(RANK(VOLUME), 2)": ahead(volume_rank, 2),  # among the members of then
        "LEAD(TS_MEAN(VOLUME, 7), 9) / VOLUME": ahead(mean, 9) / price(panel["VOLUME"]),
        "LEAD(LEAD(VOLUME, 1) - VOLUME, 2)": ahead(panel["VOLUME"], 3) - ahead(panel["VOLUME"], 2),
        "DELAY(LEAD(VOLUME, 5), 2)": ahead(panel["VOLUME"], 3),
    }
    # DELAY(LEAD(x, 5), 2) is missing where no row is two before.
    cases["DELAY(LEAD(VOLUME, 5), 2)"][:2] = np.nan
    for text, expected in cases.items():
        np.testing.assert_array_equal(Target(returns=text).values(panel), held(panel, expected), err_msg=text)
    around = Target(returns="RANK(LEAD(VOLUME, 2))").values(panel)
    moved = panel.replace(fields={"LATER": ahead(panel["VOLUME"], 2)})
    np.testing.assert_array_equal(around, held(panel, ff.evaluate(["RANK(LATER)"], moved)[0]))  # of the members of now


@pytest.mark.parametrize(
    ("text", "entry", "reach"),
    [
        ("LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1", 1, 2),
        ("LEAD(LEAD(CLOSE, 1) - CLOSE, 2)", 2, 3),
        ("LEAD(TS_SUM(RET, 5), 6)", 1, 6),
        ("LEAD(RET, 2)", 1, 2),
        ("LEAD(CLOSE, 1) / TS_MEAN(CLOSE, 20)", 0, 1),
        ("LEAD(CLOSE, 1) - TS_MEAN(LEAD(CLOSE, 30), 5)", 1, 30),
        ("LEAD(CLOSE, 3) / OPEN", 0, 3),
        ("TS_SUM(LEAD(RET, 4), 4)", 0, 4),
    ],
)
def test_how_far_it_looks_ahead_is_computed(panel: Panel, text: str, entry: int, reach: int) -> None:
    target = Target(returns=text)
    assert (target.entry, target.rows_ahead(panel.sessions)) == (entry, reach)
    whole = target.values(panel)
    row = 80
    changed = {f: panel[f].copy() for f in panel.supplied_fields}
    for values in changed.values():
        values[row + reach + 1 :] *= 1.7
    same = target.values(panel.replace(fields=changed))
    np.testing.assert_array_equal(same[: row + 1], whole[: row + 1])
    assert not np.array_equal(same[row + 1], whole[row + 1], equal_nan=True)
    assert np.isnan(whole[-reach:]).all()


def test_a_column_is_taken_as_it_is(panel: Panel) -> None:
    target = Target(column="mylabel", reach=3)
    own = panel["MYLABEL"].copy()
    own[-3:] = np.nan  # nothing is told of what lies behind the data
    np.testing.assert_array_equal(target.values(panel), held(panel, own))
    assert (target.rows_ahead(panel.sessions), target.keys, target.entry) == (3, (2,), 1)
    assert Target(column="MYLABEL", reach=1).entry == 0
    with pytest.raises(ff.ConfigError, match="mylabel, the column that is predicted"):
        ff.score(["RANK(MYLABEL)"], panel, target=target)


def fitted(y: Any, columns: list[Any]) -> Any:
    x = np.column_stack(columns)
    return y - x @ np.linalg.lstsq(x, y, rcond=None)[0]


def test_neutral_is_the_residual_and_orthogonal_to_every_control(panel: Panel) -> None:
    texts = ["LOG(CLOSE * VOLUME)", "TS_STDDEV(RET, 20, min_periods=5)", "TS_RETURNS(CLOSE, 5)"]
    plain = Target().values(panel)
    found = Target(neutralize=["SECTOR", "INDUSTRY", *texts, texts[0]]).values(panel)
    controls = ff.evaluate(texts, panel)
    sector, industry = panel.group("SECTOR").codes, panel.group("INDUSTRY").codes
    assert panel.universe is not None
    worst, fits = 0.0, 0
    for t in range(len(panel.dates)):
        there = np.isfinite(plain[t]) & panel.universe[t] & np.isfinite(sector[t]) & np.isfinite(industry[t])
        there &= np.all([np.isfinite(c[t]) for c in controls], axis=0)
        dummies = [(sector[t][there] == g).astype(float) for g in range(3)]
        dummies += [(industry[t][there] == g).astype(float) for g in range(5)]
        columns = [np.ones(there.sum()), *dummies, *(c[t][there] for c in controls)]
        if not there.any() or there.sum() <= np.linalg.matrix_rank(np.column_stack(columns)):
            assert np.isnan(found[t]).all()
            continue
        np.testing.assert_array_equal(np.isfinite(found[t]), there)
        residual = found[t][there]
        np.testing.assert_allclose(residual, fitted(plain[t][there], columns), rtol=0, atol=1e-12)
        for column in columns:
            size = np.linalg.norm(residual) * np.linalg.norm(column)
            worst = max(worst, abs(residual @ column) / size if size else 0.0)
        fits += 1
    assert fits > 100
    assert worst < 1e-10


def test_controls_that_are_nearly_alike_leave_an_orthogonal_residual(panel: Panel) -> None:
    controls = ["CLOSE", "CLOSE + 0.000001 * VOLUME", "CLOSE + 0.000001 * OPEN"]
    found = Target(neutralize=controls).values(panel)
    values = ff.evaluate(controls, panel)
    for t in range(20, 120):
        there = np.isfinite(found[t])
        e = found[t][there]
        for x in (*values, np.ones_like(found)):
            assert abs(e @ x[t][there]) <= 1e-10 * np.linalg.norm(e) * np.linalg.norm(x[t][there])


def slopes(panel: Panel, days: int) -> Any:
    """Beta by its definition: a symbol's returns on the members' mean, whoever was a member when."""
    own, universe = np.asarray(panel["RET"], dtype=np.float64), panel.universe
    assert universe is not None
    market = np.array(
        [
            r[m & np.isfinite(r)].mean() if (m & np.isfinite(r)).any() else np.nan
            for r, m in zip(own, universe, strict=True)
        ]
    )
    out = np.full(own.shape, np.nan)
    for t, i in np.ndindex(*own.shape):
        x, y = market[max(0, t - days + 1) : t + 1], own[max(0, t - days + 1) : t + 1, i]
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() >= days // 2:
            x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
            out[t, i] = (x @ y) / (x @ x)
    return out


def test_beta_and_winsorize(panel: Panel) -> None:
    plain = np.where(panel.universe, Target().values(panel), np.nan)
    ends = np.where(panel.universe, Target(winsorize=0.1).values(panel), np.nan)
    beta = slopes(panel, 30)
    less = Target(beta=30).values(panel)
    for t in range(len(panel.dates)):
        there = np.isfinite(plain[t])
        if not there.any():
            assert np.isnan(ends[t]).all()
            assert np.isnan(less[t]).all()
            continue
        low, high = np.quantile(plain[t][there], [0.1, 0.9])
        np.testing.assert_allclose(ends[t][there], np.clip(plain[t][there], low, high), rtol=0, atol=1e-16)
        np.testing.assert_allclose(less[t][there], (plain[t] - beta[t] * plain[t][there].mean())[there], rtol=1e-9)
    assert Target(beta=True).beta == 60
    assert Target(beta=False).beta is None


def test_what_cannot_be_entered_has_no_label(panel: Panel) -> None:
    condition = "HIGH > LOW && VOLUME > 0"
    target = Target(tradable=condition)
    (able,) = ff.evaluate([condition], panel)
    plain, found = Target().values(panel), target.values(panel)
    entered = ahead(able, 1) == 1.0
    np.testing.assert_array_equal(found, np.where(entered, plain, np.nan))
    np.testing.assert_array_equal(target.enterable(panel), entered)
    assert np.isfinite(found).sum() < np.isfinite(plain).sum()
    later = Target(returns="LEAD(OPEN, 4) / LEAD(OPEN, 3) - 1", tradable=condition).values(panel)
    assert np.isnan(later[ahead(able, 3) != 1.0]).all()


def test_several_horizons_are_several_labels(panel: Panel) -> None:
    target = Target(horizons=[1, 5], neutralize=["SECTOR"])
    for h in (1, 5):
        alone = Target(horizons=[h], neutralize=["SECTOR"]).values(panel)
        np.testing.assert_array_equal(target.values(panel, h), alone)
    with pytest.raises(ff.ConfigError, match="has the horizons 1, 5: say which one"):
        target.values(panel)
    table = ff.score(["RANK(VOLUME)"], panel, target=target)
    assert table["horizon"].to_list() == [1, 5]
    one = ff.score(["RANK(VOLUME)"], panel, target=Target(neutralize=["SECTOR"]))
    assert one.equals(table[:1])


def test_a_table_of_scores_says_how_long_it_is_held(panel: Panel) -> None:
    table = ff.score(["-DELTA(CLOSE, 3)"], panel, target="LEAD(OPEN, 6) / LEAD(OPEN, 1) - 1", splits="60/20/20")
    assert table["horizon"].to_list() == [5, 5, 5]
    as_close = ff.score(["-DELTA(CLOSE, 3)"], panel, target="LEAD(CLOSE, 6) / LEAD(CLOSE, 1) - 1", splits="60/20/20")
    assert as_close.equals(ff.score(["-DELTA(CLOSE, 3)"], panel, horizon=5, splits="60/20/20"))


def test_float32_prices_are_computed_with_in_float64(panel: Panel) -> None:
    single = panel.astype(np.float32)
    text = Target(returns="LEAD(CLOSE, 2) / LEAD(CLOSE, 1) - 1")
    np.testing.assert_array_equal(text.values(single), scored_returns(single))
    assert np.isfinite(Target(neutralize=["SECTOR", "LOG(VOLUME)"]).values(single)).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"returns": "LEAD(CLOSE, -1)"}, "whole number of rows from 1"),
        ({"returns": "LEAD(CLOSE, 0)"}, "whole number of rows from 1"),
        ({"returns": "LEAD(CLOSE, 1.5)"}, "whole number of rows from 1"),
        ({"returns": "LEAD(CLOSE, VOLUME)"}, "must be a constant"),
        ({"returns": "LEAD(CLOSE)"}, r"LEAD\(x, d\) needs d"),
        ({"returns": "LEAD(CLOSE, 2) /"}, "line 1, column 17"),
        ({"returns": "LEAD(CLOSE, 2) / LEAD(CLOSE, 1)", "entry_lag": 2}, "entry_lag is 2"),
        ({"returns": "LEAD(CLOSE, 2)", "column": "X", "reach": 1}, "returns or a column, not both"),
        ({"returns": "LEAD(CLOSE, 2)", "horizons": [5]}, "horizons are those of the close's returns"),
        ({"column": "MYLABEL"}, "needs reach"),
        ({"reach": 2}, "reach is that of a column"),
        ({"column": "MYLABEL", "reach": 2, "entry_lag": 2}, "looks 2 rows ahead"),
        ({"column": "MYLABEL", "reach": 0}, "at least 1"),
        ({"horizons": []}, "list of rows or sessions"),
        ({"horizons": [0]}, "at least 1"),
        ({"winsorize": 0.5}, "below 0.5"),
        ({"winsorize": "x"}, "must be a number"),
        ({"beta": 1}, "from 3"),
        ({"neutralize": [3]}, "list of group names and expressions"),
        ({"neutralize": ["LOG(LEAD(CLOSE, 1))"]}, "LEAD looks ahead"),
        ({"tradable": "LEAD(VOLUME, 1) > 0"}, "LEAD looks ahead"),
        ({"tradable": " "}, "must be text"),
        ({"dialect": "qlip"}, "qlib"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ff.FamaError, match=message):
        Target(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"returns": "LEAD(CLOSEE, 2)"}, "did you mean CLOSE"),
        ({"returns": "CLOSE / DELAY(CLOSE, 1) - 1"}, "they are known today"),
        ({"column": "MYLABLE", "reach": 2}, "did you mean MYLABEL"),
        ({"column": "RET", "reach": 2}, "no field 'RET'"),
        ({"neutralize": ["INDUSTY"]}, "did you mean INDUSTRY"),
        ({"neutralize": ["LOG(VOLUM)"]}, "did you mean VOLUME"),
        ({"tradable": "VOLUM > 0"}, "did you mean VOLUME"),
    ],
)
def test_names_that_the_data_lack(panel: Panel, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ff.FamaError, match=message):
        Target(**settings).values(panel)


def test_an_alpha_has_no_lead() -> None:
    for text in ("LEAD(CLOSE, 1)", "RANK(LEAD(CLOSE, 1))"):
        with pytest.raises(ff.UnknownName, match="LEAD looks ahead: it belongs to the returns of a target"):
            ff.compile(text)
    with pytest.raises(ff.WindowError, match="an alpha cannot look ahead"):
        ff.compile("Ref($close, -2)", dialect="qlib")


def test_a_short_form_that_contradicts(panel: Panel) -> None:
    text = "LEAD(CLOSE, 6) / LEAD(CLOSE, 1) - 1"
    assert ff.score(["CLOSE"], panel, target=text, horizon=5, entry_lag=1)["horizon"].to_list() == [5]
    for short in ({"horizon": 4}, {"entry_lag": 2}):
        with pytest.raises(ff.ConfigError, match="contradicts the target"):
            ff.score(["CLOSE"], panel, target=text, **short)  # type: ignore[arg-type]
    with pytest.raises(ff.ConfigError, match="a target has no 'neutralise': did you mean neutralize"):
        ff.score(["CLOSE"], panel, target={"neutralise": ["SECTOR"]})


def test_it_is_what_its_settings_say() -> None:
    target = Target(horizons=[1, "2 sessions"], neutralize=["SECTOR"], tradable="a-share", beta=True)
    assert Target.read(target.as_dict()) == target
    assert target.as_dict()["horizons"] == [1, "2 sessions"]
    assert Target().as_dict() == {}
    assert hash(target) == hash(Target.read(target.as_dict()))


def test_a_study_measures_against_the_target_and_trades_where_it_can(panel: Panel) -> None:
    from fama_fast.evaluation import StudyData, StudySettings, hold, rank_ic, study, waiting_weights
    from fama_fast.evaluation.portfolios import long_short_weights, quantile_buckets

    target = Target(
        returns="LEAD(OPEN, 2) / LEAD(OPEN, 1) - 1", neutralize=["SECTOR"], tradable="HIGH > LOW && VOLUME > 0"
    )
    settings = StudySettings(target=target, entry_lag=1, top_k=5, n_drop=2, resamples=10, decay_days=3)
    data = StudyData.from_panel(panel, settings)
    assert list(data.labels) == [1]
    np.testing.assert_array_equal(data.labels[1].values, target.values(panel))
    np.testing.assert_array_equal(data.earned, Target(returns=target.returns).values(panel))
    np.testing.assert_array_equal(data.tradable, target.enterable(panel))
    values = ff.evaluate(["-DELTA(CLOSE, 3)"], panel)[0]
    figures = study(values, data)
    inside = np.where(panel.universe, values, np.nan)
    np.testing.assert_array_equal(figures.daily["rank_ic"], rank_ic(inside, target.values(panel)))
    wanted = long_short_weights(quantile_buckets(inside), quantiles=5)
    held_there = waiting_weights(wanted, data.tradable, data.earned)
    assert not np.array_equal(held_there, wanted)
    np.testing.assert_array_equal(figures.daily["long_short"], hold(held_there, data.earned).gross)
    five = StudyData.from_panel(panel, StudySettings(target=Target(neutralize=["SECTOR"]), horizons=(1, 5)))
    np.testing.assert_array_equal(five.labels[5].values, Target(neutralize=["SECTOR"], horizons=[5]).values(panel))


def test_a_column_tells_nothing_of_what_lies_behind_the_data(panel: Panel) -> None:
    own = Panel(panel.dates, panel.symbols, {"MINE": ahead(panel["CLOSE"], 4), "CLOSE": panel["CLOSE"]})
    target = Target(column="mine", reach=4)
    whole, cut = target.values(own), target.values(own.slice_dates(0, 50))
    np.testing.assert_array_equal(cut[:46], whole[:46])
    assert np.isfinite(whole[46:50]).any()
    assert not np.isfinite(cut[46:]).any()


@pytest.mark.parametrize("returns", ["CLOSE / DELAY(CLOSE, 1) - 1", "LEAD(1, 2)"])
def test_returns_that_are_known_today_are_refused_before_there_are_data(returns: str) -> None:
    with pytest.raises(ff.ConfigError, match="known today"):
        Target(returns=returns)


@pytest.mark.parametrize("typed", ["LEED", "LEEAD", "lea"])
def test_lead_is_the_nearest_name_in_returns_alone(typed: str) -> None:
    with pytest.raises(ff.UnknownName) as caught:
        Target(returns=f"{typed}(OPEN, 2) / OPEN - 1")
    assert caught.value.suggestion == "LEAD"
    with pytest.raises(ff.UnknownName) as caught:
        ff.compile(f"{typed}(OPEN, 2)")
    assert caught.value.suggestion != "LEAD"


@pytest.mark.parametrize("typed", ["a-shares", "ashare", "A-SHRE"])
def test_a_preset_s_nearest_name(panel: Panel, typed: str) -> None:
    with pytest.raises(ff.UnknownName, match="no preset") as caught:
        Target(tradable=typed).values(panel)
    assert caught.value.suggestion == "a-share"
    flags = Panel(panel.dates, panel.symbols, {"ASHARE": panel["CLOSE"] * 0 + 1, "CLOSE": panel["CLOSE"]})
    assert np.isfinite(Target(tradable="ashare").values(flags)).any()
