"""Imports run one way: no circle, deferred and type-only imports counted; every large folder has a contract."""

from __future__ import annotations

import ast
import configparser
import graphlib

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "fama_fast"
# Conveniences of an object over the module that does the work: `Alpha.evaluate`, `Alpha.stream`, `Panel.from_frame`.
ALLOWED = {
    ("fama_fast.engine.alpha", "fama_fast.engine.evaluate"),
    ("fama_fast.engine.alpha", "fama_fast.engine.stream"),
    ("fama_fast.panel.panel", "fama_fast.panel.ingest"),
}
LARGE = 1500  # lines of a folder that has an inner contract


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """The modules that each module imports, wherever in its text."""
    trees = modules()
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        to = graph.setdefault(name, set())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                to.update(
                    full if (full := f"{node.module}.{alias.name}") in trees else node.module for alias in node.names
                )
            elif isinstance(node, ast.Import):
                to.update(alias.name for alias in node.names)
        to.intersection_update(trees)
        to.discard(name)
    return graph


def test_no_circles(imports: dict[str, set[str]]) -> None:
    assert {(a, b) for a, b in ALLOWED if b not in imports[a]} == set(), "no longer there: take it off the list"
    opened = {a: {b for b in to if (a, b) not in ALLOWED} for a, to in imports.items()}
    try:
        graphlib.TopologicalSorter(opened).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def contracts() -> dict[str, set[str]]:
    """By folder, the modules that the layers of its contract name."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    out = {}
    for name in parser.sections():
        if name != "importlinter":
            layers = parser[name]["layers"].replace("|", "\n").split()
            out[parser[name]["containers"].strip()] = set(layers)
    return out


def test_every_large_folder_has_a_contract_of_all_its_modules() -> None:
    known = contracts()
    free = {"__main__"}  # beside the rooms: the package itself
    for folder in (PACKAGE, *(p for p in PACKAGE.rglob("*") if (p / "__init__.py").exists())):
        lines = sum(p.read_text(encoding="utf-8").count("\n") for p in folder.rglob("*.py"))
        if lines <= LARGE:
            continue
        name = ".".join(folder.relative_to(ROOT).parts)
        inside = {p.stem for p in folder.glob("*.py")} | {
            p.name for p in folder.glob("*") if (p / "__init__.py").exists()
        }
        assert name in known, f"{name} has {lines} lines and no contract in .importlinter"
        assert inside - {"__init__"} - free == known[name], name
