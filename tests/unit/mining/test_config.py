"""Configuration: defaults, the scaffold's keys, messages that name the key, paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fama_fast.errors import ConfigError
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import (
    ALIASES,
    config_from_dict,
    differences,
    document,
    known_keys,
    load_config,
    other_meaning,
    stored_config,
)

SCAFFOLD = """
k: 12
l: 24
u: 5
css:
  sample_count: 48
  similarity_metric: "spearman"
coe:
  max_depth: 8
  min_edge_score: 0.15
  split_threshold: 0.4
run:
  use_css: true
  use_coe: false
paths:
  market_data: "./data/market.parquet"
  factor_cache: "./data/factor_cache"
  prompts_dir: "./prompts"
  output_dir: "./artifacts"
llm:
  provider: "openai"
  model: "some-model"
  temperature: 0.2
  max_new_factors: 5
  instructions_path: "./prompts/alpha_prompt_template.txt"
  api_key_env: "LLM_API_KEY"
logging:
  level: "INFO"
  log_file: "./logs/fama.log"
"""


# What a version that kept the number of factors wanted under `u` stored with a run.
EARLIER: dict[str, Any] = {
    "u": 40,
    "coe": {"max_length": 5, "visit_penalty": 0.25, "min_edge_score": 0.0, "split_threshold": 0.0},
    "run": {"rounds": 3},
}


def test_u_is_the_guard_of_chains_and_wanted_the_number_of_factors() -> None:
    config = config_from_dict({"u": 3, "run": {"wanted": 7}})
    assert (config.u, config.run.wanted) == (3, 7)
    assert config_from_dict({"u": 0}).u == 0
    assert MiningConfig().run.wanted == 20


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"u": 21}, True), ({"u": 20}, False), ({"u": 500, "run": {"wanted": 20}}, False), ({}, False), ({"u": 2}, False)],
)
def test_whoever_seems_to_mean_the_number_wanted_is_told_so(settings: dict[str, Any], told: bool) -> None:
    line = other_meaning(config_from_dict(settings))
    assert (line is not None) == told
    if line is not None:
        assert line.count("\n") == 0
        assert "run.wanted (--new 21), now 20" in line


def test_a_stored_configuration_of_before_means_what_it_meant() -> None:
    config = stored_config(EARLIER, source="a run")
    assert (config.run.wanted, config.u, config.coe.min_edge_score) == (40, 20, 0.3)
    assert other_meaning(config) is None
    assert EARLIER["u"] == 40, "the record is left as it is"
    today = document(config_from_dict({"u": 9, "run": {"wanted": 5}, "coe": {"min_edge_score": 0.0}}))
    again = document(stored_config(today, source="a run"))
    assert (again["u"], again["run"], again["coe"]) == (today["u"], today["run"], today["coe"])


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n", "css:\nrun:\n"])
def test_an_empty_file_is_a_whole_configuration(tmp_path: Path, text: str) -> None:
    assert load_config(write(tmp_path, text)) == MiningConfig()


def test_the_scaffold_s_keys_all_work(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, SCAFFOLD))
    assert (config.k, config.l, config.u) == (12, 24, 5)
    assert config.css.n_dates == 48
    assert (config.coe.max_length, config.coe.min_edge_score, config.coe.split_threshold) == (8, 0.15, 0.4)
    assert (config.run.use_css, config.run.use_coe) == (True, False)
    assert config.paths.market_data == str(tmp_path / "data/market.parquet")
    assert config.paths.output_dir == str(tmp_path / "artifacts")
    assert config.llm.model == "some-model"
    assert config.llm.api_key_env == "LLM_API_KEY"
    assert config.proposer == "evolve"
    assert config.batch_size == config.run.candidates
    assert load_config(write(tmp_path, SCAFFOLD + "proposer: llm\n")).batch_size == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("css:\n  draws: 1", "unknown key css.draws; did you mean css.draw?"),
        ("max_rounds: 3", "unknown key max_rounds; did you mean run.max_rounds?"),
        ("pathes: {}", "unknown key pathes; did you mean paths?"),
        ("css: {draw: best}", "css.draw must be one of 'random' or 'centroid', not 'best'"),
        ("k: '7'", "k must be a whole number, not '7'"),
        ("k: true", "k must be a whole number, not True"),
        ("k: 0", "k must be at least 1, not 0"),
        ("run: {use_css: maybe}", "run.use_css must be true or false, not 'maybe'"),
        ("run: 5", "run must be a section of keys, not 5"),
        ("paths: {market_data: 7}", "paths.market_data must be text, not 7"),
        ("splits: {fractions: [0.5, 0.2, 0.2]}", "splits.fractions must be three shares above 0"),
        ("gates: {min_rank_ic: .nan}", "gates.min_rank_ic must be a finite number, not nan"),
        ("css: {k: 3}\nk: 4", "css.k is 3 but k is 4: both mean the same setting"),
        ("run: {rounds: 3, max_rounds: 4}", "run.max_rounds is 4 but run.rounds is 3"),
        ("k: 1\nk: 2", "the key 'k' is given twice"),
        ("- 1", "expected keys and values"),
        ("k: [", "line 2, column 1"),
        ("1: 2", "unknown key 1"),
    ],
)
def test_messages_name_file_key_value_and_what_is_right(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "k: x\nrun: {seed: -1, colour: red}"))
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_a_key_in_the_wrong_place_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"llm": {"api_key_env": "sk-very secret", "api_key": "sk-very secret"}})
    assert "secret" not in str(caught.value)
    assert "llm.api_key_env" in str(caught.value)


def test_equal_aliases_are_no_conflict() -> None:
    assert config_from_dict({"k": 4, "css": {"k": 4}}).k == 4
    assert config_from_dict({"css": {"l": 2}, "run": {"max_rounds": 9}}).run.rounds == 9
    for alias in ALIASES:
        assert ".".join(alias) in known_keys()


def test_scientific_notation_without_a_dot_is_a_number(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "gates: {min_rank_ic: 1e-3}")).gates.min_rank_ic == 0.001


def test_paths_are_beside_the_file_then_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, here = tmp_path / "conf", tmp_path / "here"
    beside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "x.parquet").touch()
    path = write(beside, "paths: {market_data: x.parquet, universe: member, output_dir: out}")
    config = load_config(path)
    assert config.paths.market_data == str(here / "x.parquet")
    assert config.paths.universe == "member"
    assert config.paths.output_dir == str(beside / "out")
    (beside / "x.parquet").touch()
    assert load_config(path).paths.market_data == str(beside / "x.parquet")
    assert load_config(path, {"paths.market_data": "y.csv"}).paths.market_data == str(here / "y.csv")


def test_overrides_win_and_none_is_no_override(tmp_path: Path) -> None:
    path = write(tmp_path, "run: {seed: 3, rounds: 2}")
    config = load_config(path, {"run.seed": 9, "run.rounds": None, "run.use_css": False})
    assert (config.run.seed, config.run.rounds, config.run.use_css) == (9, 2, False)
    with pytest.raises(ConfigError, match=r"run\.rounds must be at least 1, not 0"):
        load_config(path, {"run.rounds": 0})


def test_the_document_reads_back_and_differences_are_named() -> None:
    config = config_from_dict({"data": {"start": "2015-01-01"}, "coe": {"visit_penalty": 0.5}})
    again = document(config_from_dict(document(config)))
    assert differences(again, document(config), frozenset({"paths.output_dir"})) == []
    other = config_from_dict({"run": {"seed": 5, "threads": 1}})
    changed = differences(document(other), document(config), frozenset({"run.threads"}))
    assert "run.seed is 5, was 0" in changed
    assert len(changed) == 3
