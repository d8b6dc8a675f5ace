"""A fuzzer of everything that is read from disk: market data of all layouts, memberships, groups, configurations,
factor sets, results and models' answers.

Each input follows from its kind and number alone. What it must end in is a `FamaError` with one short message, or what
was written: data whose values are known come back as they were, broken ones as a panel that holds together.

    python -m tests.support.file_fuzz --inputs 50000              every kind, numbers 0, 1, 2, ...
    python -m tests.support.file_fuzz --kind csv_broken --only 17  one of them again; its folder stays
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import itertools
import random
import shutil
import string
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import fama_fast as ff
from fama_fast.errors import FamaError
from tests.support.file_fuzz_layouts import LAYOUTS

LONGEST_MESSAGE = 6000
Kind = Callable[[random.Random, Path], str]
KINDS: dict[str, Kind] = {}
ODD_TEXTS = (
    "NA", "--", "1,5", "1.5%", "−3", "1e400", "inf", "-inf", "nan", " ", "\t", '"', "'", "\\N", "#REF!", "0x10",
    "(3)", "$4", "TRUE", "2020-02-30", "20201301", "\ufeff", "\u202e", "\x1b[31m", "é", "中文", "", "1_000",
    "x" * 3000, "9" * 400,
)  # fmt: skip
ODD_BYTES = (b"\0", b"\xff", b"\r", b"\n", b",", b'"', b"\xef\xbb\xbf", b"\x1a", b"PAR1", b"\x80\x81", b";", b"\t")


def kind(function: Kind) -> Kind:
    """Registers a kind of input: it writes files into a folder, reads them, and gives "read" or "refused"."""
    KINDS[function.__name__] = function
    return function


def refused_or(read: Callable[[], None]) -> str:
    """Runs it; a refusal must be one readable message."""
    try:
        read()
    except FamaError as error:
        message = str(error)
        assert message.strip(), "an empty message"
        assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
        return "refused"
    return "read"


def holds_together(panel: ff.Panel) -> None:
    """What every panel must be, whatever the file held."""
    dates = panel.dates
    assert dates.size
    assert bool(np.all(dates[1:] > dates[:-1]))
    symbols = panel.symbols.tolist()
    assert symbols == sorted(set(symbols))
    assert all(isinstance(s, str) and s.strip() == s and s for s in symbols), symbols
    for name in panel.supplied_fields:
        assert panel[name].shape == panel.shape
        assert not np.isinf(panel[name]).any(), name
    for name in panel.groups:
        group = panel.group(name)
        codes = group.codes[np.isfinite(group.codes)]
        assert codes.size == 0 or (codes.min() >= 0 and codes.max() < len(group.labels))


class Table:
    """A random table of bars with what must come out of it."""

    def __init__(self, rng: random.Random, *, dates: int = 6, symbols: int = 4) -> None:
        self.rng = rng
        start = dt.date(2000, 1, 1) + dt.timedelta(days=rng.randrange(9000))
        self.dates = [start + dt.timedelta(days=i) for i in range(rng.randint(1, dates))]
        alphabet = string.ascii_uppercase + string.digits
        names = {"".join(rng.choices(alphabet, k=rng.randint(1, 6))) for _ in range(rng.randint(1, symbols))}
        self.symbols = sorted(names - {"NA", "NAN", "NULL", "NONE"} or {"A1"})
        self.fields = ["open", "high", "low", "close", "volume"][rng.randint(0, 3) :]
        self.rows = [(d, s) for d in self.dates for s in self.symbols if rng.random() > 0.1] or [
            (self.dates[0], self.symbols[0])
        ]
        if rng.random() < 0.5:
            rng.shuffle(self.rows)
        self.values = {
            f: [None if rng.random() < 0.05 else round(rng.uniform(1, 1000), rng.randint(0, 4)) for _ in self.rows]
            for f in self.fields
        }
        for f in self.fields:  # a column without any value has no type to speak of
            self.values[f][0] = 12.5

    def frame(self) -> pl.DataFrame:
        keys = {"date": [d for d, _ in self.rows], "symbol": [s for _, s in self.rows]}
        return pl.DataFrame({**keys, **self.values}, schema_overrides=dict.fromkeys(self.fields, pl.Float64))

    def check(self, panel: ff.Panel) -> None:
        holds_together(panel)
        dates = sorted({d for d, _ in self.rows})
        symbols = sorted({s for _, s in self.rows})
        assert [str(d) for d in panel.dates.astype("datetime64[D]")] == [str(d) for d in dates]
        assert panel.symbols.tolist() == symbols
        for f in self.fields:
            expected = np.full((len(dates), len(symbols)), np.nan)
            for (d, s), value in zip(self.rows, self.values[f], strict=True):
                expected[dates.index(d), symbols.index(s)] = np.nan if value is None else value
            np.testing.assert_array_equal(panel[f.upper()], expected, err_msg=f)


def broken(rng: random.Random, data: bytes) -> bytes:
    """Bytes after one to three accidents: cut, flipped, doubled, dropped, something put in."""
    for _ in range(rng.randint(1, 3)):
        if not data:
            return data
        at = rng.randrange(len(data))
        end = min(len(data), at + rng.randint(1, 40))
        what = rng.randrange(6)
        if what == 0:
            data = data[:at]
        elif what == 1:
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif what == 2:
            data = data[:at] + data[end:]
        elif what == 3:
            data = data[:at] + data[at:end] * rng.randint(2, 5) + data[end:]
        elif what == 4:
            data = data[:at] + rng.choice(ODD_BYTES) + data[at:]
        else:
            data = data[:at] + rng.choice(ODD_TEXTS).encode("utf-8", "replace") + data[end:]
    return data


def in_memory_and_in_parts(path: Path, **options: Any) -> None:
    """Reads both ways: the same panel, or a refusal of both."""
    first = second = None
    try:
        first = ff.load_market_data(path, **options)
        holds_together(first)
    finally:
        try:
            second = ff.scan_market_data(path, **options).panel()
        except FamaError:
            if first is not None:
                raise AssertionError("read in memory, refused in parts") from None
        else:
            assert first is not None, "read in parts, refused in memory"
            assert first.data_hash == second.data_hash, "other values in parts"


@kind
def csv_right(rng: random.Random, folder: Path) -> str:
    """Whole CSV files as programs write them, in their dialects."""
    table = Table(rng)
    frame = table.frame()
    columns = frame.columns
    rng.shuffle(columns)
    day = rng.choice(["%Y-%m-%d", "%Y%m%d", "%Y/%m/%d"])
    frame = frame.select(columns).with_columns(pl.col("date").dt.strftime(day))
    renamed = {
        "date": rng.choice(["date", "Date", "trade_date", "datetime"]),
        "symbol": rng.choice(["symbol", "ticker"]),
    }
    frame = frame.rename(renamed)
    missing = rng.choice(["", "NA", "nan", "null", "N/A"])
    decimal = rng.random() < 0.15
    separator = ";" if decimal else rng.choice([",", ";", "\t", "|"])
    text = frame.write_csv(
        separator=separator, null_value=missing, quote_style=rng.choice(["necessary", "non_numeric"])
    )
    if decimal:
        head, _, body = text.partition("\n")
        text = head + "\n" + body.replace(".", ",")
    if rng.random() < 0.3:
        text = text.rstrip("\n")
    if rng.random() < 0.3:
        text += "\n" * rng.randint(1, 3)
    if rng.random() < 0.3:
        text = text.replace("\n", "\r\n")
    raw = text.encode("utf-8-sig" if rng.random() < 0.2 else "utf-8")
    path = folder / "bars.csv"
    if rng.random() < 0.2:
        path, raw = folder / "bars.csv.gz", gzip.compress(raw)
    path.write_bytes(raw)
    options = {"decimal": ","} if decimal else {}
    table.check(ff.load_market_data(path, **options))
    return "read"


@kind
def csv_broken(rng: random.Random, folder: Path) -> str:
    """CSV files after accidents."""
    path = folder / "bars.csv"
    path.write_bytes(broken(rng, Table(rng).frame().write_csv().encode()))
    return refused_or(lambda: holds_together(ff.load_market_data(path)))


@kind
def csv_odd_cells(rng: random.Random, folder: Path) -> str:
    """CSV files with odd cells and headers."""
    frame = Table(rng).frame()
    lines = [line.split(",") for line in frame.write_csv().splitlines()]
    for _ in range(rng.randint(1, 4)):
        line = rng.choice(lines)
        line[rng.randrange(len(line))] = rng.choice(ODD_TEXTS)
    path = folder / "bars.csv"
    path.write_text("\n".join(map(",".join, lines)), encoding="utf-8", errors="surrogatepass")
    return refused_or(lambda: holds_together(ff.load_market_data(path)))


@kind
def csv_columns(rng: random.Random, folder: Path) -> str:
    """CSV files of 0 to 10,000 columns and few rows."""
    count = rng.choice([0, 1, 2, 3, 10, 100, 1000, 10_000])
    head = ["date", "symbol", "close"][: min(3, count)] + [f"f{i}" for i in range(count - 3)]
    lines = [",".join(head)]
    lines += [",".join(["2020-01-02", f"A{r}", *["1"] * (count - 2)][:count]) for r in range(rng.randint(0, 3))]
    path = folder / "bars.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return refused_or(lambda: holds_together(ff.load_market_data(path)))


NUMBER_TYPES: tuple[Any, ...] = (
    pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.UInt16, pl.UInt32, pl.UInt64, pl.Decimal(20, 2),
)  # fmt: skip


@kind
def parquet_types(rng: random.Random, folder: Path) -> str:
    """Parquet files whose columns have all kinds of types; whole numbers, so that every type holds them."""
    table = Table(rng)
    table.values = {f: [float(rng.randint(1, 30000)) for _ in table.rows] for f in table.fields}
    frame = table.frame().with_columns(pl.col(f).cast(rng.choice(NUMBER_TYPES)) for f in table.fields)
    date: Any = rng.choice([pl.Date, pl.Datetime("us"), pl.Datetime("ns"), pl.Datetime("ms"), pl.String])
    frame = frame.with_columns(pl.col("date").cast(date))
    if rng.random() < 0.5:
        frame = frame.with_columns(pl.col("symbol").cast(pl.Categorical))
    path = folder / "bars.parquet"
    frame.write_parquet(
        path, row_group_size=rng.choice([1, 3, 1000]), compression=rng.choice(["zstd", "snappy", "lz4"])
    )
    table.check(ff.load_market_data(path))
    table.check(ff.scan_market_data(path).panel())
    return "read"


@kind
def parquet_odd_types(rng: random.Random, folder: Path) -> str:
    """Parquet files with columns that hold no numbers and no texts."""
    frame = Table(rng).frame()
    odd = [
        pl.lit(None).alias("nothing"),
        pl.lit(b"x").alias("bytes"),
        pl.lit(True).alias("flag"),
        pl.concat_list(pl.col("close"), pl.col("close")).alias("list"),
        pl.struct("close").alias("struct"),
        pl.col("date").cast(pl.Datetime("us", "UTC")).alias("stamp"),
        pl.duration(days=1).alias("span"),
        pl.lit(dt.time(1, 2)).alias("time"),
        pl.col("close").cast(pl.Decimal(38, 4)).alias("decimal"),
        pl.col("symbol").cast(pl.Binary).alias("ticker"),
    ]
    frame = frame.with_columns(rng.sample(odd, rng.randint(1, 4)))
    if rng.random() < 0.4:
        taken = rng.choice(frame.columns[-3:])
        frame = frame.with_columns(pl.col(taken).alias(rng.choice(["close", "date", "symbol"])))
    path = folder / "bars.parquet"
    frame.write_parquet(path)
    return refused_or(lambda: in_memory_and_in_parts(path))


@kind
def parquet_broken(rng: random.Random, folder: Path) -> str:
    """Parquet files after accidents."""
    path = folder / "bars.parquet"
    Table(rng).frame().write_parquet(path)
    path.write_bytes(broken(rng, path.read_bytes()))
    return refused_or(lambda: holds_together(ff.load_market_data(path)))


@kind
def partitions(rng: random.Random, folder: Path) -> str:
    """Folders of Parquet files, partitioned or not, with files that do not belong to the data."""
    table = Table(rng, dates=8)
    frame, root = table.frame(), folder / "bars"
    for i, part in enumerate(_parts(rng, frame)):
        place = root
        for level in range(rng.randint(0, 2)):
            place /= rng.choice([f"part={i}", f"sub{i}", f"{level}"])
        place.mkdir(parents=True, exist_ok=True)
        part.write_parquet(place / f"{i}.parquet")
    for stray in rng.sample(["_SUCCESS", ".hidden.parquet", "_x.parquet", "README.md", "_old/a.parquet"], 2):
        (root / stray).parent.mkdir(exist_ok=True)
        (root / stray).write_bytes(b"not data")

    def read() -> None:
        for found in (ff.load_market_data(root), ff.scan_market_data(root).panel()):
            table.check(found)

    return refused_or(read)


def _parts(rng: random.Random, frame: pl.DataFrame) -> list[pl.DataFrame]:
    cuts = sorted({0, frame.height, *(rng.randrange(frame.height) for _ in range(2))})
    return [frame[a:b] for a, b in itertools.pairwise(cuts)]


@kind
def one_file_a_symbol(rng: random.Random, folder: Path) -> str:
    """Folders of one CSV for each symbol, the symbol in the file's name."""
    table = Table(rng)
    frame, root = table.frame(), folder / "bars"
    root.mkdir()
    for (symbol,), part in frame.group_by("symbol"):
        form = rng.choice(["%Y-%m-%d", "%Y%m%d"])
        part.drop("symbol").with_columns(pl.col("date").dt.strftime(form)).write_csv(root / f"{symbol}.csv")
    if frame["symbol"].n_unique() == 1:
        return refused_or(lambda: holds_together(ff.load_market_data(root)))
    table.check(ff.load_market_data(root))
    return "read"


