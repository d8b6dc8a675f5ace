"""Reads factors from anything this package writes: a run of the ledger, a result, an exported run, a set of factors.

One function for every command that takes factors, `read_factors`. It reads and checks; what is done with the factors,
and on which data, is its callers' business.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import DataError, StoreError, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fama_fast.ledger.records import RunRecord
    from fama_fast.library.factor import Factor

TABLES = (".csv", ".parquet", ".pq")
DOCUMENTS = (".yaml", ".yml", ".json", ".jsonl")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*:\s*(\S.*)\Z", re.DOTALL)
_RUN = re.compile(r"last|\d{8}(T\d{0,6}(-[0-9a-f]{0,6})?)?\Z")


@dataclass(frozen=True)
class FactorSource:
    """Factors that were read, and where from.

    Attributes:
        source: the file, or the run with its ledger, for people. factors: in their order there.
        run: of the ledger. document: the result document of a finished run.
        settings: of the run: what its data are, and how they are read. None without a run.
        note: what people should know of the choice made, such as how many candidates were left out.
    """

    source: str
    factors: tuple[Factor, ...]
    run: RunRecord | None = None
    document: dict[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
    note: str = ""

    @property
    def run_id(self) -> str:
        """Id of the run that found the factors; empty without one."""
        if self.run is not None:
            return self.run.id
        return "" if self.document is None else str(self.document["record"]["run"])

    @property
    def data_source(self) -> str:
        """Name of the run's data, as they called themselves; empty without a run."""
        if self.run is not None:
            return self.run.source
        return "" if self.document is None else str(self.document["data"]["source"])

    @property
    def data_hash(self) -> str:
        """Hash of the run's data; empty without a run."""
        if self.run is not None:
            return self.run.data_hash
        return "" if self.document is None else str(self.document["data"]["hash"])

    @property
    def data_record(self) -> dict[str, Any] | None:
        """Record of how the run obtained its data, see `setup.data_again`; None where there is none."""
        if self.run is not None:
            return self.run.data
        record = None if self.document is None else self.document["record"].get("data")
        return record if isinstance(record, dict) else None


def named_text(text: str) -> tuple[str | None, str]:
    """Name and expression of `name: expression`; None and the expression without a name."""
    named = _NAMED.match(text)
    return (named[1], named[2].strip()) if named else (None, text.strip())


def read_lines(path: Path) -> list[tuple[str | None, str]]:
    """(name or None, expression) of each line of a text file; see `numbered_lines`."""
    return [(name, expression) for _, name, expression in numbered_lines(path)]


def numbered_lines(path: Path) -> list[tuple[int, str | None, str]]:
    """(number, name or None, expression) of each line of a text file, without `#` comments and empty lines.

    Raises:
        DataError: there is no such file, it is no text, or holds no expression.
    """
    if not path.exists():
        raise DataError(f"the file {path} does not exist")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file of expressions: {error.reason}") from error
    expressions = [
        (number, *named_text(text))
        for number, line in enumerate(lines, start=1)
        if (text := line.partition("#")[0].strip())
    ]
    if not expressions:
        raise DataError(f"{path} holds no expression")
    return expressions


def is_file(target: str) -> bool:
    """Whether a text names a file rather than a run or an expression: by its ending, or because the file exists."""
    if target.lower().endswith((*TABLES, *DOCUMENTS, ".txt")) and "\n" not in target:
        return True
    try:
        return Path(target).is_file()
    except (OSError, ValueError):  # a long expression is no file name
        return False


def is_written(target: str) -> bool:
    """Whether a file has the ending of a format that this package writes; any other is text, an expression a line."""
    return target.lower().endswith((*TABLES, *DOCUMENTS))


def names_a_run(text: str) -> bool:
    """Whether text is a run's id, the beginning of one, or `last`; no expression and no file looks so."""
    return _RUN.fullmatch(text) is not None


