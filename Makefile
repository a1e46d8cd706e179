# Every command here works in a fresh clone: the environment is made where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types layers unit test-slow bench format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Made again only when what it is made from changes, so a second make reuses it.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

venv: $(STAMP)  ## make .venv and install actorfl with its development tools

demo: $(STAMP)  ## train digits over 6 processes, kill two of them, and compare with an undisturbed run
	$(BIN)/python examples/digits/demo.py

test: lint types layers unit  ## every check: ruff, mypy --strict, import-linter, pytest

lint: $(STAMP)  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict over packages, tests, examples and benchmarks
	$(BIN)/mypy

layers: $(STAMP)  ## imports never go up a floor
	$(BIN)/lint-imports

# Hundreds of processes that tests start would else compile all modules, where the shell says so.
unit test-slow: export PYTHONDONTWRITEBYTECODE =

unit: $(STAMP)  ## the tests alone, on two cores
	$(BIN)/python -m pytest -n 3 --dist worksteal

test-slow: $(STAMP)  ## the tests that take long, and the property tests with examples drawn anew
	$(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile drawn
	$(BIN)/python -m pytest -m slow --hypothesis-profile drawn

bench: $(STAMP)  ## the benchmarks; each prints a table
	$(BIN)/python -m benchmarks.transfer
	-$(BIN)/python -m benchmarks.merging
	-$(BIN)/python -m benchmarks.rounds
	-$(BIN)/python -m benchmarks.flower
	$(BIN)/python -m benchmarks.messaging
	$(BIN)/python -m benchmarks.spawning
	$(BIN)/python -m benchmarks.simulation
	-$(BIN)/python -m benchmarks.gossip
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.tree
	$(BIN)/python -m benchmarks.recovery

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache runs
