"""The pictures of the README, taken anew: `make pictures`, or `python -m benches.pictures [terminal] [report]`.

`docs/terminal.svg` is a recording of `fama-fast mine` on the simulated market, as it was drawn on a terminal;
`docs/report.png` is the first screen of the report of that run, as Chromium shows it. Both come from one run in an
empty folder. Needs the extras `dev` and `docs`, and Chromium for the second.
"""

from __future__ import annotations

import argparse
import html
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).resolve().parent.parent / "docs"
COLUMNS, LINES = 104, 34
COMMAND = ("fama-fast", "mine", "--rounds", "4", "--candidates", "100", "--seed", "1")
REPORT_SIZE = (1280, 860)  # pixels

_FRAMES = 24  # at most; what lies between two of them is not drawn
_STEP, _PAUSE, _LAST = 0.45, 1.2, 9.0  # seconds a frame is shown, the first, and the last
_CELL, _LINE, _EDGE, _BAR = 8.4, 18, 14, 30  # pixels
_COLOURS = {
    "default": "#d5d9e0",
    "black": "#4b5263",
    "red": "#f07178",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#6cb2f7",
    "magenta": "#c792ea",
    "cyan": "#56b6c2",
    "white": "#e6e9ef",
}

_PROGRAM = "import sys; from fama_fast.cli import main; sys.exit(main(sys.argv[1:]))"

Screen = tuple[str, ...]  # one SVG fragment a line


class Shot(NamedTuple):
    """What the terminal showed from a moment on."""

    seconds: float
    screen: Screen


