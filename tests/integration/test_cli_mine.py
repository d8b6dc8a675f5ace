"""`fama-fast mine` and `fama-fast runs`: exit codes, first line, files, messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
import yaml

from fama_fast.cli import mine as mine_command
from fama_fast.cli import runs as runs_command
from fama_fast.errors import FamaError
from tests.support.paths import ROOT

SMALL = """
data:
  simulator:
    symbols: 40
    dates: 300
    seed: 3
    signals: [{expression: "RANK(TS_MEAN(VOLUME, 5)) * -1", rank_ic: 0.15}]
k: 4
l: 2
run: {rounds: 2, candidates: 12}
"""
ALONE = SMALL + "control: {random: false}\n"
NOISE = SMALL.replace('[{expression: "RANK(TS_MEAN(VOLUME, 5)) * -1", rank_ic: 0.15}]', "[]")


def command(*arguments: str) -> int:
    """The exit code of `fama-fast ...`, with errors told as the program tells them."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    mine_command.register(app)
    runs_command.register(app)
    try:
        app(args=list(arguments), prog_name="fama-fast")
    except SystemExit as stop:
        return int(stop.code or 0)
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "alone.yaml").write_text(ALONE, encoding="utf-8")
    (tmp_path / "noise.yaml").write_text(NOISE, encoding="utf-8")
    return tmp_path


