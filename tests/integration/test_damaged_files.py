"""Files of ours that a disk, a copy or an editor damaged: one clear error or the right answer, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fama_fast as ff
from fama_fast.cli import main
from fama_fast.engine.stream import Stream
from fama_fast.errors import EXIT_USAGE, FamaError, ProposerError, StoreError
from fama_fast.ledger.ledger import Ledger
from fama_fast.library import Factor, FactorSet
from fama_fast.library.cache import FactorCache
from fama_fast.library.strict_yaml import load
from fama_fast.llm.exchange_log import Exchange, ExchangeLog
from tests.support.ledger_v1 import STATE, statements
from tests.support.mine import write_config
from tests.unit.report.test_dashboard import fill

COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("show", "last", "--candidates"),
    ("show", "2026", "--json"),
    ("export", "last"),
    ("export", "last", "--output", "out.csv"),
    ("export", "last", "--output", "out.json"),
    ("lineage", "last"),
    ("lineage", "last", "best"),
    ("lineage", "last", "--round", "1", "--json"),
    ("report", "last"),
)
FLIPS = 100


def quietly(arguments: list[str]) -> tuple[int, str]:
    """The exit code of a command and what it said went wrong."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, err.getvalue()


def sound(arguments: list[str], what: object) -> None:
    code, said = quietly(arguments)
    assert code in (0, 1, EXIT_USAGE), (arguments, what, said)
    assert code != EXIT_USAGE or said.count("error: ") == 1, (arguments, what, said)
    assert "Traceback" not in said


