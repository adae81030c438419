# Every target works on a fresh clone: it first makes what it needs. Needs only Python 3.11+ and make.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .make
VERSION_CHECK := import sys; sys.exit("Palaver needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None
PURE := "No C compiler or no Python.h here: all is done in Python, which is slower and right as well."
COMPILED := $(wildcard src/palaver/*/*.c src/palaver/*/*/*.[ch])
WEB_SOURCES := $(shell find web clients/typescript -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
LOCK := $(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet

.PHONY: help setup serve test check bench web docs lock format nightly clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP)/python: requirements/dev.lock pyproject.toml hatch_build.py $(COMPILED)
	@$(PYTHON) -c '$(VERSION_CHECK)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned Python packages into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from palaver.crdt import COMPILED; COMPILED or print($(PURE))'
	@mkdir -p $(STAMP) && touch $@

setup: $(STAMP)/python ## make .venv with the pinned packages

serve: $(STAMP)/python $(STAMP)/web ## start the server on http://127.0.0.1:8000
	@$(BIN)/palaver serve $(ARGS)

test: $(STAMP)/python $(STAMP)/web ## run every test
	@tools/test $(ARGS)

check: $(STAMP)/python $(STAMP)/web ## lint, types, import rules, docs
	@tools/check

web: $(STAMP)/web ## build the page
$(STAMP)/web: $(STAMP)/python $(WEB_SOURCES)
	@tools/web
	@mkdir -p $(STAMP) && touch $@

docs: $(STAMP)/python ## write the generated reference pages
	@$(BIN)/python -m tools.reference --write

bench: $(STAMP)/python ## run the benchmarks: minutes each, on a quiet machine
	@tools/bench $(ARGS)

lock: $(STAMP)/python ## pin the newest versions that fit pyproject.toml
	@$(LOCK) --group dev -o requirements/dev.lock
	@$(LOCK) --group dev --group bench -o requirements/bench.lock

format: $(STAMP)/python ## format the sources
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

nightly: $(STAMP)/python $(STAMP)/web ## the long fuzzing runs, and every mutant of the breaker
	@$(BIN)/python -m pytest -m nightly $(ARGS)
	@$(BIN)/python -m tools.mutate_breaker

clean: ## remove everything that was made
	rm -rf .venv $(STAMP) web/node_modules clients/typescript/node_modules src/palaver/web/static src/palaver/crdt/*.so dist build
