"""The notebooks of `examples/` run from top to bottom, and show what they showed when they were written."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def run(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last expression, as a notebook shows them."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        shown = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return printed.getvalue(), shown


def test_there_are_two() -> None:
    assert [p.stem for p in NOTEBOOKS] == ["first_alpha_to_report", "in_your_pipeline"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_what_it_showed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    for cell in cells:
        printed, shown = run("".join(cell["source"]), names)
        kept = {o["output_type"]: o for o in cell["outputs"]}
        assert printed == "".join(kept.get("stream", {}).get("text", []))
        assert (shown is not None) == ("execute_result" in kept)
        if shown is None:
            continue
        data = kept["execute_result"]["data"]
        html = getattr(shown, "_repr_html_", lambda: None)()
        assert bool(html) == ("text/html" in data)
        text = "".join(data["text/plain"])
        if not text.startswith("Mined(run "):  # which has the name of the run
            assert repr(shown) == text
    if path.stem == "first_alpha_to_report":
        assert "The find beside luck" in (tmp_path / "report.html").read_text(encoding="utf-8")
