"""Some of the inputs of `tests.support.file_fuzz`; run the module by hand for many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import file_fuzz

EACH = -(-500 // len(file_fuzz.KINDS))


@pytest.mark.parametrize("kind", list(file_fuzz.KINDS))
def test_whatever_lies_in_a_file_is_read_rightly_or_refused_clearly(kind: str, tmp_path: Path) -> None:
    outcomes = set()
    for number in range(EACH):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            outcomes.add(file_fuzz.run(kind, number, folder))
        except BaseException as error:  # noqa: BLE001  (a panic of Polars is no Exception)
            pytest.fail(
                f"python -m tests.support.file_fuzz --kind {kind} --only {number}: {type(error).__name__}: {error}"
            )
    assert outcomes <= {"read", "refused"}
    assert outcomes
