"""What is printed: names from files stay visible text; no encoding, closed stream or lost reader makes a traceback."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.errors import EXIT_BROKEN_PIPE, DataError, UnknownName
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.records import CandidateRecord, ExchangeRecord, RunRecord
from fama_fast.library import Factor, FactorSet
from fama_fast.library.strict_yaml import dump
from fama_fast.mining.progress.plain import PlainProgress
from fama_fast.terminal import is_text, json_text, message, printable, say, say_json, shielded
from tests.support.paths import ROOT

EVIL = "a\x1b[2Jb\n%c\r%d\x9be\u202ef\u2066g\u200dh\x7fi"
STEERING = set("\x1b\r\x9b\u202e\u2066\u200d\x7f\udcff\ud800\u2028")


def harmless(text: str) -> bool:
    return not STEERING & set(text)


# Text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("茅台 Société ß €", "茅台 Société ß €"),
        ("a\u3000b\u00a0c", "a\u3000b\u00a0c"),  # spaces of other widths
        ("\x1b[31m", r"\x1b[31m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("\u202eabc\u202c\u2066\u2069\u200f", r"\u202eabc\u202c\u2066\u2069\u200f"),
        ("a\u200bb\u200dc\ufeff\u00ad", r"a\u200bb\u200dc\ufeff\xad"),
        ("\udcff\ud800", r"\udcff\ud800"),
        ("\0\x7f", r"\x00\x7f"),
        ("\U000e0041\U0010ffff", r"\U000e0041\U0010ffff"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_what_is_not_seen_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_message_keeps_its_own_lines_and_no_others() -> None:
    assert message("wrong\n  CLOSE +\n        ^") == "wrong\n  CLOSE +\n        ^"
    assert message("no file a\nerror: b") == r"no file a\nerror: b"


def test_errors_show_names_as_they_are_shown_everywhere() -> None:
    error = DataError(f"{EVIL}: no such file")
    assert str(error) == rf"{printable(EVIL)}: no such file"
    near = UnknownName("unknown field 'X\x1b'", text="X +\x1b 1", suggestion=EVIL)
    assert harmless(str(near))
    assert str(near).count("\n") == 3


def test_json_reads_back_equal() -> None:
    value = {EVIL: [EVIL, "\ud800", "😀 \U000e0041", float("nan"), 1.5, None, True], "é": {"x": "a\u3000b"}}
    text = json_text(value)
    assert harmless(text)
    assert "a\u3000b" in text
    expected = {EVIL: [EVIL, "\ud800", "😀 \U000e0041", None, 1.5, None, True], "é": {"x": "a\u3000b"}}
    assert json.loads(text) == expected
    assert json.loads(json_text(value, ascii_only=True)) == expected
    assert json_text(value, ascii_only=True).isascii()


def test_yaml_in_ascii_reads_back_equal() -> None:
    value = {"x": "茅台 \u202e 😀 '\"", "é": ["–"]}
    assert dump(value, ascii_only=True).isascii()
    assert yaml.safe_load(dump(value, ascii_only=True)) == value


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "latin-1", "gbk", "utf-8", "utf-16"])
def test_every_encoding_holds_what_is_said(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    monkeypatch.setattr(sys, "stdout", out)
    with shielded():
        say(f"茅台 {EVIL} \ud800 –…∞ρ⠋")
        say_json({"茅台": "é😀"})
        print("raw", EVIL)
    out.flush()
    first, *rest = raw.getvalue().decode(encoding).split("\n")
    assert harmless(first)
    assert first.startswith(
        r"\u8305\u53f0 a\x1b[2Jb\n%c\r%d" if encoding in ("ascii", "cp437", "latin-1") else "茅台 a\\x1b"
    )
    assert first.endswith("-.infrho*" if encoding == "ascii" else first[-9:])
    assert json.loads("\n".join(rest[:3])) == {"茅台": "é😀"}
    assert rest[3:] == [r"raw a\x1b[2Jb", r"%c\r%d\x9be\u202ef\u2066g\u200dh\x7fi", ""]


def test_both_streams_are_shielded_while_the_block_runs(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with shielded():
        print("out", EVIL)
        print("err", EVIL, file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    out, err = capsys.readouterr()
    assert harmless(out + err)
    assert (out[:4], err[:4]) == ("out ", "err ")


def test_notes_of_a_run_are_one_line_each() -> None:
    out = io.StringIO()
    PlainProgress(out).note(f"data: {EVIL}")
    assert out.getvalue() == f"data: {printable(EVIL)}\n"


# Commands


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Names of every kind that steers a terminal: symbols, labels, a column; and a folder."""
    symbols = ["AA", *(f"{c}{EVIL}" for c in "BCD"), *(f"S{i}" for i in range(8))]
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in range(40)]
    rows = [
        {
            "date": d,
            "symbol": s,
            **dict.fromkeys(("open", "high", "low"), 10.0 + (i * 7 + j * 3) % 11),
            "close": 10.0 + (i * 7 + j * 3) % 11,
            "volume": 1000.0 + (i * 5 + j) % 7,
            "sector": f"{EVIL}{j % 2}",
            f"x{EVIL}": 1.0,
        }
        for i, d in enumerate(days)
        for j, s in enumerate(symbols)
    ]
    folder = tmp_path / f"evil\x1b[31m\n{EVIL[3:]}"
    folder.mkdir()
    pl.DataFrame(rows).write_parquet(folder / f"{EVIL}.parquet")
    pl.DataFrame([*rows, {**rows[1], "close": 3.0}]).write_parquet(folder / "twice.parquet")
    return folder


