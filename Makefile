# `make help` lists the targets. Everything they need is made on the way: run, test and the rest need no setup first.

# Any Python from 3.11 on: make PYTHON=/path/to/python3.12 setup
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.kappa-setup
.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast check bench chaos mutants clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (.venv), install all packages, fetch Delta's jars once

# Done again only when setup.py changed, or an earlier try stopped half way.
$(STAMP): setup.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	$(BIN)/python -m kappa_assets.session --fetch-jars
	@touch $(STAMP)

run: setup ## Start Dagster with the retail pipeline at http://127.0.0.1:3000 (KAPPA_PORT=...); Ctrl-C ends everything
	@$(BIN)/python -m kappa_assets.run

# Two workers, of two Spark cores each: with what they start, they keep four cores busy. Each takes 2 GiB and more.
test: setup ## Run the whole test suite, with the slow whole-system tests
	$(BIN)/python -m pytest --slow --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: setup ## Run the tests without the slow ones
	$(BIN)/python -m pytest

check: setup ## What CI runs: ruff, formatting, mypy (strict), then the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

bench: setup ## Measure speed against plain Spark, side by side, and print a Markdown table: some hours, on an idle machine
	$(BIN)/python -m kappa_assets_tests.benchmarks

chaos: setup ## Kill the host at random points in a loop, and compare with an independent answer after each
	$(BIN)/python -m kappa_assets_tests.whole.chaos

mutants: setup ## Bring back known faults one by one, in a copy of the code: the suite must fail on each
	$(BIN)/python -m kappa_assets_tests.mutants

clean: ## Delete .venv, caches, and the demo's lake and Dagster history (.kappa, .dagster)
	rm -rf $(VENV) .kappa .dagster build dist *.egg-info spark-warehouse artifacts metastore_db derby.log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kappa_assets kappa_assets_tests -name __pycache__ -type d -prune -exec rm -rf {} +