def test_a_run_from_the_command_line_and_what_the_ledger_tells(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mine", "--config", "alone.yaml", "--seed", "1", "--output", "out.yaml") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("data: simulator (seed 3, 40 symbols x 300 days, planted: RANK(TS_MEAN(VOLUME, 5)) * -1")
    assert lines[1].startswith("quality checks: ")
    assert lines[4].startswith("round 1/2: 12 proposed")
    assert "stopped so far:" in lines[4]
    table = lines.index("holds\tsplit\tRankIC\tt\tIC\tspread\tnet\tturnover\texpression")
    assert lines[table - 1].startswith("found: ")
    assert lines[table + 1].startswith("\tvalid\t+")
    assert "wrote out.yaml" in err
    document = yaml.safe_load((here / "out.yaml").read_text(encoding="utf-8"))
    assert document["settings"]["run"]["seed"] == 1
    assert (here / "runs" / "ledger.sqlite").exists()

    assert command("runs", "show", "last") == 0
    assert "looks at the test dates of these data: 1\n" in capsys.readouterr().out
    assert command("runs", "list") == 0
    assert "finished\t2\tfound\tevolve\t1" in capsys.readouterr().out
    assert command("runs", "show", "last", "--candidates") == 0
    shown = capsys.readouterr().out
    assert "finished, 2 rounds, 24 candidates" in shown
    assert "admitted" in shown
    assert command("runs", "show", document["record"]["run"][:12], "--json") == 0
    assert json.loads(capsys.readouterr().out)["funnel"] == document["search"]["funnel"]
    assert command("runs", "report", "last", "--output", "report.md") == 0
    assert "**found: " in (here / "report.md").read_text(encoding="utf-8")
    assert command("runs", "export", "last", "--output", "factors.yaml") == 0
    from fama_fast.library import FactorSet

    exported = FactorSet.from_yaml(here / "factors.yaml")
    assert list(exported.expressions) == [f["expression"] for f in document["factors"]]


def test_equal_commands_write_equal_results(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for name in ("a.yaml", "b.yaml"):
        command("mine", "--config", "small.yaml", "--seed", "5", "--rounds", "1", "--skip-css", "--output", name, "-q")
        document = yaml.safe_load((here / name).read_text(encoding="utf-8"))
        del document["record"]
        found.append(document)
    assert found[0] == found[1]
    assert found[0]["settings"]["run"]["use_css"] is False
    assert "round 1" not in capsys.readouterr().out


def test_what_random_formulas_do_as_well_is_exit_code_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mine", "--config", "small.yaml", "--seed", "3", "-q") == 1
    out = capsys.readouterr().out
    assert "\nfound, but no better than random formulas: " in out
    assert "random formulas chosen by the same rule do as well: the difference is " in out
    assert command("runs", "show", "last") == 0
    assert "\nfound, but no better than random formulas: " in capsys.readouterr().out


def test_nothing_found_is_exit_code_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mine", "--config", "noise.yaml", "--skip-coe", "--json", "--rounds", "1") == 1
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["result"]["verdict"]["status"] == "nothing found"
    assert "pure noise" in err.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "none.parquet"), "none.parquet"),
        (("--config", "none.yaml"), "cannot read the configuration none.yaml"),
        (("--config", "wrong.yaml"), "unknown key css.draws; did you mean css.draw?"),
        (("--rounds", "0"), "run.rounds must be at least 1, not 0"),
        (
            ("--proposer", "evolv"),
            "proposer must be one of evolve, llm, replay, mixed, not 'evolv'; did you mean evolve?",
        ),
        (("--output", "nowhere/out.yaml"), "the folder nowhere does not exist"),
        (("--config", "small.yaml", "--output", "small.yaml"), "would overwrite the configuration"),
        (("--resume", "last"), "there is no such file"),
        (("--ledger", "wrong.yaml"), "file is not a database"),
        (("--config", "small.yaml", "--proposer", "replay"), "paths.replay"),
    ],
)
def test_wrong_use_is_exit_code_2_with_one_message_and_no_leftovers(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    (here / "wrong.yaml").write_text("css: {draws: 1}\n" + "# padding " * 100, encoding="utf-8")
    before = sorted(p.name for p in here.iterdir())
    assert command("mine", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("error:") == 1
    assert sorted(p.name for p in here.iterdir()) == before


def test_the_llm_without_a_key_says_what_to_set(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_API_KEY", raising=False)
    (here / "llm.yaml").write_text(SMALL + "llm: {model: some-model}\n", encoding="utf-8")
    assert command("mine", "--config", "llm.yaml", "--proposer", "llm") == 2
    assert "LLM_API_KEY" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_a_stopped_run_goes_on_without_its_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fama_fast.ledger.ledger import Ledger

    real, calls = Ledger.commit_round, []

    def interrupted(*arguments: object, **keywords: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "commit_round", interrupted)
    assert command("mine", "--config", "small.yaml", "--seed", "2") == 130
    assert "--resume last goes on" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert command("runs", "show", "last") == 0
    assert "not finished: go on with --resume" in capsys.readouterr().out
    assert command("runs", "report", "last") == 2
    assert command("mine", "--resume", "last", "--output", "resumed.yaml") in (0, 1)
    command("mine", "--config", "small.yaml", "--seed", "2", "--output", "whole.yaml")
    resumed, whole = (
        yaml.safe_load((here / name).read_text(encoding="utf-8")) for name in ("resumed.yaml", "whole.yaml")
    )
    del resumed["record"], whole["record"]
    assert resumed == whole


def test_a_log_file_is_written_where_one_is_asked_for(here: Path) -> None:
    (here / "log.yaml").write_text(NOISE + "logging: {level: INFO, log_file: run.log}\n", encoding="utf-8")
    command("mine", "--config", "log.yaml", "--rounds", "1")
    text = (here / "run.log").read_text(encoding="utf-8")
    assert "INFO data: simulator" in text
    assert "INFO round 1/1" in text


def test_the_live_display_draws(here: Path) -> None:
    import io

    from rich.console import Console

    from fama_fast.mining.progress.live import RichProgress
    from fama_fast.mining.progress.plain import RoundReport

    stream = io.StringIO()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=120))
    progress.note("data: here")
    progress.phase("asking")
    progress.round_done(RoundReport(1, 3, 40, 2, 2, 20, {"parse": 3, "admitted": 2}, 0.031, 0.02, 1.0, 40.0))
    progress.close()
    text = stream.getvalue()
    assert "data: here" in text
    assert "asking" in text
    assert "0.0310" in text
    assert "parse 3" in text


def test_help_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, fama_fast.cli.mine, fama_fast.cli.runs\n"
        "heavy = {'numba', 'polars', 'sklearn', 'openai', 'sqlalchemy', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_settings_are_printed_whole_and_read_back_as_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("--candidates", "25", "--objective", "net", "--horizon", "5", "--new", "3")
    assert command("mine", "--config", "alone.yaml", *said, "--print-config") == 0
    out, _ = capsys.readouterr()
    printed = yaml.safe_load(out)
    assert (printed["run"]["max_candidates"], printed["run"]["wanted"], printed["objective"]) == (25, 3, "net")
    assert (printed["splits"]["horizon"], printed["data"]["simulator"]["symbols"]) == (5, 40)
    assert "gates" in printed
    assert not (here / "runs").exists()
    (here / "printed.yaml").write_text(out, encoding="utf-8")
    assert command("mine", "--config", "printed.yaml", "--print-config") == 0
    again = yaml.safe_load(capsys.readouterr().out)
    assert again["paths"].pop("output_dir") == str(here / "runs")  # beside the file, wherever the command is run
    assert printed["paths"].pop("output_dir") == "runs"
    assert again == printed
    assert command("mine", "--objective", "sharp", "--print-config") == 2
    assert "objective" in capsys.readouterr().err


def test_candidates_bound_the_whole_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mine", "--config", "alone.yaml", "--candidates", "9", "--json") in (0, 1)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["result"]["search"]["candidates"] == 9