@kind
def memberships(rng: random.Random, folder: Path) -> str:
    """Membership files after accidents."""
    table = Table(rng)
    panel = folder / "bars.parquet"
    table.frame().write_parquet(panel)
    lines = ["symbol,start,end"]
    for symbol in table.symbols:
        start = rng.choice(table.dates)
        end = rng.choice(["", str(start + dt.timedelta(days=rng.randint(0, 5)))])
        lines.append(f"{symbol},{start},{end}")
    path = folder / "members.csv"
    raw = "\n".join(lines).encode()
    path.write_bytes(broken(rng, raw) if rng.random() < 0.8 else raw)
    return refused_or(lambda: holds_together(ff.load_market_data(panel, universe=path)))


@kind
def groups(rng: random.Random, folder: Path) -> str:
    """Group files after accidents."""
    table = Table(rng)
    panel = folder / "bars.parquet"
    table.frame().write_parquet(panel)
    labels = ["Energy", "Banks", "", "N/A", "Été", "1.5%", "--"]
    lines = ["symbol,sector,industry,cap", *(f"{s},{rng.choice(labels)},{rng.choice(labels)},1" for s in table.symbols)]
    path = folder / "groups.csv"
    raw = "\n".join(lines).encode()
    path.write_bytes(broken(rng, raw) if rng.random() < 0.8 else raw)
    return refused_or(lambda: holds_together(ff.load_market_data(panel, groups=path)))


