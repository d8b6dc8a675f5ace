"""The comparison that guards speed: a fabricated regression is named, noise is not, damaged files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benches import check, run, table
from benches.duel import spread
from benches.measurements import Measurement, Session, from_pytest_benchmark, joined, load, merged, save
from benches.panels import make_panel, with_alpha101_inputs
from benches.peers import CASES, check_equal, numpy_peer, polars_peer
from fama_fast import ops
from fama_fast.engine.prepare import lowered
from fama_fast.errors import DataError

MACHINE = {"cpu": "Some CPU", "cores": 2, "memory_gb": 8, "python": "3.11.0", "polars": "2.0"}


def measured(bench: str, ratio: float, noise: float = 0.02, *, size: str = "A", yardstick: str = "copy") -> Measurement:
    node = f"benches/test_bench_operators.py::test_{bench}"
    return Measurement(node, size, "operators", yardstick, ratio, noise, ratio * 1e-3, 1e-3, 20)


def session(*measurements: Measurement, **changes: object) -> Session:
    return replace(Session(measurements, MACHINE, "2026-01-02"), **changes)  # type: ignore[arg-type]


def test_spread_is_median_and_scaled_deviation() -> None:
    middle, noise = spread([1.0, 1.1, 0.9, 1.0, 50.0])
    assert middle == 1.0
    assert noise == pytest.approx(1.4826 * 0.1)


@pytest.mark.parametrize(
    ("before", "now", "regressed"),
    [
        (measured("operator[RANK-2]", 10.0), measured("operator[RANK-2]", 11.9), False),  # within the floor
        (measured("operator[RANK-2]", 10.0), measured("operator[RANK-2]", 12.5), True),
        (measured("operator[RANK-2]", 10.0, 0.10), measured("operator[RANK-2]", 13.0, 0.05), False),  # noise explains
        (measured("operator[RANK-2]", 10.0, 0.10), measured("operator[RANK-2]", 15.0, 0.05), True),
        (measured("operator[RANK-2]", 10.0, 0.90), measured("operator[RANK-2]", 20.5, 0.90), True),  # twice is too much
        (measured("operator[RANK-2]", 10.0), measured("operator[RANK-2]", 5.0), False),
    ],
)
def test_a_regression_is_growth_beyond_floor_and_noise(before: Measurement, now: Measurement, regressed: bool) -> None:
    (change,) = check.compare(session(before), session(now))
    assert change.regressed is regressed
    assert change.improved is (now.ratio == 5.0)


def test_slower_machine_with_equal_ratios_is_no_regression() -> None:
    before = measured("operator[RANK-2]", 10.0)
    now = replace(before, seconds=before.seconds * 7.0, yardstick_seconds=before.yardstick_seconds * 7.0)
    assert not check.compare(session(before), session(now))[0].regressed


def test_command_names_the_regressed_bench_and_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, run = tmp_path / "baseline.json", tmp_path / "run.json"
    save(session(measured("operator[RANK-2]", 10.0), measured("operator[ADD-2]", 1.0)), base)
    save(session(measured("operator[RANK-2]", 16.0), measured("operator[ADD-2]", 1.05), measured("new[1]", 3.0)), run)
    assert check.main(["--baseline", str(base), "--from", str(run)]) == 1
    said = capsys.readouterr().out
    assert "SLOWER: operator[RANK-2] (size A) against copy: 10 -> 16 (+60%, noise explains 20%)" in said
    assert "ADD" not in said
    assert "not in the baseline: new[1]" in said
    assert "1 slower, 0 faster" in said

    save(session(measured("operator[RANK-2]", 10.4)), run)
    assert check.main(["--baseline", str(base), "--from", str(run)]) == 0
    assert "0 slower" in capsys.readouterr().out


def test_suspects_are_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A spike that does not come back is no regression; one that stays is, and only suspects run again."""
    base = tmp_path / "baseline.json"
    spike, steady = measured("operator[RANK-2]", 10.0), measured("operator[ADD-2]", 1.0)
    save(session(spike, steady), base)
    asked: list[tuple[str, ...]] = []

    def runs(*again: float) -> int:
        def fake(options: object, nodes: tuple[str, ...] = ()) -> list[Session]:
            asked.append(tuple(nodes))
            if nodes:
                return [session(replace(spike, ratio=ratio)) for ratio in again]
            return [session(replace(spike, ratio=19.0), steady)]

        monkeypatch.setattr(check, "measure", fake)
        return check.main(["--baseline", str(base)])

    assert runs(18.0, 18.5) == 1
    assert asked == [(), (spike.node,)]
    assert runs(10.1, 10.3) == 0


def test_update_joins_runs_and_keeps_what_it_did_not_measure(tmp_path: Path) -> None:
    base, one, two = tmp_path / "baseline.json", tmp_path / "1.json", tmp_path / "2.json"
    save(session(measured("operator[RANK-2]", 9.0), measured("operator[RANK-2]", 8.0, size="B")), base)
    save(session(measured("operator[RANK-2]", 10.0)), one)
    save(session(measured("operator[RANK-2]", 12.0)), two)
    assert check.main(["--update", "--baseline", str(base), "--from", str(one), "--from", str(two)]) == 0
    kept = {m.size: m for m in load(base).measurements}
    assert kept["B"].ratio == 8.0
    assert kept["A"].ratio == 11.0
    assert kept["A"].noise == pytest.approx(np.std([10.0, 12.0], ddof=1) / 11.0, rel=1e-3)
    assert check.main(["--update", "--fresh", "--baseline", str(base), "--from", str(one)]) == 0
    assert {m.size for m in load(base).measurements} == {"A"}


