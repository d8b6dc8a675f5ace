"""The map names what exists: every file, and every name in one of the files beside it; the picture is in the pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fama_fast.cli import picture
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
# A list item, a row of a table or a paragraph: what stands together.
BLOCKS = re.split(r"\n(?=\d+\. |\| )|\n\n", PAGE)
SPAN = re.compile(r"`([^`]+)`")


def is_path(span: str) -> bool:
    return "/" in span and " " not in span and "(" not in span


def defines(text: str, name: str) -> bool:
    return re.search(rf"^\s*(def|class) {name}\b|^\s*{name}\s*[:=]", text, re.MULTILINE) is not None


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_files_and_names_exist(block: str) -> None:
    spans = [" ".join(span.split()) for span in SPAN.findall(block)]
    files = [ROOT / span for span in spans if is_path(span)]
    for file in files:
        assert file.exists(), file
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    for span in spans:
        if re.fullmatch(r"[A-Za-z_]\w*", span) and files:
            assert defines(text, span) or (ROOT / "fama_fast" / span).is_dir(), (
                f"{span} is in none of {[str(f.relative_to(ROOT)) for f in files]}"
            )


def test_it_has_four_walks_and_every_station_names_its_file() -> None:
    walks = re.split(r"^## \d\. ", PAGE, flags=re.MULTILINE)[1:]
    assert len(walks) == 4
    for walk in walks:
        stations = re.findall(r"^\d+\. (.*)", walk, re.MULTILINE)
        assert len(stations) >= 10
        assert sum(bool(SPAN.match(s)) for s in stations) >= len(stations) - 1


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_the_picture_has_every_room_in_the_order_of_the_contract() -> None:
    drawn = ET.fromstring(picture.picture(ROOT / ".importlinter"))
    texts = [t.text or "" for t in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for names in (
        ["cli", "mining", "ledger", "engine", "ir", "errors"],
        ["mining", "run", "verdict", "measure", "css"],
    ):
        places = [texts.index(name) for name in names]
        assert places == sorted(places)
    rooms = {p.name for p in (ROOT / "fama_fast").iterdir() if (p / "__init__.py").is_file()}
    assert rooms <= set(texts)
    assert "Compiled expressions (Alpha) and the computation of their values" in texts
    assert "embedding" not in texts


def test_a_room_without_a_contract_or_a_docstring_is_an_error(tmp_path: Path) -> None:
    contracts = tmp_path / "contracts"
    contracts.write_text("[a]\ncontainers =\n    fama_fast\nlayers =\n    engine\n    mining\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no contract of fama_fast\.mining"):
        picture.picture(contracts)
    (tmp_path / "bare.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "PACKAGE", tmp_path)
        with pytest.raises(ValueError, match="bare has no docstring"):
            picture._docstring("fama_fast.bare")


def test_the_recipes_name_files_that_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipes = re.findall(r"^## (Adding (?!an operator).*?)(?=^## )", guide, re.MULTILINE | re.DOTALL)
    assert len(recipes) == 5
    named = {span for recipe in recipes for span in SPAN.findall(recipe)}
    files = [s for s in named if re.match(r"(fama_fast|tests|docs)/", s) and "NAME" not in s]
    assert len(files) > 10
    for file in files:
        assert (ROOT / file).exists(), file
