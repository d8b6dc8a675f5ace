"""Factor sets, their YAML, seed alphas and the Alpha101 formulas."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fama_fast.errors import FamaError, OutputError, StoreError, UnknownName
from fama_fast.library import Factor, FactorSet, alpha101, list_seed_alphas, make_factor, seed_factors
from fama_fast.library.codec import FactorMismatch
from fama_fast.library.strict_yaml import dump, load

RANK = make_factor("rank(close)", hypothesis="high prices", provenance={"data_hash": "d0", "round": 1})
DELTA = make_factor("DELTA(CLOSE, 5) * -1", sign=-1, scores={"train": {"rank_ic": -0.031, "n_days": 250}})


def test_a_set_is_ordered_and_unique_by_fingerprint() -> None:
    library = FactorSet([DELTA, RANK])
    assert list(library) == [DELTA, RANK]
    assert len(library) == 2
    assert library[0] == DELTA
    assert library[-1] == RANK
    assert library[:1] == (DELTA,)
    assert RANK in library
    assert RANK.fingerprint in library
    assert "nothing" not in library
    assert library.get(RANK.fingerprint) == RANK
    assert library.get("nothing") is None
    with pytest.raises(StoreError, match=r"RANK\( close \) is there already, as rank\(close\)"):
        library.add(make_factor("RANK( close )"))
    copy = library.copy()
    copy.remove(RANK.fingerprint)
    assert RANK in library
    assert copy == FactorSet([DELTA])
    assert copy != library


def test_replacing_keeps_the_place() -> None:
    library = FactorSet([DELTA, RANK])
    better = make_factor("RANK(OPEN)")
    assert library.replace(DELTA.fingerprint, better) == DELTA
    assert list(library) == [better, RANK]
    rescored = dataclasses.replace(RANK, scores={"train": {"rank_ic": 0.5}})
    library.replace(RANK.fingerprint, rescored)
    assert library[1].score == 0.5
    with pytest.raises(StoreError, match="no factor has the fingerprint"):
        library.replace("nothing", DELTA)
    with pytest.raises(StoreError, match="there already"):
        library.replace(better.fingerprint, RANK)


def test_yaml_round_trip_is_exact(tmp_path: Path) -> None:
    library = FactorSet([DELTA, RANK])
    library.to_yaml(tmp_path / "library.yaml")
    assert FactorSet.from_yaml(tmp_path / "library.yaml") == library
    written = yaml.safe_load((tmp_path / "library.yaml").read_text(encoding="utf-8"))
    assert written["schema"] == 1
    assert written["factors"][1]["data_hash"] == "d0"
    assert written["factors"][1]["canonical"] == RANK.canonical
    assert list(tmp_path.iterdir()) == [tmp_path / "library.yaml"]


FINITE = st.floats(allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(score=FINITE, hypothesis=TEXT, provenance=st.dictionaries(TEXT, JSON, max_size=4))
def test_every_float_and_text_reads_back(score: float, hypothesis: str, provenance: dict[str, object]) -> None:
    provenance = {k: v for k, v in provenance.items() if k not in ("dialect", "data_hash")}
    factor = dataclasses.replace(
        RANK, scores={"train": {"rank_ic": score}}, hypothesis=hypothesis, provenance=provenance
    )
    found = FactorSet.from_dict(load(dump(FactorSet([factor]).to_dict()), "x.yaml"))
    assert found[0] == factor
    assert math.copysign(1, found[0].scores["train"]["rank_ic"]) == math.copysign(1, score)


def test_missing_scores_and_numpy_values_are_stored(tmp_path: Path) -> None:
    factor = dataclasses.replace(
        RANK,
        scores={"train": {"rank_ic": np.float64(0.1), "t": float("nan"), "n_days": np.int64(3)}},  # type: ignore[dict-item]
        provenance={"parents": ("a", "b"), "path": Path("x"), "on": np.bool_(True)},
    )
    FactorSet([factor]).to_yaml(tmp_path / "l.yaml")
    back = FactorSet.from_yaml(tmp_path / "l.yaml")[0]
    assert back.scores["train"]["rank_ic"] == 0.1
    assert math.isnan(back.scores["train"]["t"])
    assert back.scores["train"]["n_days"] == 3
    assert back.provenance == {"parents": ["a", "b"], "path": "x", "on": True}


def test_what_has_no_plain_form_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "l.yaml"
    FactorSet([RANK]).to_yaml(path)
    odd = dataclasses.replace(DELTA, provenance={"thing": {"inner": object()}})
    with pytest.raises(StoreError, match=r"provenance\.thing\.inner: a object cannot be stored"):
        FactorSet([odd]).to_yaml(path)
    assert FactorSet.from_yaml(path) == FactorSet([RANK])
    with pytest.raises(OutputError):
        FactorSet([RANK]).to_yaml(tmp_path / "none" / "l.yaml")


def test_a_file_written_by_hand_needs_only_expressions(tmp_path: Path) -> None:
    path = tmp_path / "l.yaml"
    path.write_text(
        "factors:\n- rank(close)\n- expression: DELTA(CLOSE, 5) * -1\n  scores: {train: {rank_ic: 1e-5}}\n",
        encoding="utf-8",
    )
    library = FactorSet.from_yaml(path)
    assert library.fingerprints == (RANK.fingerprint, make_factor("DELAY(CLOSE, 5) - CLOSE").fingerprint)
    assert library[1].score == 1e-5


def test_another_dialect_is_remembered() -> None:
    factor = make_factor("rank(delta(close, 2.7))", dialect="alpha101")
    assert factor.provenance == {"dialect": "alpha101"}
    assert FactorSet.from_dict(FactorSet([factor]).to_dict()) == FactorSet([factor])


BAD = {
    "empty": ("", "the file is empty"),
    "syntax": ("schema: 1\nfactors: ]", r"l\.yaml, line 2, column 10"),
    "python tag": ("factors: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "list": ("- RANK(CLOSE)", "expected a mapping with the keys schema, factors"),
    "top key": ("factor: []", r"unknown key 'factor' \(did you mean factors\?\)"),
    "no factors": ("schema: 1", "the key 'factors' must be a list"),
    "schema": ("schema: 9\nfactors: []", "schema 9 is not known"),
    "schema text": ("schema: new\nfactors: []", "schema must be a whole number"),
    "key": (
        "factors:\n- RANK(OPEN)\n- expresion: RANK(CLOSE)",
        r"entry 2: unknown key 'expresion' .*expression",
    ),
    "missing": ("factors:\n- hypothesis: none", "entry 1: the key 'expression' is missing"),
    "nothing": ("factors:\n-", "entry 1: expected a mapping with an expression, found nothing"),
    "number": ("factors:\n- expression: 5", "entry 1: expression must be text, found int 5"),
    "formula": ("factors:\n- RANK(CLOSE", r"entry 1 \(RANK\(CLOSE\): the expression is not valid"),
    "operator": ("factors:\n- RANKK(CLOSE)", r"did you mean RANK\?"),
    "twice": ("factors:\n- RANK(CLOSE)\n- rank(close)", "entry 2 .*: the same factor as entry 1"),
    "key twice": ("factors: []\nfactors: []", "line 2, column 1: the key 'factors' is given twice"),
    "alias": ("factors: [&a {expression: RANK(CLOSE)}, *a]", "anchors and aliases are not allowed"),
    "sign": ("factors:\n- {expression: RANK(CLOSE), sign: 0}", "sign must be 1 or -1, found int 0"),
    "scores": ("factors:\n- {expression: RANK(CLOSE), scores: [1]}", "scores must be a mapping"),
    "split": (
        "factors:\n- {expression: RANK(CLOSE), scores: {train: 1}}",
        r"scores\.train must be a mapping",
    ),
    "metric": (
        "factors:\n- {expression: RANK(CLOSE), scores: {train: {rank_ic: high}}}",
        r"scores\.train\.rank_ic must be a number, found str",
    ),
    "provenance": ("factors:\n- {expression: RANK(CLOSE), provenance: x}", "provenance must be a mapping"),
    "hash": (
        "factors:\n- {expression: RANK(CLOSE), data_hash: a, provenance: {data_hash: b}}",
        "data_hash differs from provenance.data_hash",
    ),
    "deep": ("factors: " + "[" * 5000, "l.yaml"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_one_clear_error(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    path = tmp_path / "l.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=message) as caught:
        FactorSet.from_yaml(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_a_folder_and_a_binary_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.yaml: No such file"):
        FactorSet.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(StoreError, match="directory"):
        FactorSet.from_yaml(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="not UTF-8"):
        FactorSet.from_yaml(tmp_path / "b.yaml")


@pytest.mark.parametrize("key", ["fingerprint", "canonical"])
def test_an_expression_that_is_no_longer_the_one_that_was_scored_is_noticed(key: str) -> None:
    data = FactorSet([RANK]).to_dict()
    data["factors"][0][key] = getattr(DELTA, key)
    with pytest.raises(StoreError, match=rf"lib, entry 1 \(rank\(close\)\): the stored {key}"):
        FactorSet.from_dict(data, source="lib")
    with pytest.warns(FactorMismatch, match=key):
        found = FactorSet.from_dict(data, source="lib", on_mismatch="warn")
    assert found[0] == RANK


def test_seeds_are_diverse_valid_and_explained() -> None:
    texts = list_seed_alphas()
    assert len(texts) >= 20
    seeds = seed_factors()
    assert seeds.expressions == tuple(texts)
    assert all(f.hypothesis.endswith(".") and f.provenance["source"] for f in seeds)
    from fama_fast.engine import compile as compile_alpha

    alphas = [compile_alpha(t) for t in texts]
    assert {f for a in alphas for f in a.fields} <= {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "RET", "VWAP"}
    assert all(a.lookback <= 150 and not a.groups for a in alphas)
    assert [a.canonical for a in alphas if a.level_dependence is not None] == []


def test_seeds_use_canonical_operator_names() -> None:
    from fama_fast.ir import LEAVES, postorder
    from fama_fast.lang import parse

    for text in list_seed_alphas():
        used = {n.op for n in postorder(parse(text)) if n.op not in LEAVES}
        for word in {w for w in text.replace("(", " ( ").split() if w.isupper() and f"{w}(" in text}:
            assert word in used, f"{word} in {text} is an alias"


def test_the_101_formulas_are_there_word_for_word() -> None:
    formulas = alpha101()
    assert list(formulas) == list(range(1, 102))
    assert alpha101(101) == "((close - open) / ((high - low) + .001))"
    assert alpha101(6) == "(-1 * correlation(open, volume, 10))"
    assert "IndClass.subindustry" in alpha101(100)
    formulas.clear()
    assert len(alpha101()) == 101
    with pytest.raises(UnknownName, match="no Alpha101 formula 102"):
        alpha101(102)


def test_the_101_formulas_parse_in_their_dialect() -> None:
    from fama_fast.lang import parse

    failed = {}
    for number, text in alpha101().items():
        try:
            parse(text, dialect="alpha101")
        except FamaError as error:
            failed[number] = str(error)
    assert failed == {}


def test_a_factor_without_scores_has_no_score() -> None:
    assert math.isnan(Factor("x", "x", "0").score)
    assert DELTA.score == 0.031