def lines_of(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out, err = capsys.readouterr()
    assert harmless(out + err), repr(out + err)
    for line in (out + err).split("\n"):
        assert not line.startswith("%"), line  # a line's end in a name began no line
    return out, err


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["data", "check", "{file}"], 0),
        (["data", "check", "{twice}"], 2),
        (["data", "describe", "{file}"], 0),
        (["data", "describe", "{twice}"], 2),
        (["data", "describe", "{folder}/nosuch.parquet"], 2),
        (["score", "-RANK(CLOSE)", "--data", "{file}"], 0),
        (["score", "-RANK(CLOSE)", "--data", "{twice}"], 2),
        (["check", "RANK(CLOSE)", "--data", "{file}"], 0),
        (["check", f"RANK({EVIL})", "--data", "{file}"], 2),
        (["score", "RANK(CLOSE)", "--data", "{file}", "--groups", "{folder}/nosuch.csv"], 2),
        (["ops", EVIL], 2),
        (["ops", "RANK", "--dialect", EVIL], 2),
    ],
)
def test_commands_show_names_and_obey_none(
    command: list[str], code: int, as_json: bool, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"folder": str(market), "file": str(market / f"{EVIL}.parquet"), "twice": str(market / "twice.parquet")}
    arguments = [a.format(**places) if "{" in a else a for a in command]
    assert main([*arguments, *(["--json"] if as_json else [])]) == code
    out, _ = lines_of(capsys)
    if as_json and out:
        json.loads(out)


def test_unknown_commands_and_options_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["\x1b[31m"], ["ops", "--x\x1b[31m\u202e\udcff"], ["mine", "--x\x1b[31m"]):
        assert main(arguments) == 2
        _, err = lines_of(capsys)
        assert r"\x1b[31m" in err


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    run = RunRecord("20260101T000000-abcdef", EVIL, "hash", 1, EVIL[:20], {"k": EVIL}, "0.1")
    with Ledger.open(path) as store:
        store.start_run(run)
        one = CandidateRecord(0, f"X({EVIL})", "evolve", hypothesis=EVIL, reason=EVIL, gate="parse", origin=EVIL)
        store.commit_round(run, 1, [one], exchange=ExchangeRecord(), state={"library": []})
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["list", "--json"],
        ["show", "last"],
        ["show", "last", "--candidates"],
        ["show", "last", "--candidates", "--json"],
        ["lineage", "last", "--round", "1"],
        ["lineage", "last", "--round", "1", "--json"],
        ["lineage", "last"],
        ["export", "last"],
    ],
)
def test_what_a_ledger_holds_is_shown(command: list[str], ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *command, "--ledger", str(ledger)]) == 0
    out, _ = lines_of(capsys)
    if "--json" in command:
        json.loads(out)
    if command[0] == "list":
        assert (r"\u001b[2Jb\n" if "--json" in command else r"\x1b[2Jb %c %d\x9be") in out


def test_names_that_are_no_text_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = os.fsdecode(bytes(tmp_path) + b"/b\xff.csv")
    assert not is_text(bad)
    try:
        Path(bad).write_text("date,symbol,close\n2020-01-01,A,1\n2020-01-02,A,1\n")
    except OSError:
        pytest.skip("this file system takes no such name")
    for arguments in (
        ["data", "check", bad],
        ["data", "describe", str(tmp_path)],
        ["score", "CLOSE", "--data", bad],
        ["compute", "CLOSE", "--output", bad],
        ["data", "simulate", "--output", bad],
        ["runs", "list", "--ledger", bad],
        ["mine", "--ledger", bad, "--rounds", "1"],
        ["mine", "--output", bad, "--rounds", "1"],
    ):
        assert main(arguments) == 2, arguments
        _, err = lines_of(capsys)
        assert r"b\udcff.csv" in err
        assert "not UTF-8 text" in err