def look(place: Path) -> None:
    """All that the pages of the dashboard ask."""
    from fama_fast.dashboard import candidates, factor
    from fama_fast.dashboard.pages import compare, run
    from fama_fast.dashboard.reading import ReadOnlyLedger
    from fama_fast.dashboard.runs import Runs, differing_settings
    from fama_fast.dashboard.tallies import curve
    from fama_fast.ledger.lineage import Lineage

    with ReadOnlyLedger.open(place) as store:
        known = Runs(store)
        listed = known.all()
        compare._figures(listed)
        differing_settings(listed)
        for one in listed:
            curve(one.rounds)
            assert run._tiles(one)
            assert (one.named_gates(), one.statements, one.headline) is not None
            page = candidates.page(store, one.id, sort=[{"colId": "valid", "sort": "desc"}])
            for row in page["rows"][:1]:
                factor.by_row(store, one.id, row["id"])
            for chain in Lineage(store, one.id).chains():
                run._members(chain)


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ledger of a mined run and its configuration; the file alone, without its log."""
    folder = tmp_path_factory.mktemp("mined")
    config = write_config(folder, rounds=2, candidates=20, clustered=True)
    place = folder / "ledger.sqlite"
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["mine", "--config", str(config), "--ledger", str(place), "--quiet"]) in (0, 1)
    with closing(sqlite3.connect(place)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A smaller ledger by hand, whose runs are finished, without a test, and going on."""
    place = tmp_path_factory.mktemp("made") / "ledger.sqlite"
    fill(place, 60)
    with closing(sqlite3.connect(place)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return place.read_bytes()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(place: Path, turn: int, what: object) -> None:
    """Two of the commands in turn, and the dashboard's questions."""
    for i in range(2):
        sound(["runs", *COMMANDS[(2 * turn + i) % len(COMMANDS)], "--ledger", str(place)], what)
    with contextlib.suppress(StoreError):
        look(place)


@pytest.mark.slow
def test_a_ledger_with_bytes_flipped_anywhere(made: bytes, mined: Path, here: Path) -> None:
    draw = random.Random(27)
    for turn in range(FLIPS):
        data = bytearray(made if turn % 2 else (mined / "ledger.sqlite").read_bytes())
        places = [draw.randrange(len(data)) for _ in range(draw.choice((1, 4, 64)))]
        for at in places:
            data[at] ^= 1 << draw.randrange(8)
        place = here / f"{turn}.sqlite"
        place.write_bytes(data)
        ask(place, turn, places)
        place.unlink()


def test_a_ledger_that_was_cut_or_whose_pages_are_others(made: bytes, here: Path) -> None:
    draw = random.Random(28)
    pages = [made[i : i + 4096] for i in range(0, len(made), 4096)]
    for turn in range(20):
        place = here / f"{turn}.sqlite"
        if turn % 2:
            cut = draw.randrange(len(made))
            place.write_bytes(made[:cut])
            ask(place, turn, cut)
        else:
            mixed = list(pages)
            a, b = draw.randrange(1, len(pages)), draw.randrange(1, len(pages))
            mixed[a], mixed[b] = mixed[b], bytes(4096)
            place.write_bytes(b"".join(mixed))
            ask(place, turn, (a, b))


WRONG = [None, "", "[]", "{}", "5", '"x"', '{"a":', "NaN", b"\xff\xfe", -1, 1e308, "9" * 5000, "[" * 100_000, "a\0b"]
TABLES = {
    "runs": ["config", "state", "verdict", "summary", "rounds", "source", "started_at", "status", "seed", "id"],
    "candidates": ["scores", "timings", "extra", "text", "canonical", "gate", "score", "sign", "round", "seconds"],
    "chain_steps": ["chain", "fingerprint", "action", "round", "score"],
    "exchanges": ["usage", "exemplars"],
    "results": ["scores", "split"],
    "starting_factors": ["canonical", "score"],
    "meta": ["value"],
}


def change(place: Path, table: str, column: str, value: Any) -> bool:
    """Write a value over a column; whether the database let itself be written."""
    with closing(sqlite3.connect(place)) as c:
        try:
            c.execute("PRAGMA foreign_keys=OFF")
            c.execute("PRAGMA synchronous=OFF")
            c.execute(f"UPDATE {table} SET {column} = ?", (value,))
            c.commit()
        except sqlite3.Error:  # unique, or not null
            return False
    return True


@pytest.mark.parametrize("table", TABLES)
def test_columns_that_hold_what_was_never_written(table: str, made: bytes, here: Path) -> None:
    draw = random.Random(table)
    for turn, (column, value) in enumerate((c, v) for c in TABLES[table] for v in draw.sample(WRONG, 3)):
        place = here / f"{turn}.sqlite"
        place.write_bytes(made)
        if change(place, table, column, value):
            ask(place, turn, (table, column, str(value)[:20]))
        place.unlink()


def paths(document: Any, *, most: int = 400) -> list[tuple[Any, ...]]:
    """Where something stands in a document, the first of every list."""
    found: list[tuple[Any, ...]] = []
    queue: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    while queue and len(found) < most:
        at, value = queue.pop(0)
        inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
        for key, child in inside:
            found.append((*at, key))
            queue.append(((*at, key), child))
    return found


def altered(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the document with another value at a path; without it for `...`."""
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return copy


def test_the_result_of_a_run_with_a_key_gone_or_of_another_kind(mined: Path, here: Path) -> None:
    place = here / "ledger.sqlite"
    shutil.copy(mined / "ledger.sqlite", place)
    with closing(sqlite3.connect(place)) as c:
        document = json.loads(c.execute("SELECT summary FROM runs").fetchone()[0])
    told = 0
    for turn, at in enumerate(paths(document, most=60)):
        change(place, "runs", "summary", json.dumps(altered(document, at, 5 if turn % 3 else ...)))
        code, said = quietly(["runs", "show" if turn % 2 else "report", "last", "--ledger", str(place)])
        assert code in (0, EXIT_USAGE), (at, said)
        told += "damaged" in said
    assert told > 4


def test_the_state_of_a_run_that_is_to_go_on(mined: Path, here: Path) -> None:
    place = here / "ledger.sqlite"
    shutil.copy(mined / "ledger.sqlite", place)
    with closing(sqlite3.connect(place)) as c:
        state, config = map(json.loads, c.execute("SELECT state, config FROM runs").fetchone())
        c.execute("UPDATE runs SET status = 'running', summary = NULL, verdict = NULL, finished_at = NULL")
        c.commit()
    draw = random.Random(3)
    cases: list[tuple[str, Any]] = [("state", altered(state, p, ...)) for p in draw.sample(paths(state), 6)]
    cases += [("state", altered(state, p, [5])) for p in draw.sample(paths(state), 4)]
    cases += [("config", altered(config, p, [5])) for p in draw.sample(paths(config), 3)]
    cases += [("state", {}), ("state", {"library": 5}), ("config", {"nosuch": 1})]
    for column, document in cases:
        copy = here / "copy.sqlite"
        shutil.copy(place, copy)
        change(copy, "runs", column, json.dumps(document))
        sound(["mine", "--resume", "last", "--rounds", "2", "--quiet", "--ledger", str(copy)], (column, document))


def test_an_older_layout_that_cannot_be_brought_up_to_date(here: Path) -> None:
    told = 0
    for turn, path in enumerate(paths(STATE, most=40)):
        place = here / f"{turn}.sqlite"
        with closing(sqlite3.connect(place, isolation_level=None)) as c:
            for statement in statements("sqlite"):
                c.execute(statement)
        assert change(place, "runs", "state", json.dumps(altered(STATE, path, 5)))
        try:
            with Ledger.open(place, create=False) as store:
                store.list_runs()
        except StoreError as error:
            told += "damaged" in str(error)
    assert told > 5


# What else is kept


def damage(path: Path, how: str, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        for _ in range(draw.choice((1, 1, 5))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: draw.randrange(len(data))])
    elif how == "deep":
        path.write_text("[" * 50_000 + "]" * 50_000)
    elif how == "gone":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "altered":
        document = json.loads(data)
        value = draw.choice([..., None, 5, "x", [], {}, -1.5, [None], 10**30, "2024-13", "../../x"])
        path.write_text(json.dumps(altered(document, draw.choice(paths(document)), value)))


HOW = ("flipped", "flipped", "cut", "deep", "gone", "a folder")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A factor store, and data that go on after it."""
    folder = tmp_path_factory.mktemp("stored")
    import polars as pl

    data = [str(folder / "all.parquet"), str(folder / "first.parquet")]
    assert quietly(["data", "simulate", "--output", data[0], "--symbols", "5", "--dates", "50"])[0] == 0
    frame = pl.read_parquet(data[0])
    frame.filter(pl.col("date") < sorted(frame["date"].unique())[40]).write_parquet(data[1])
    assert quietly(["compute", "RANK(CLOSE)", "--store", str(folder / "store"), "--data", data[1]])[0] == 0
    return folder


def test_a_factor_store(stored: Path, here: Path) -> None:
    draw = random.Random(29)
    store = here / "store"
    for turn in range(60):
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(stored / "store", store)
        files = sorted(f for f in store.rglob("*") if f.is_file() and f.suffix in (".json", ".parquet"))
        file = draw.choice([f for f in files if f.suffix == ".json"] if turn % 3 else files)
        how = draw.choice([*HOW, *(["altered"] * 6 if file.suffix == ".json" else [])])
        damage(file, how, draw)
        with contextlib.suppress(FamaError):
            found = ff.open_store(store)
            assert found.names
            assert len(found.dates)
            found.scan(start="2015-01-01", end="2015-02-20")
        more = [["--append"], ["--append", "--verify"], ["--rebuild"]][turn % 3]
        sound(["compute", "--store", str(store), *more, "--data", str(stored / "all.parquet")], (file, how))


def test_a_factor_cache(here: Path) -> None:
    alpha = ff.compile("RANK(CLOSE)")
    values = np.arange(12.0).reshape(3, 4)
    draw = random.Random(30)
    for turn in range(80):
        folder = here / str(turn)
        cache = FactorCache(folder)
        cache.save(FactorSet([Factor("RANK(CLOSE)", alpha.canonical, alpha.fingerprint)]))
        cache.put_values(alpha.fingerprint, "h", values)
        file = draw.choice(sorted(f for f in folder.rglob("*") if f.is_file()))
        damage(file, draw.choice([*HOW, *(["altered"] if file.suffix == ".json" else [])]), draw)
        with contextlib.suppress(StoreError):
            cache.load()
        with contextlib.suppress(StoreError):
            found = cache.values(alpha.fingerprint, "h")
            assert found is None or np.array_equal(found, values)
        with contextlib.suppress(StoreError):
            cache.entries()


def test_an_exchange_log(here: Path) -> None:
    draw = random.Random(31)
    path = here / "exchanges.jsonl"
    for turn in range(80):
        path.unlink(missing_ok=True) if not path.is_dir() else path.rmdir()
        log = ExchangeLog(path)
        for i in range(4):
            log.append(Exchange(f"h{i}", "text", "stop", 1, 2, {"a": 1}))
        if turn % 2:
            lines = path.read_text().splitlines()
            line = here / "line.json"
            line.write_text(lines[turn % 4])
            damage(line, "altered", draw)
            lines[turn % 4] = line.read_text()
            path.write_text("\n".join(lines) + "\n")
        else:
            damage(path, draw.choice(HOW), draw)
        with contextlib.suppress(ProposerError):
            ExchangeLog(path).append(Exchange("x", "y"))


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 50_000 + "x", "[" * 201 + "]" * 201])
def test_yaml_that_is_very_deep_is_refused_and_ends_no_process(text: str) -> None:
    with pytest.raises(StoreError, match=r"f\.yaml: nested more than 200 deep"):
        load(text, "f.yaml")


def test_yaml_that_is_wide_is_no_deep_one() -> None:
    assert load("[" + "[1], " * 3000 + "]", "f.yaml") == [[1]] * 3000
    assert load("[" * 200 + "]" * 200, "f.yaml")


def test_the_state_of_a_stream() -> None:
    panel = ff.Panel(np.datetime64("2020-01-01") + np.arange(9), list("AB"), {"CLOSE": np.arange(18.0).reshape(9, 2)})
    state = Stream(ff.compile("TS_MEAN(CLOSE, 3)"), panel).state()
    draw = random.Random(32)
    for turn in range(120):
        data = bytearray(state)
        if turn % 3:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        else:
            del data[draw.randrange(len(data)) :]
        with contextlib.suppress(FamaError):
            Stream.restore(bytes(data))