def record(command: Sequence[str], folder: Path) -> list[Shot]:
    """Run a command on a terminal of its own and note what it shows each time that this changes.

    Raises:
        RuntimeError: it ended with wrong use or bad input, or was killed.
    """
    import pyte

    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    main, side = pty.openpty()
    import fcntl
    import termios

    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *command[1:]],
        stdin=side, stdout=side, stderr=side, cwd=folder, env=environment,
    )  # fmt: skip
    os.close(side)
    stream.feed(f"\x1b[1m$ {' '.join(command)}\x1b[0m\r\n".encode())
    begun, shots = time.monotonic(), [Shot(0.0, drawn(screen))]
    while True:
        ready, _, _ = select.select([main], [], [], 0.1)
        try:
            data = os.read(main, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        if ready and not data:
            break
        stream.feed(data)
        now = drawn(screen)
        if now != shots[-1].screen:
            shots.append(Shot(time.monotonic() - begun, now))
    os.close(main)
    if process.wait() not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return shots


def drawn(screen: Any) -> Screen:
    """What a terminal shows, line by line, as SVG: runs of equal colour and weight."""
    out = []
    for y in range(LINES):
        row = screen.buffer[y]
        runs: list[tuple[tuple[str, bool, bool], int, list[str]]] = []
        for x in range(COLUMNS):
            cell = row[x]
            style = (cell.fg, cell.bold, cell.reverse)
            if runs and runs[-1][0] == style:
                runs[-1][2].append(cell.data)
            else:
                runs.append((style, x, [cell.data]))
        out.append("".join(_run(style, x, "".join(text)) for style, x, text in runs if "".join(text).strip()))
    return tuple(out)


def _run(style: tuple[str, bool, bool], x: int, text: str) -> str:
    colour, bold, _ = style
    indent = len(text) - len(text.lstrip())
    x, text = x + indent, text.strip()
    fill = _COLOURS.get(colour.removeprefix("bright"), f"#{colour}" if len(colour) == 6 else _COLOURS["default"])
    weight = ' font-weight="bold"' if bold else ""
    width = f' textLength="{len(text) * _CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
    shown = html.escape(text, quote=False).replace("  ", "\u00a0 ")
    return f'<text x="{x * _CELL:.1f}" fill="{fill}"{weight}{width}>{shown}</text>'


def chosen(shots: Sequence[Shot]) -> list[Shot]:
    """The first and the last shot, and as many between, evenly over the time of the run."""
    if len(shots) <= _FRAMES:
        return list(shots)
    total = shots[-1].seconds
    out, nth = [shots[0]], 1
    for shot in shots[1:-1]:
        if shot.seconds >= nth * total / _FRAMES:
            out.append(shot)
            nth = int(shot.seconds * _FRAMES / total) + 1
    return [*out, shots[-1]]


def animation(shots: Sequence[Shot]) -> str:
    """The shots as one SVG that plays in a loop; where less motion is wished for, the last of them."""
    width, height = COLUMNS * _CELL + 2 * _EDGE, LINES * _LINE + 2 * _EDGE + _BAR
    lengths = [_PAUSE, *[_STEP] * (len(shots) - 2), _LAST]
    total = sum(lengths)
    numbers: dict[str, int] = {}
    frames, rules, at = [], [], 0.0
    for n, (shot, seconds) in enumerate(zip(shots, lengths, strict=True)):
        uses = []
        for y, line in enumerate(shot.screen):
            if line:
                number = numbers.setdefault(line, len(numbers))
                uses.append(f'<use href="#l{number}" y="{y * _LINE}"/>')
        frames.append(f'<g class="f f{n}">{"".join(uses)}</g>')
        begin, end = 100 * at / total, 100 * (at + seconds) / total
        rules.append(f"@keyframes k{n}{{0%{{opacity:0}}{begin:.2f}%{{opacity:1}}{end:.2f}%{{opacity:0}}}}")
        rules.append(f".f{n}{{animation:k{n} {total:.2f}s step-end infinite}}")
        at += seconds
    rules[-2] = f"@keyframes k{len(shots) - 1}{{0%{{opacity:0}}{100 * (total - _LAST) / total:.2f}%,100%{{opacity:1}}}}"
    last = len(shots) - 1
    still = f"@media (prefers-reduced-motion){{.f{{animation:none}}.f{last}{{opacity:1}}}}"
    dots = "".join(
        f'<circle cx="{18 + 18 * n}" cy="16" r="5" fill="{c}"/>'
        for n, c in enumerate(("#f07178", "#e5c07b", "#98c379"))
    )
    lines = "".join(f'<g id="l{number}">{line}</g>' for line, number in numbers.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14">'
        f"<title>A run of fama-fast mine on a terminal</title><style>.f{{opacity:0}}{''.join(rules)}{still}</style>"
        f'<defs>{lines}</defs><rect width="{width:.0f}" height="{height}" rx="8" fill="#1d2129"/>{dots}'
        f'<g transform="translate({_EDGE},{_EDGE + _BAR})">{"".join(frames)}</g></svg>\n'
    )


def photograph(page: Path) -> bytes:
    """The first screen of a page, as Chromium shows it: a PNG."""
    from playwright.sync_api import sync_playwright

    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    program = os.environ.get("CHROMIUM") or next((p for p in found if p), None)
    width, height = REPORT_SIZE
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            shown = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            shown.goto(page.as_uri())
            shown.wait_for_timeout(500)
            return shown.screenshot(type="png")
        finally:
            browser.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures that are named, or both; returns the exit code."""
    from fama_fast.atomic import atomic_write
    from fama_fast.cli import main as command

    parser = argparse.ArgumentParser(prog="python -m benches.pictures", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("which", nargs="*", help="terminal, report (default: both)")
    parser.add_argument("--to", type=Path, default=DOCS, help="folder of the pictures (default: docs)")
    options = parser.parse_args(argv)
    wanted = options.which or ["terminal", "report"]
    if unknown := set(wanted) - {"terminal", "report"}:
        parser.error(f"there is no picture {min(unknown)!r}: terminal or report")
    here = Path.cwd()
    to = options.to.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shots = record(COMMAND, folder)
        if "terminal" in wanted:
            with atomic_write(to / "terminal.svg") as temporary:
                Path(temporary).write_text(animation(chosen(shots)), encoding="utf-8")
            print(f"wrote {to / 'terminal.svg'}")
        if "report" in wanted:
            os.chdir(folder)
            try:
                if command(["report", "last", "--output", "report.html"]) != 0:
                    return 1
            finally:
                os.chdir(here)
            with atomic_write(to / "report.png") as temporary:
                Path(temporary).write_bytes(photograph(folder / "report.html"))
            print(f"wrote {to / 'report.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
