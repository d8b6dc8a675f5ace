"""Files are written whole or not at all."""

from __future__ import annotations

import pytest

from fama_fast.atomic import atomic_write, ensure_writable
from fama_fast.errors import OutputError


def test_a_finished_file_replaces_the_old_one(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    target.chmod(0o640)
    with atomic_write(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(target) as temporary:
        temporary.write_text("half" * (1 // 0))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_os_error_inside_becomes_an_output_error_naming_the_path(tmp_path):
    target = tmp_path / "out.txt"
    with pytest.raises(OutputError, match=r"out\.txt: No space left"), atomic_write(target):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_an_output_error_inside_passes_unchanged(tmp_path):
    with pytest.raises(OutputError, match="as it is"), atomic_write(tmp_path / "out.txt"):
        raise OutputError("as it is")


@pytest.mark.parametrize("function", [ensure_writable, lambda p: atomic_write(p).__enter__()])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path, function):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="does not exist"):
        function(tmp_path / "nowhere" / "out.txt")
    with pytest.raises(OutputError, match="is not a folder"):
        function(tmp_path / "file" / "out.txt")
    with pytest.raises(OutputError, match="it is a folder"):
        function(tmp_path)


def test_ensure_writable_leaves_nothing(tmp_path):
    assert ensure_writable(tmp_path / "a.csv") == tmp_path / "a.csv"
    assert list(tmp_path.iterdir()) == []
