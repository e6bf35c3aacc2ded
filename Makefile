# What a person or CI does with this checkout. `make` alone lists it.
# Nothing outside this folder is changed: Python packages go to .venv, the servers of the lab to .lab.

SHELL := /bin/sh
BIN := .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup run test bench lint lab format lock clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: ## prepare .venv for running (make run does this itself)
	@deploy/bootstrap.sh run

run: setup ## start a probe with a live table; ARGS="--config FILE" for your own site
	@$(BIN)/timesync up $(ARGS)

test: lab-if-possible lint ## check everything: style, types, imports, and all tests; PYTEST="-k ntp" for some
	@$(BIN)/pytest $(PYTEST)

bench: lab ## run every benchmark into var/bench; BENCH=--quick for a short look
	@$(BIN)/python tests/benchmark/run.py $(BENCH)

lint: dev ## ruff, formatting, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: dev ## unpack the servers that the tests measure into .lab (nothing is installed or started)
	@$(BIN)/python tests/support/debian.py

format: dev ## let ruff put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header

lock: dev ## make the lock files in requirements/ anew
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --group build -o requirements/build.lock
	@$(COMPILE) pyproject.toml --group build -o requirements/run.lock
	@$(COMPILE) pyproject.toml --group dev -o requirements/dev.lock

clean: ## remove all that these targets made, except measurements in var
	@rm -rf .venv .lab .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find timesync probes tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: dev lab-if-possible
dev:
	@deploy/bootstrap.sh dev

# A machine that cannot have the lab still runs the other tests; CI may not do without it.
lab-if-possible: dev
	@$(BIN)/python tests/support/debian.py || test "$$CI" != true