# Streams


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "FAMA": f"{sys.executable} -m fama_fast", **environment}
    return subprocess.run(["bash", "-c", command], env=surroundings, check=False, capture_output=True, timeout=120)


posix = pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")


@posix
@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("$FAMA ops >&-", 0, b""),
        ("$FAMA ops --json >&-", 0, b""),
        ("$FAMA --version >&-", 0, b""),
        ("$FAMA --help >&-", 0, b""),
        ("$FAMA nosuch >&-", 2, b"No such command"),
        ("$FAMA check 'RANK(' >&-", 2, b"error: "),
        ("$FAMA check 'RANK(' 2>&-", 2, b""),
        ("$FAMA nosuch >&- 2>&-", 2, b""),
        ("$FAMA ops <&- >&- 2>&-", 0, b""),
        ("$FAMA ops > /dev/full", 2, b"No space left on device"),
        ("$FAMA --version > /dev/full", 2, b"No space left on device"),
        ("$FAMA ops | head -0; exit ${PIPESTATUS[0]}", EXIT_BROKEN_PIPE, b""),
        ("$FAMA ops --json | head -0; exit ${PIPESTATUS[0]}", EXIT_BROKEN_PIPE, b""),
        ("$FAMA check CLOSE | head -0; exit ${PIPESTATUS[0]}", EXIT_BROKEN_PIPE, b""),
        ("$FAMA check 'RANK(' 2>&1 | head -0; exit ${PIPESTATUS[0]}", EXIT_BROKEN_PIPE, b""),
    ],
)
def test_streams_that_are_closed_full_or_unread(command: str, code: int, told: bytes) -> None:
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert told in done.stderr
    if not told:
        assert done.stderr == b""


@pytest.mark.slow
@posix
def test_a_warning_of_the_package_is_one_line_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = shell("$FAMA score 'RANK(CLOSE)' --end 2015-03-01", FAMA_CACHE_DIR=f"{tmp_path}/file")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if b"compiled kernels" in line]
    assert warning.startswith(b"warning: compiled kernels cannot be kept in ")
    assert b"caching.py" not in done.stderr


@posix
def test_a_closed_stream_is_not_mistaken_for_the_next_file(tmp_path: Path) -> None:
    """Without a standard output the first file to be opened would be number 1, and what is printed would go there."""
    done = shell(f"$FAMA data simulate --output {tmp_path}/a.csv --symbols 2 --dates 5 >&-")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 11


@pytest.mark.parametrize("encoding", ["cp437", "ascii"])
def test_commands_under_narrow_encodings(encoding: str, tmp_path: Path, ledger: Path) -> None:
    """`main` in one process for all of them: what differs is the encoding of its standard output."""
    commands: list[list[str]] = [
        ["ops"],
        ["ops", "--markdown"],
        ["ops", "--json"],
        ["check", "RANK(茅台)"],
        ["check", "RANK(茅台)", "--json"],
        ["runs", "list", "--ledger", str(ledger)],
        ["runs", "list", "--ledger", str(ledger), "--json"],
        ["runs", "show", "last", "--ledger", str(ledger), "--json", "--candidates"],
        ["runs", "export", "last", "--ledger", str(ledger)],
        ["data", "describe", str(tmp_path / "茅台.csv")],
        ["data", "check", str(tmp_path / "茅台.csv")],
    ]
    (tmp_path / "茅台.csv").write_text(
        "date,symbol,close,sector\n"
        + "".join(f"2020-01-{d:02},茅{s},{d + s},é\n" for d in range(1, 9) for s in range(3)),
        encoding="utf-8",
    )
    code = (
        f"import json, sys; from fama_fast.cli import main\n"
        f"for command in {commands!r}:\n    print(main(command), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    codes = [line for line in done.stderr.decode(encoding).splitlines() if line.isdigit()]
    assert codes == ["0", "0", "0", "2", "2", "0", "0", "0", "0", "0", "0"], done.stderr
    out = done.stdout.decode(encoding)
    assert r"\u8305" in out


def test_a_report_in_markdown_under_ascii(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a factor set without data, so that there are dashes for what is not known."""
    path = tmp_path / "factors.yaml"
    alpha = ff.compile("RANK(CLOSE)")
    FactorSet([Factor("RANK(CLOSE)", alpha.canonical, alpha.fingerprint)]).to_yaml(path)
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["report", str(path), "--markdown"]) == 0
    out.flush()
    text = raw.getvalue().decode("ascii")
    assert text.startswith("# ")
    assert "| - | - |" in text
