"""The factor cache on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fama_fast.errors import OutputError, StoreError
from fama_fast.library import FactorCache, FactorSet, make_factor

RANK = make_factor("RANK(CLOSE)")
VALUES = np.random.default_rng(0).normal(size=(7, 5))


def test_a_file_keeps_the_set_and_no_values(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache.yaml")
    assert cache.load() == FactorSet()
    cache.save(FactorSet([RANK]))
    assert FactorCache(str(tmp_path / "cache.yaml")).load() == FactorSet([RANK])
    assert not cache.stores_values
    assert cache.values(RANK.fingerprint, "d0") is None
    assert cache.entries() == ()
    with pytest.raises(StoreError, match=r"cache\.yaml: .* keeps no values; give a folder"):
        cache.put_values(RANK.fingerprint, "d0", VALUES)


def test_a_folder_keeps_set_and_values(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "deep" / "cache")
    assert cache.load() == FactorSet()
    assert cache.values(RANK.fingerprint, "d0") is None
    assert not cache.path.exists(), "reading makes nothing"
    cache.save(FactorSet([RANK]))
    cache.put_values(RANK.fingerprint, "d0", VALUES)
    cache.put_values(RANK.fingerprint, "d1", np.asfortranarray(VALUES.astype(np.float32)))
    again = FactorCache(tmp_path / "deep" / "cache")
    assert again.load() == FactorSet([RANK])
    assert again.entries() == ((RANK.fingerprint, "d0"), (RANK.fingerprint, "d1"))
    found = again.values(RANK.fingerprint, "d0")
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert np.array_equal(found, VALUES)
    single = again.values(RANK.fingerprint, "d1")
    assert single is not None
    assert single.dtype == np.float32
    assert np.array_equal(single, VALUES.astype(np.float32))
    assert again.values(RANK.fingerprint, "d2") is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_missing_values_keep_their_bits_and_new_values_replace_old_ones(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache")
    holes = VALUES.copy()
    holes[2:4] = np.nan
    cache.put_values("f", "d", VALUES)
    cache.put_values("f", "d", holes)
    cache.put_values("f", "d", holes)
    found = cache.values("f", "d")
    assert found is not None
    assert np.array_equal(found, holes, equal_nan=True)


def entry(cache: FactorCache, suffix: str) -> Path:
    return cache.path / "values" / f"f.d{suffix}"


def test_a_damaged_entry_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache")
    cache.put_values("f", "d", VALUES)
    good = entry(cache, ".npy").read_bytes()
    entry(cache, ".npy").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"f\.d\.npy: .*damaged"):
        cache.values("f", "d")
    assert cache.values("f", "d", verify=False) is not None
    for broken in (good[:-8], good[:20], b"", b"not numpy at all"):
        entry(cache, ".npy").write_bytes(broken)
        with pytest.raises(StoreError, match=r"f\.d\.npy"):
            cache.values("f", "d")
    with entry(cache, ".npy").open("wb") as out:
        np.save(out, VALUES[:3])
    with pytest.raises(StoreError, match=r"shape \(3, 5\), but f\.d\.json says"):
        cache.values("f", "d")
    entry(cache, ".npy").unlink()
    assert cache.values("f", "d") is None
    cache.put_values("f", "d", VALUES)
    assert cache.values("f", "d") is not None
    for broken_note in ("{", "[]", '{"shape": 1}'):
        entry(cache, ".json").write_text(broken_note, encoding="utf-8")
        with pytest.raises(StoreError, match=r"f\.d\.json: .*damaged"):
            cache.values("f", "d")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache")
    cache.put_values("f", "d", VALUES)
    with entry(cache, ".npy").open("wb") as out:
        np.save(out, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="damaged"):
        cache.values("f", "d")


@pytest.mark.parametrize("key", ["", "../f", "a/b", "a.b", "x" * 200])
def test_keys_cannot_leave_the_folder(key: str, tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache")
    with pytest.raises(StoreError, match="cannot name a cache entry"):
        cache.put_values(key, "d", VALUES)
    with pytest.raises(StoreError, match="cannot name a cache entry"):
        cache.values("f", key)


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 2), dtype=np.int64), np.zeros((0, 3))])
def test_only_float_matrices_are_kept(values: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="values must be float64 or float32"):
        FactorCache(tmp_path / "cache").put_values("f", "d", values)


def test_a_path_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match=r"plain: a factor cache is a folder or a file that ends in \.yaml"):
        FactorCache(tmp_path / "plain")
    with pytest.raises(StoreError, match=r"not \.parquet"):
        FactorCache(tmp_path / "cache.parquet")
    (tmp_path / "folder.yaml").mkdir()
    assert FactorCache(tmp_path / "folder.yaml").stores_values
    with pytest.raises(OutputError, match="plain"):
        FactorCache(tmp_path / "plain" / "under").save(FactorSet())


def test_a_broken_set_in_a_folder_names_its_file(tmp_path: Path) -> None:
    cache = FactorCache(tmp_path / "cache")
    cache.save(FactorSet([RANK]))
    cache.factors_path.write_text("factors: [RANK(]", encoding="utf-8")
    with pytest.raises(StoreError, match=r"factors\.yaml, entry 1"):
        cache.load()