def read_factors(target: str | Path, *, ledger: str | None = None) -> FactorSource:
    """Factors from a file that this package wrote, or from a run.

    Args:
        target: a result (`mine --output`, also as JSON or the lines of `mine --json`), a set of factors, an export of a
            run (the factors, or the table of candidates, of which those admitted are taken), a table of `score`, the
            values that `compute` wrote, a text file of expressions; or a run's id, the beginning of one, or `last`.
        ledger: where runs are recorded; its usual place by default.

    Raises:
        DataError: there is no such file, or nothing in it is a factor. StoreError: no such run; a file that is damaged:
            the key or row is named.
    """
    if is_file(str(target)):
        return read_file(Path(target))
    return _of_run(str(target), ledger)


def _of_run(name: str, ledger: str | None) -> FactorSource:
    from fama_fast.ledger.ledger import Ledger
    from fama_fast.mining.config_file import load_config
    from fama_fast.mining.run.setup import ledger_place

    with Ledger.open(ledger_place(load_config(None, {"ledger": ledger})), create=False) as store:
        run = store.get_run(name)
        factors = run_factors(run, store.results(run.id))
        place = store.place
    return FactorSource(f"run {run.id} of {place}", tuple(factors), run, run.summary, run.config)


def run_factors(run: RunRecord, results: Mapping[str, Mapping[str, Any]]) -> list[Factor]:
    """The factors that a run ended with, with the test's figures where it opened the test; while it searches those that
    it admitted so far.

    Args:
        results: of the run, as `Ledger.results` gives them.

    Raises:
        StoreError: no round of it was committed.
    """
    from dataclasses import replace

    from fama_fast.ledger.records import FACTORS
    from fama_fast.library.codec import factor_from_dict

    if run.state is None:
        raise StoreError(f"run {run.id} has no committed round: nothing was found yet")
    kept = run.state.get(FACTORS)
    if kept is None:
        kept = [entry["factor"] for entry in run.state["library"] if entry["mined"]]
    out = []
    for entry in kept:
        factor = factor_from_dict(entry, where=f"run {run.id}")
        test = results.get(factor.fingerprint, {}).get("test")
        if test is not None:
            factor = replace(factor, scores={**factor.scores, "test": dict(test)})
        out.append(factor)
    return out


def read_file(path: Path) -> FactorSource:
    """Factors from a file, by its ending: see `read_factors`; without a known one it is text.

    Raises:
        DataError: there is no such file, or nothing in it is a factor. StoreError: it is damaged; the line, row, entry
            or key is named.
    """
    if not path.exists():
        raise DataError(f"the file {path} does not exist")
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return _of_table(_table(path), str(path))
    if suffix not in DOCUMENTS:
        lines = numbered_lines(path)
        return FactorSource(str(path), tuple(_line_factor(text, f"{path}, line {at}") for at, _, text in lines))
    text = _text(path)
    if suffix == ".jsonl":
        return _of_lines(text, str(path))
    if suffix == ".json":
        return _of_data(_json(text, str(path)), str(path))
    from fama_fast.library.strict_yaml import load

    return _of_data(load(text, str(path)), str(path))


def _line_factor(text: str, source: str) -> Factor:
    from fama_fast.library.codec import factor_from_dict

    return factor_from_dict({"expression": text}, where=source)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {path}: it is not UTF-8 text ({error.reason})") from error


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(f"{source}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError:
        raise StoreError(f"{source}: nested too deeply") from None


def _of_data(data: Any, source: str) -> FactorSource:
    from fama_fast.library.factor_set import FactorSet
    from fama_fast.mining.verdict.document import is_document, read_document

    if isinstance(data, dict) and data.get("event") == "end" and "result" in data:
        data = data["result"]  # of `mine --json`
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data) and "factors" not in data[0]:
        return _of_table(data, source)
    if is_document(data):
        document, factors = read_document(data, source)
        return FactorSource(source, factors, document=document, settings=document["settings"])
    if data is None:
        raise StoreError(f"{source}: the file is empty")
    return FactorSource(source, tuple(FactorSet.from_dict(data, source=source)))


