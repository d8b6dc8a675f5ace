"""The blocks of a page of documentation, run in order as a reader would run them.

Many pages say a thing twice, as commands and in Python, so each of the two has a folder of its own. Python blocks share
their names. A `sh` block is run line by line: commands of the package in this process, made smaller
where they search; what cannot be run here is held to what it may say (an extra, a target of make, a module).
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from fama_fast.cli import main
from fama_fast.cli.app import command_line
from tests.support.paths import ROOT

SMALLER = {"mine": ["--rounds", "1", "--candidates", "12"]}
# Options are checked, but nothing is run: another machine, data that nobody may have, a model, or 30 million rows.
ELSEWHERE = (
    "data fetch ",
    "fetch.md: fama-fast mine",
    "--cluster",
    "~/.qlib",
    "data simulate --symbols 6000",
    "llm.md: fama-fast mine",
    "llm.md: fama-fast prompt",
)
SERVERS = ("dask",)
LANGUAGES = {"python", "sh", "bash", "yaml", "json", "text"}


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str


def pages() -> list[Path]:
    """The README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that name their language, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [Block(*b) for b in found]


def run_page(page: Path, languages: set[str]) -> None:
    """Run the blocks of a page that are in one of some languages, in order, in the working folder.

    Raises:
        AssertionError: a command that ends otherwise than it should, or that does not exist.
    """
    names: dict[str, object] = {}
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page.name}: {block.language}"
        if block.language not in languages:
            continue
        if block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)
        elif block.language in {"sh", "bash"}:
            for line in joined(block.text):
                run_line(line, page.name)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), page.name


def joined(text: str) -> list[str]:
    """The commands of a block, those over several lines as one."""
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def run_line(line: str, page: str) -> None:
    """Run one command, or check that it says what exists."""
    words = shlex.split(line, comments=True)
    if words[0] == "fama-fast":
        if any(part in f"{page}: {line}" for part in ELSEWHERE):
            parse(words[1:])
            return
        code = main([*words[1:], *SMALLER.get(words[1], [])])
        allowed = {2} if "CLOZE" in line else {0, 1} if words[1] in {"mine", "monitor"} else {0}
        assert code in allowed, f"{page}: {line} ended with {code}"
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        for named in re.findall(r"\[([\w,]+)\]", line):
            assert set(named.split(",")) <= set(extras), line
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE), line
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, line
    elif words[0] == "mkdir":
        Path(words[1]).mkdir()
    elif words[0] == "cp":
        shutil.copy(words[1], words[2])
    else:
        assert words[0] in SERVERS, f"{page}: nothing here runs or checks {line!r}"


def parse(words: list[str]) -> None:
    """Check that a command exists and takes these options, without running it.

    Raises:
        click.UsageError: it does not.
    """
    command: Any = command_line()
    context = click.Context(command)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("fama-fast", list(words), parent=context)
