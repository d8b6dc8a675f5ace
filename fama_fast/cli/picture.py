"""The picture of the rooms, `docs/architecture.svg`, from the import contracts and the first sentence of each room.

Rooms stand in the order of the contracts in `.importlinter`: each imports those below it. `cli/docs.py` writes it.
"""

from __future__ import annotations

import ast
import configparser
import textwrap
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fama_fast.proposals.operator_text import first_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parent.parent
OPENED = "fama_fast.mining"  # the room whose inner rooms are drawn, too
FORMER = "The former name of"  # how the docstring of a module begins that is left for its old importers alone

_WIDTH, _LINE, _GAP, _INDENT, _COLUMN = 1000, 17, 7, 20, 168
_CHARACTERS = 112  # of a sentence on one line

_STYLE = """\
.page { fill: #ffffff; }
.room { fill: #f6f8fa; stroke: #afb8c1; }
.inner { fill: #ffffff; stroke: #d0d7de; }
text { fill: #24292f; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.name { font: 600 13px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.way { stroke: #57606a; fill: #57606a; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; }
  .room { fill: #161b22; stroke: #484f58; }
  .inner { fill: #0d1117; stroke: #30363d; }
  text { fill: #e6edf3; }
  .way { stroke: #8b949e; fill: #8b949e; }
}"""


class Room(NamedTuple):
    """A package or module, what it is for, and the layers inside it where they are drawn."""

    name: str
    sentence: str
    inside: tuple[Layer, ...] = ()


Layer = tuple[Room, ...]  # rooms that do not import one another


def layers(contracts: Path, container: str = "fama_fast") -> tuple[Layer, ...]:
    """The layers of a package from the top down, as its contract names them.

    Raises:
        ValueError: the file has no contract of that package, or names a module that has no docstring.
    """
    parser = configparser.ConfigParser()
    parser.read(contracts, encoding="utf-8")
    for section in parser.values():
        if section.get("containers", "").strip() == container:
            lines = section["layers"].split("\n")
            drawn = (tuple(_rooms(contracts, container, line.split("|"))) for line in lines if line.strip())
            return tuple(layer for layer in drawn if layer)
    raise ValueError(f"{contracts} has no contract of {container}")


def _rooms(contracts: Path, container: str, names: list[str]) -> Iterator[Room]:
    for name in map(str.strip, names):
        full = f"{container}.{name}"
        sentence = first_sentence(_docstring(full)).replace("`", "")
        if not sentence.startswith(FORMER):
            yield Room(name, sentence, layers(contracts, full) if full == OPENED else ())


def _docstring(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{module} has no docstring")
    return text


def _drawn(layer: Layer, x: int, y: int, kind: str) -> tuple[list[str], int]:
    """The box of a layer with its top left corner at (x, y), and the y below it."""
    out: list[str] = []
    top, y = y, y + _GAP
    for room in layer:
        out.append(f'<text class="name" x="{x + 12}" y="{y + 13}">{escape(room.name)}</text>')
        for line in textwrap.wrap(room.sentence, _CHARACTERS):
            out.append(f'<text x="{x + _COLUMN}" y="{y + 13}">{escape(line)}</text>')
            y += _LINE
        y += 2
        for inner in room.inside:
            drawn, y = _drawn(inner, x + _INDENT, y + 3, "inner")
            out += drawn
    y += _GAP - 2
    width = _WIDTH - 12 - x if kind == "room" else _WIDTH - 24 - x
    box = f'<rect class="{kind}" x="{x}" y="{top}" width="{width}" height="{y - top}" rx="5"/>'
    return [box, *out], y


def picture(contracts: Path) -> str:
    """The rooms as an SVG, readable on a light and on a dark page.

    Args:
        contracts: the file `.importlinter`.

    Raises:
        ValueError: as `layers`.
    """
    body: list[str] = []
    y = 12
    for layer in layers(contracts):
        drawn, below = _drawn(layer, 40, y, "room")
        body += drawn
        y = below + 5
    end = y - 8
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 7}" width="{_WIDTH}" role="img">',
            "<title>The rooms of fama_fast: each imports those below it</title>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="page" width="{_WIDTH}" height="{y + 7}"/>',
            f'<path class="way" d="M22 14V{end - 8}" fill="none" stroke-width="1.5"/>',
            f'<path class="way" d="M22 {end}l-5 -10h10z" stroke="none"/>',
            f'<text transform="translate(15 {end // 2 + 30}) rotate(-90)">imports go this way</text>',
            *body,
            "</svg>\n",
        ]
    )
