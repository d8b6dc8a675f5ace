"""The command line: score, compute, check, ops, and how every command fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.errors import StoreError
from tests.support.paths import ROOT

EXPRESSIONS = ("RANK(DELTA(CLOSE, 5)) * -1", "TS_MEAN(VOLUME, 10) / VOLUME")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """A Parquet file of 20 symbols x 120 weekdays; the last symbol lists late."""
    rng = np.random.default_rng(11)
    t, n = 120, 20
    dates = np.busday_offset("2020-01-01", np.arange(t), roll="forward")
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (t, n)), axis=0))
    row, column = np.nonzero((np.arange(n) < n - 1)[None, :] | (np.arange(t) >= 60)[:, None])
    frame = pl.DataFrame(
        {
            "date": pl.Series(dates).gather(row),
            "symbol": [f"S{c:02d}" for c in column],
            "open": close[row, column] * 0.99,
            "high": close[row, column] * 1.02,
            "low": close[row, column] * 0.98,
            "close": close[row, column],
            "volume": rng.integers(1000, 9000, row.size).astype(float),
        }
    )
    path = tmp_path_factory.mktemp("market") / "prices.parquet"
    frame.write_parquet(path)
    return path


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def subprocess_main(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_help_imports_nothing_heavy():
    heavy = ["numba", "polars", "sklearn", "openai", "anthropic", "sqlalchemy", "scipy", "pandas"]
    done = subprocess_main(
        "import sys; from fama_fast.cli import main; code = main(['--help']);"
        f"print('LOADED', [m for m in {heavy} if m in sys.modules]); sys.exit(code)"
    )
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout
    for command in ("mine", "score", "compute", "check", "ops", "data", "runs"):
        assert f"\n  {command} " in done.stdout


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, f"fama-fast {ff.__version__}\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["compute", "CLOSE"], "say where the values go: --output FILE, or --store DIR"),
        (["score", "CLOSE", "--horizon", "0"], "--horizon"),
        (["score", "CLOSE", "--entry-lag", "x"], "--entry-lag"),
        (["score", "CLOSE", "--horzion", "5"], "no such option: --horzion (did you mean --horizon?)"),
        (["score", "RANK(CLOSE", "--data", "nowhere.parquet"], "is not closed"),
        (["score", "CLOSE", "--data", "nowhere.parquet"], "nowhere.parquet"),
        (["score", "CLOSE", "--output", "nowhere/scores.csv"], "the folder nowhere does not exist"),
        (["score", "CLOSE", "--output", "scores.xlsx"], "must end in .parquet, .csv, .json"),
        (["compute", "CLOSE", "--output", "values.txt"], "must end in .parquet, .csv"),
        (
            ["compute", "CLOSE", "OPEN", "--format", "wide", "--output", "v.parquet"],
            "holds one factor, not 2",
        ),
        (["compute", "alphas.txt", "--output", "v.parquet"], "alphas.txt does not exist"),
        (["compute", "a: CLOSE", "a: OPEN", "--output", "v.parquet"], "the name 'a' is taken"),
        (["compute", "date: CLOSE", "--output", "v.parquet"], "the name 'date' is taken"),
        (["check", "CLOSE", "--groups", "sectors.csv"], "--groups adds groups to data"),
        (["check", "CLOSE", "--dialect", "klingon"], "klingon"),
        (["ops", "RNAK"], "did you mean RANK?"),
    ],
)
def test_wrong_use_is_one_message_and_exit_code_2(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_exit_code_130(capsys, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fama_fast.ops.specs", interrupted)
    assert run(capsys, "ops")[0] == 130


def test_a_package_error_shows_its_text_and_any_other_keeps_its_traceback(capsys, monkeypatch):
    def fail(error):
        def raising(*_args, **_options):
            raise error

        monkeypatch.setattr("fama_fast.ops.specs", raising)

    fail(StoreError("the ledger is gone"))
    assert run(capsys, "ops") == (2, "", "error: the ledger is gone\n")
    fail(PermissionError(13, "Permission denied", "/some/file"))
    assert run(capsys, "ops") == (2, "", "error: cannot read or write: /some/file: Permission denied\n")
    fail(ZeroDivisionError("a fault of ours"))
    assert main(["ops"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Traceback")
    assert "ZeroDivisionError: a fault of ours" in err


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys; from fama_fast.cli import main; sys.exit(main(['ops', '--json']))"
    command = shlex.join([sys.executable, "-c", code])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("[")
    assert done.stderr == ""


def test_check_describes_an_expression(capsys):
    code, out, err = run(capsys, "check", EXPRESSIONS[0], "-CLOSE")
    assert (code, err) == (0, "")
    alpha = ff.compile(EXPRESSIONS[0])
    lines = dict(line.split(None, 1) for line in out.splitlines()[:7])
    assert lines["canonical"] == alpha.canonical
    assert lines["fields"] == "CLOSE"
    assert lines["lookback"] == "5"
    assert lines["fingerprint"] == alpha.fingerprint
    assert ff.compile("-CLOSE").fingerprint in out


def test_check_reports_each_mistake_and_goes_on(capsys):
    code, out, err = run(capsys, "check", "RNAK(CLOSE)", "CLOSE", "TS_MEAN(CLOSE, 0)")
    assert code == 2
    assert "did you mean RANK?" in err
    assert err.count("error:") == 2
    assert ff.compile("CLOSE").fingerprint in out


def test_check_json_carries_the_position(capsys):
    code, out, _ = run(capsys, "check", "--json", "CLOSE", "RANK(CLOSE")
    good, bad = json.loads(out)
    assert code == 2
    assert good["ok"]
    assert good["fields"] == ["CLOSE"]
    assert not bad["ok"]
    assert (bad["kind"], bad["line"], bad["column"]) == ("ParseError", 1, 11)


def test_check_against_data_knows_its_columns(capsys, market):
    assert run(capsys, "check", "CLOSE", "--data", market)[0] == 0
    code, _, err = run(capsys, "check", "DIVIDEND_YIELD", "--data", market)
    assert code == 2
    assert "DIVIDEND_YIELD" in err


def test_ops_lists_every_operator_and_shows_one(capsys):
    from fama_fast.ops import specs

    _, out, _ = run(capsys, "ops")
    for spec in specs():
        assert f"  {spec.name} " in out
    _, out, _ = run(capsys, "ops", "ts_corr")
    assert out.startswith("CORREL(x, y, d")
    assert "TS_CORR" in out
    assert "lookback     d - 1" in out
    listed = json.loads(run(capsys, "ops", "--json")[1])
    assert [d["name"] for d in listed] == [s.name for s in specs()]
    assert json.loads(run(capsys, "ops", "delay", "--json")[1])["lookback"] == "d"


def test_score_prints_what_the_library_computes(capsys, market, tmp_path):
    output = tmp_path / "scores.parquet"
    argv = ["score", *EXPRESSIONS, "--data", market, "--horizon", "1", "--horizon", "5", "--output", output]
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    expected = ff.score(EXPRESSIONS, ff.Panel.from_parquet(market), horizon=[1, 5])
    assert json.loads(out) == expected.to_dicts()
    assert pl.read_parquet(output).equals(expected)
    code, out, _ = run(capsys, *argv)
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0][:3] == ["expression", "horizon", "rank_ic"]
    assert lines[1][0] == EXPRESSIONS[0]
    assert float(lines[1][2]) == pytest.approx(expected["rank_ic"][0], abs=1e-4)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_score_writes_text_formats(capsys, market, tmp_path, ending):
    output = tmp_path / f"scores.{ending}"
    assert run(capsys, "score", "CLOSE * 0", "--data", market, "--output", output)[0] == 0
    frame = pl.read_csv(output) if ending == "csv" else pl.DataFrame(json.loads(output.read_text()))
    assert frame["rank_ic"].null_count() == 1
    assert frame["n_days"].item() == 0


def test_score_splits(capsys, market):
    _, out, _ = run(capsys, "score", "CLOSE", "--data", market, "--splits", "60/20/20", "--json")
    assert [r["split"] for r in json.loads(out)] == ["train", "valid", "test"]
    _, out, _ = run(capsys, "score", "CLOSE", "--data", market, "--split", "valid", "--json")
    assert [r["split"] for r in json.loads(out)] == ["valid"]
    code, _, err = run(capsys, "score", "CLOSE", "--data", market, "--split", "vlaid")
    assert code == 2
    assert "did you mean valid?" in err
    code, _, err = run(capsys, "score", "CLOSE", "--data", market, "--start", "2031-01-01")
    assert code == 2
    assert "the data runs from 2020-01-01" in err


def test_score_without_data_says_that_it_simulates(capsys):
    code, out, err = run(capsys, "score", "RANK(CLOSE)")
    assert code == 0
    assert err.splitlines()[0].startswith("no --data given: simulated market data")
    assert len(out.splitlines()) == 2


def test_an_unknown_column_is_shown_in_the_expression(capsys, market):
    code, _, err = run(capsys, "score", "RANK(EARNINGS_YIELD)", "--data", market)
    assert code == 2
    assert "EARNINGS_YIELD" in err
    assert "^" in err


def test_compute_long_equals_evaluate(capsys, market, tmp_path):
    source = tmp_path / "alphas.txt"
    source.write_text(f"# two factors\n\nreversal: {EXPRESSIONS[0]}  # of a week\n{EXPRESSIONS[1]}\n")
    output = tmp_path / "values.parquet"
    code, out, err = run(capsys, "compute", source, "-RET", "--data", market, "--output", output)
    assert (code, out) == (0, ""), err
    frame = pl.read_parquet(output)
    assert frame.columns == ["date", "symbol", "reversal", ff.compile(EXPRESSIONS[1]).canonical, "-RET"]
    assert frame.schema["date"] == pl.Date
    prices = pl.read_parquet(market)
    assert frame.select("date", "symbol").equals(prices.select("date", "symbol").sort("date", "symbol"))
    panel = ff.Panel.from_parquet(market)
    present = np.isfinite(panel["CLOSE"])
    for name, values in zip(frame.columns[2:], ff.evaluate([*EXPRESSIONS, "-RET"], panel), strict=True):
        assert frame[name].is_nan().sum() == 0
        np.testing.assert_array_equal(frame[name].to_numpy(), values[present])


def test_compute_wide_and_csv(capsys, market, tmp_path):
    output = tmp_path / "values.csv"
    argv = ["compute", "TS_MEAN(CLOSE, 3)", "--data", market, "--format", "wide", "--output", output]
    assert run(capsys, *argv)[0] == 0
    frame = pl.read_csv(output, try_parse_dates=True)
    panel = ff.Panel.from_parquet(market)
    assert frame.columns == ["date", *panel.symbols]
    np.testing.assert_allclose(
        frame.drop("date").cast(pl.Float64).to_numpy(),
        ff.compile("TS_MEAN(CLOSE, 3)").evaluate(panel),
        rtol=1e-12,
    )


def test_compute_reads_a_factor_file(capsys, market, tmp_path):
    from fama_fast.library import FactorSet

    source = tmp_path / "library.yaml"
    FactorSet.from_dict({"factors": list(EXPRESSIONS)}).to_yaml(source)
    output = tmp_path / "values.parquet"
    assert run(capsys, "compute", source, "--data", market, "--output", output)[0] == 0
    assert pl.read_parquet(output).columns == ["date", "symbol", *(ff.compile(e).canonical for e in EXPRESSIONS)]


@pytest.mark.parametrize("command", ["compute", "score"])
def test_a_place_that_cannot_be_written_is_refused_before_computing(capsys, market, tmp_path, monkeypatch, command):
    def never(*_args, **_options):
        pytest.fail("computed before the output was checked")

    monkeypatch.setattr("fama_fast.engine.evaluate", never)
    monkeypatch.setattr("fama_fast.data.load_market_data", never)
    output = tmp_path / "missing" / "values.parquet"
    code, _, err = run(capsys, command, "CLOSE", "--data", market, "--output", output)
    assert code == 2
    assert err.startswith(f"error: cannot write {output}")
    assert not output.parent.exists()


def test_a_failed_computation_leaves_nothing_behind(capsys, market, tmp_path):
    output = tmp_path / "values.parquet"
    code, _, _ = run(capsys, "compute", "RANK(EARNINGS_YIELD)", "--data", market, "--output", output)
    assert code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_expressions_is_an_error(capsys, tmp_path, text):
    source = tmp_path / "alphas.txt"
    source.write_text(text)
    code, _, err = run(capsys, "score", source)
    assert code == 2
    assert "holds no expression" in err


def test_a_file_that_is_no_text_is_an_error(capsys, tmp_path):
    source = tmp_path / "alphas.txt"
    source.write_bytes(b"\xff\xfe\x00rubbish")
    code, _, err = run(capsys, "score", source)
    assert code == 2
    assert "is not a text file" in err


def test_hostile_expressions_fail_fast(capsys):
    for text in (
        "(" * 100_000,
        "__import__('os')",
        "CLOSE" * 200_000,
        "\x00",
        "RANK(" * 5000 + "CLOSE" + ")" * 5000,
    ):
        code, _, err = run(capsys, "check", text)
        assert code == 2
        assert err.startswith("error:")
        assert len(err) < 2000


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_shows_every_figure_whole(capsys, monkeypatch, width):
    from fama_fast.cli.common import print_table

    names = ["rank_ic", "rank_icir", "ic", "icir", "hit_rate", "coverage", "turnover", "rank_ic_t"]
    rows = [
        {"expression": f"RANK([bold]CLOSE) * {i}", "split": "train", "horizon": 5, "n_days": 1234}
        | dict.fromkeys(names, -0.1234 - i)
        for i in range(3)
    ]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(rows, long_column="expression", decimals=dict.fromkeys(names, 3))
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    for i in range(3):
        assert f"RANK([bold]CLOSE) * {i}" in out
        assert out.count(f"{-0.1234 - i:.3f}") == len(names)
    assert max(map(len, out.splitlines())) <= width


def test_a_missing_figure_is_a_dash(capsys):
    from fama_fast.cli.common import print_table

    print_table([{"expression": "A\tB", "rank_ic": float("nan"), "n_days": None}])
    assert capsys.readouterr().out == "expression\trank_ic\tn_days\nA B\t-\t-\n"
    print_table([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cut", ["one symbol", "one date", "no close"])
def test_data_that_cannot_score_anything_are_an_error(capsys, tmp_path, cut):
    from fama_fast.data import SimulationSpec, simulate, to_frame

    frame = to_frame(simulate(SimulationSpec(n_symbols=6, n_dates=40, seed=1)))
    if cut == "one symbol":
        frame = frame.filter(pl.col("symbol") == frame["symbol"][0])
    elif cut == "one date":
        frame = frame.filter(pl.col("date") == frame["date"][0])
    else:
        frame = frame.with_columns(close=pl.lit(None, dtype=pl.Float64))
    path = tmp_path / "prices.parquet"
    frame.write_parquet(path)
    table = tmp_path / "scores.csv"
    code, out, err = run(capsys, "score", "RANK(DELTA(CLOSE, 1))", "--data", str(path), "--output", str(table))
    assert (code, out) == (2, "")
    assert "prices.parquet: no day could be scored" in err
    assert not table.exists()