def _of_lines(text: str, source: str) -> FactorSource:
    """Factors of the lines of `mine --json`, whose last says how the run ended."""
    lines = [line for line in text.splitlines() if line.strip()]
    last = _json(lines[-1], f"{source}: its last line") if lines else None
    if not isinstance(last, dict) or last.get("event") != "end" or "result" not in last:
        raise DataError(f"{source}: its last line is no 'end' of a run: it was cut, or the run failed")
    return _of_data(last, source)


def _table(path: Path) -> list[dict[str, Any]]:
    import polars as pl

    try:
        values = _columns_of_values(path)
        if values is not None:
            return values
        frame = pl.read_csv(path, infer_schema=False) if path.suffix.lower() == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
    if "canonical" not in frame.columns:
        raise DataError(
            f"{path} holds no factors: a table of them has a column 'canonical', this one has "
            f"{listed(frame.columns, 8)} (market data are named with --data)"
        )
    columns = [
        c for c in ("canonical", "expression", "text", "fingerprint", "gate", "place", "sign") if c in frame.columns
    ]
    return frame.select(columns).to_dicts()


def _columns_of_values(path: Path) -> list[dict[str, Any]] | None:
    """Metadata of the columns in a file of values; None of another file."""
    import polars as pl

    from fama_fast.engine.outputs import ABOUT, beside

    if path.suffix.lower() == ".csv":
        note = beside(path)
        about = _json(_text(note), str(note)) if note.exists() else None
    else:
        said = pl.read_parquet_metadata(path).get(ABOUT)
        about = None if said is None else _json(said, f"{path}: its metadata")
    columns = about.get("columns") if isinstance(about, dict) else None
    if not isinstance(columns, dict):
        return None
    return [dict(column) for column in columns.values() if isinstance(column, dict)]


def _of_table(rows: Iterable[Mapping[str, Any]], source: str) -> FactorSource:
    """Factors of the rows of `runs export`: the candidates that the run ended with, in their order, or that were
    admitted, where none has a place; or of a table that `score` wrote: each expression."""
    from fama_fast.library.factor_set import FactorSet

    factors, left = FactorSet(), 0
    numbered = list(enumerate(rows, start=1))
    places = {number: _place(row, f"{source}, row {number}") for number, row in numbered}
    ended = any(place is not None for place in places.values())
    if ended:
        numbered.sort(key=lambda item: (places[item[0]] is None, places[item[0]] or 0))
    for number, row in numbered:
        if "canonical" not in row:
            raise StoreError(f"{source}, row {number}: the column 'canonical' is missing")
        if places[number] is None if ended else row.get("gate"):
            left += 1
            continue
        factor = _row_factor(row, f"{source}, row {number}")
        if factor not in factors:
            factors.add(factor)
    which = "that the run ended with; {left} are none of them" if ended else "that were admitted; {left} were not"
    note = f"{source}: the {len(factors)} candidates {which.format(left=left)}" if left else ""
    return FactorSource(source, tuple(factors), note=note)


def _place(row: Mapping[str, Any], where: str) -> int | None:
    """Place of a candidate among the factors that its run ended with, from 1."""
    place = row.get("place")
    if place in (None, ""):
        return None
    if isinstance(place, bool) or not re.fullmatch(r"[1-9][0-9]{0,9}(\.0)?", str(place)):
        raise StoreError(f"{where}: place must be a number from 1 on, found {quoted(place)}")
    return int(float(place))


def _row_factor(row: Mapping[str, Any], where: str) -> Factor:
    from fama_fast.library.codec import factor_from_dict

    sign = row.get("sign")
    if isinstance(sign, str) and re.fullmatch(r"-?1(\.0)?", sign):
        sign = int(float(sign))
    if sign not in (1, -1, None, ""):
        raise StoreError(f"{where}: sign must be 1 or -1, found {quoted(sign)}")
    entry = {"expression": row["canonical"], "fingerprint": row.get("fingerprint") or None, "sign": sign or 1}
    return factor_from_dict(entry, where=where)
