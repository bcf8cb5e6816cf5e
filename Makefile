# `make help` lists the targets. Everything they need is made on the way: run, test and the rest need no setup first.

# Any Python from 3.11 on: make PYTHON=/path/to/python3.12 setup
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.kappa-setup
.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast check bench chaos mutants pictures clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (.venv), install all packages, fetch Delta's jars once

# Done again only when setup.py changed, or an earlier try stopped half way.
$(STAMP): setup.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	$(BIN)/python -m kappa_assets.host.session --fetch-jars
	@touch $(STAMP)

run: setup ## Start Dagster with the retail pipeline at http://127.0.0.1:3000 (KAPPA_PORT=...); Ctrl-C ends everything
	@$(BIN)/python -m kappa_assets.demo.make_run

# A worker, its JVM and what its test starts keep one core busy and take up to 4 GiB: as many as there are cores and as
# fit into the memory, and four at most, for a file of tests stays with one worker. Other numbers: make test WORKERS=1
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
GIBS := $(shell echo $$(( $$(getconf _PHYS_PAGES 2>/dev/null || echo 2097152) / 262144 )))
WORKERS := $(shell n=$(CORES); m=$$(( $(GIBS) / 5 )); [ $$n -le $$m ] || n=$$m; [ $$n -le 4 ] || n=4; [ $$n -ge 1 ] || n=1; echo $$n)

test: setup ## Run the whole test suite, with the slow whole-system tests
	$(BIN)/python -m pytest --slow --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 25

test-fast: setup ## Run the tests without the slow ones
	$(BIN)/python -m pytest

check: setup ## What CI runs: ruff, formatting, mypy (strict), then the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

bench: setup ## Measure speed against plain Spark, side by side, and print a Markdown table: some hours, on an idle machine
	$(BIN)/python -m kappa_assets_tests.benchmarks

chaos: setup ## Kill the host at listed and at random points, and compare with an independent answer after each
	$(BIN)/python -m kappa_assets_tests.whole.chaos

mutants: setup ## Bring back known faults one by one, in a copy of the code: the suite must fail on each
	$(BIN)/python -m kappa_assets_tests.mutants

pictures: setup ## Take README's pictures anew: the story of the UI's test, photographed
	KAPPA_SCREENSHOTS=deploy/images $(BIN)/python -m pytest --slow kappa_assets_tests/whole/test_ui.py

clean: ## Delete .venv, caches, and the demo's lake and Dagster history (.kappa, .dagster)
	rm -rf $(VENV) .kappa .dagster build dist *.egg-info spark-warehouse artifacts metastore_db derby.log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kappa_assets kappa_assets_tests -name __pycache__ -type d -prune -exec rm -rf {} +
