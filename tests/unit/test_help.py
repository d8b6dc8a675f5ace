"""Help is as wide as the terminal, grouped and with examples; the shell completes; prose breaks at words."""

from __future__ import annotations

import os
import pty
import shlex
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama_fast.cli.app import command_line
from fama_fast.cli.help import EXAMPLES, GROUPS, PANELS
from fama_fast.terminal import wrapped

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fama_fast", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def every_command(group: Any = None, words: str = "") -> Iterator[tuple[str, Any]]:
    """All commands and groups by their words."""
    found = group or command_line()
    yield words, found
    for name, command in getattr(found, "commands", {}).items():
        yield from every_command(command, f"{words} {name}".strip())


@pytest.mark.parametrize(("columns", "least", "widest"), [(60, 50, 60), (100, 90, 100), (300, 110, 120)])
@pytest.mark.parametrize("command", [[], ["signal"]])
def test_help_is_as_wide_as_the_terminal(columns: int, least: int, widest: int, command: list[str]) -> None:
    longest = max(map(len, run(*command, "--help", COLUMNS=str(columns)).splitlines()))
    assert least <= longest <= widest


def test_every_command_is_in_a_group_and_has_examples() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(command_line().commands)
    assert set(EXAMPLES) == {words for words, _ in every_command()}
    shown = run("--help")
    places = [shown.index(f"\n{heading}:\n") for heading in [*GROUPS, "Examples"]]
    assert places == sorted(places)
    assert "\nCommands:\n" not in shown
    for _, purpose in EXAMPLES[""]:
        assert purpose in shown


def test_options_are_under_headings() -> None:
    shown = run("mine", "--help", COLUMNS="100")
    places = [shown.index(f"\n{heading}:\n") for heading in ["Options", *PANELS, "Examples"]]
    assert places == sorted(places)
    data = shown[places[1] : places[2]]
    assert "--data PATH" in data
    assert "--decimal" in data
    known = {param.name for _, command in every_command() for param in command.params}
    assert {name for names in PANELS.values() for name in names} <= known


@pytest.mark.parametrize("line", sorted({line for shown in EXAMPLES.values() for line, _ in shown}))
def test_every_example_is_a_command_line(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "fama-fast"
    command, rest = command_line(), words[1:]
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    if "--help" in rest:
        return
    context = command.make_context(command.name, rest)  # raises where an option or a value is none
    assert not [arg for arg in context.args if arg.startswith("-")]


def test_examples_are_shown_where_they_belong_and_can_be_pasted() -> None:
    shown = run("signal", "--help", COLUMNS="60")
    examples = shown[shown.index("\nExamples:\n") :]
    pasted = examples.replace(" \\\n", " ")
    for line, purpose in EXAMPLES["signal"]:
        assert " ".join(line.split()) in " ".join(pasted.split())
        assert " ".join(purpose.split()) in " ".join(examples.split())
    assert "fama-fast runs show last --candidates" in run("runs", "show", "--help")


def completed(words: str, **more: str) -> list[str]:
    """What bash is offered at the end of a line."""
    count = len(words.split(" ")) - 1
    asked = {"_FAMA_FAST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    return run(**asked, **more).split()


def test_the_shell_completes_commands_options_operators_and_runs(tmp_path: Path) -> None:
    assert completed("fama-fast mo") == ["monitor"]
    assert completed("fama-fast runs ex") == ["export"]
    assert completed("fama-fast signal last --sto") == ["--store"]
    assert "TS_MEAN" in completed("fama-fast ops TS_M")
    assert completed("fama-fast score --dialect qli") == ["qlib"]
    assert completed(f"fama-fast runs show --ledger {tmp_path / 'none.sqlite'} ") == ["last"]  # and no message
    script = run(_FAMA_FAST_COMPLETE="source_bash")
    assert "complete -o default -F" in script
    assert "fama-fast" in script
    shown = run("--help")
    assert "--install-completion" in shown
    assert "--show-completion" in shown


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What a command writes to a terminal so wide."""
    import fcntl
    import termios

    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "fama_fast", *arguments],
        env=environment,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    seen = b""
    try:
        while part := _read(primary):
            seen += part
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(primary)
    return seen.decode().replace("\r\n", "\n")


def _read(primary: int) -> bytes:
    try:
        return os.read(primary, 65536)
    except OSError:  # what Linux says when the other side is closed
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a Unix thing")
def test_prose_breaks_between_words_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    missing = tmp_path / ("a-long-name-without-a-space-" * 4 + ".parquet")
    shown = on_a_terminal(60, "score", "RANK(CLOSE)", "--data", str(missing)).rstrip("\n")
    assert str(missing) in shown  # a path stays whole
    lines = shown.split("\n")
    assert len(lines) > 1
    assert all(len(line) <= 60 or str(missing) in line for line in lines)
    done = subprocess.run(
        [sys.executable, "-m", "fama_fast", "score", "RANK(CLOSE)", "--data", str(missing)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.rstrip("\n").split("\n") == [" ".join(" ".join(lines).split())]


def test_marks_stay_below_what_they_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "50")
    line = "  " + "RANK(CLOSE) + " * 6
    text = f"error: {'word ' * 20}\n{line}\n{' ' * 40}^^^^"
    got = wrapped(text, Terminal()).split("\n")  # type: ignore[arg-type]
    assert got[-2:] == [line, " " * 40 + "^^^^"]
    assert all(len(part) <= 50 for part in got[:-2])
    assert len(got) == 5