CONFIGURATION = """k: 7
l: 5
u: 20
proposer: evolve
paths:
  market_data: prices.parquet
  output_dir: runs
data: {start: 2015-01-01, columns: {close: px_last}}
run: {rounds: 10, wanted: 20, candidates: 40, seed: 1}
splits: {fractions: [0.6, 0.2, 0.2], horizon: 5}
gates: {max_nodes: 30, min_t: 2.5}
llm: {model: none, temperature: 0.7}
"""


@kind
def configurations(rng: random.Random, folder: Path) -> str:
    """Configurations after accidents."""
    from fama_fast.mining.config_file import load_config

    path = folder / "run.yaml"
    path.write_bytes(broken(rng, CONFIGURATION.encode()))
    return refused_or(lambda: load_config(path) and None)


@kind
def factor_sets(rng: random.Random, folder: Path) -> str:
    """Factor sets after accidents."""
    from fama_fast.library import FactorSet, seed_factors

    path = folder / "factors.yaml"
    FactorSet(list(seed_factors())[:4]).to_yaml(path)
    path.write_bytes(broken(rng, path.read_bytes()))
    return refused_or(lambda: FactorSet.from_yaml(path) and None)


ANSWERS = (
    '[{"hypothesis": "h", "expression": "RANK(DELTA(CLOSE, 5))", "explanation": "e"}]',
    "```json\n{\"alphas\": [{'expression': 'TS_MEAN(VOLUME, 20) / VOLUME'}]}\n```",
    "1. `-RANK(CLOSE)` because ...\n2. **CORREL(CLOSE, VOLUME, 10)**: volume confirms\n",
    "<think>RANK(</think>\nExpression: SIGN(RET) * -1\n\nHypothesis: reversal",
)