def test_figures_of_another_machine_are_not_mixed() -> None:
    here, there = session(measured("a", 1.0)), session(measured("a", 2.0), machine={**MACHINE, "cpu": "Other CPU"})
    with pytest.raises(DataError, match="not the machine of the kept figures"):
        merged(here, there)
    with pytest.raises(DataError, match="different machines"):
        joined([here, there])
    assert "another machine (Some CPU" in check.report(check.compare(here, there), here, there)


def test_figures_of_the_benches_that_ran_survive_one_that_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"ratio": 2.0, "noise": 0.1, "seconds": 0.002, "yardstick_seconds": 0.001, "rounds": 9}
    bench = {"fullname": "benches/x.py::test_y", "group": "g", "extra_info": {"size": "A", "ratios": {"copy": figures}}}

    def one_fails(command: list[str], **options: object) -> SimpleNamespace:
        (report,) = (Path(c.partition("=")[2]) for c in command if c.startswith("--benchmark-json="))
        report.write_text(json.dumps({"benchmarks": [bench]}))
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr("benches.run.subprocess.run", one_fails)
    monkeypatch.setattr(run, "PARTIAL", tmp_path / "partial.json")
    assert run.main(["--json", str(tmp_path / "A.json")]) == 2
    assert "partial.json" in capsys.readouterr().err
    assert not (tmp_path / "A.json").exists()
    assert [m.ratio for m in load(tmp_path / "partial.json").measurements] == [2.0]


def test_reading_pytest_benchmark_json() -> None:
    figures = {"ratio": 2.0, "noise": 0.1, "seconds": 0.002, "yardstick_seconds": 0.001, "rounds": 9}
    bench = {
        "fullname": "benches/x.py::test_y[1]",
        "group": "g",
        "extra_info": {"size": "A", "ratios": {"copy": figures}},
    }
    found = from_pytest_benchmark(json.dumps({"datetime": "2026-01-02T03:04:05", "benchmarks": [bench]}), MACHINE)
    assert found.date == "2026-01-02"
    (one,) = found.measurements
    assert one.bench == "y[1]"
    assert one.ratio == 2.0
    for text in ("[", "{}", json.dumps({"benchmarks": []})):
        with pytest.raises(DataError):
            from_pytest_benchmark(text, MACHINE)


def test_damaged_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.json"
    for text, said in (("{", "not JSON"), ("[]", "no figures"), ('{"format": 1}', "damaged")):
        path.write_text(text)
        assert check.main(["--baseline", str(path), "--from", str(path)]) == 2
        assert said in capsys.readouterr().err
    save(session(measured("operator[RANK-2]", 9.0)), path)
    assert check.main(["--baseline", str(path), "--from", str(tmp_path / "none.json")]) == 2
    assert "cannot read" in capsys.readouterr().err
    path.unlink()
    assert check.main(["--baseline", str(path)]) == 2
    assert "there is no baseline yet; measure one with --update" in capsys.readouterr().err


def test_a_baseline_of_another_machine_is_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    save(session(measured("operator[RANK-2]", 9.0)), path)
    monkeypatch.setattr(check, "measure", lambda *_: pytest.fail("it measured"))
    assert check.main(["--update", "--baseline", str(path)]) == 2
    assert "start anew with --fresh" in capsys.readouterr().err


def test_section_of_the_page_from_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "performance.md"
    save(session(measured("beside[Polars-RANK]", 0.0671, yardstick="Polars"), measured("import", 3.0)), figures)
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "PAGE", page)
    assert table.main([str(figures), "--check"]) == 1
    assert table.main([str(figures), "--write"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| RANK | 0.067 |" in text
    assert "Measured 2026-01-02 on Some CPU, 2 cores, 8 GB" in text
    assert "old" not in text
    assert table.main([str(figures), "--check"]) == 0
    page.write_text("no markers")
    assert table.main([str(figures), "--check"]) == 2


def test_the_panel_of_the_benches_has_what_every_operator_asks_for() -> None:
    panel = with_alpha101_inputs(make_panel("tiny"))
    examples = [spec.example for spec in ops.specs() if spec.kernel]
    assert len(lowered(examples, panel)) == len(examples) > 100


def test_peers_are_held_to_our_values() -> None:
    """A peer that computes something else is refused before it is timed."""
    import fama_fast as ff

    panel = make_panel("tiny")
    for peer in (numpy_peer, polars_peer):
        theirs = peer.contenders(panel, 1)["Z_SCORE"]
        values = ff.compile(CASES["Z_SCORE"]).evaluate(panel)
        got = theirs.values(theirs.run())
        check_equal(values, got)
        wrong = got.copy()
        wrong[100, 3] *= 1.001
        with pytest.raises(AssertionError):
            check_equal(values, wrong)
        gap = got.copy()
        gap[100, 3] = np.nan
        with pytest.raises(AssertionError):
            check_equal(values, gap)