@kind
def answers(rng: random.Random, _folder: Path) -> str:
    """Models' answers after accidents."""
    from fama_fast.llm.answers import parse_answer

    text = broken(rng, rng.choice(ANSWERS).encode()).decode("utf-8", "replace")
    parse_answer(text, 5)
    return "read"


KINDS |= LAYOUTS


def run(name: str, number: int, folder: Path) -> str:
    """One input; gives "read" or "refused".

    Raises:
        Whatever must not come out: anything but a `FamaError`, a wrong value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return KINDS[name](random.Random(f"{name} {number}"), folder)


def main() -> int:
    """Runs many inputs and prints the failures; gives how many there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--only", type=int)
    parser.add_argument("--slow", type=float, default=2.0, help="seconds after which an input is a failure")
    asked = parser.parse_args()
    names = [asked.kind] if asked.kind else list(KINDS)
    numbers = [asked.only] if asked.only is not None else range(asked.first, asked.first + asked.inputs // len(names))
    failures, outcomes, slowest = 0, Counter[str](), (0.0, "")
    for number in numbers:
        for name in names:
            folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
            began = time.perf_counter()
            try:
                outcomes[f"{name}: {run(name, number, folder)}"] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failures += 1
                print(f"\n{name} {number}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                if asked.only is not None:
                    traceback.print_exc()
            took = time.perf_counter() - began
            slowest = max(slowest, (took, f"{name} {number}"))
            if took > asked.slow:
                failures += 1
                print(f"\n{name} {number}: {took:.1f} s", flush=True)
            if asked.only is None:
                shutil.rmtree(folder)
            else:
                print(f"{folder} has the files")
    print(
        f"\n{sum(outcomes.values()) + failures} inputs, {failures} failures, slowest {slowest[0]:.2f} s ({slowest[1]})"
    )
    for outcome, count in sorted(outcomes.items()):
        print(f"  {outcome} {count}")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
