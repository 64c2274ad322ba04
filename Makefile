# Everything runs in .venv, which `make setup` makes. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
DOCS := .venv-docs

.DEFAULT_GOAL := help
.PHONY: help setup demo examples test coverage lint check docs figures fmt bench params clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## make .venv and install everything into it

$(STAMP): pyproject.toml requirements/cpu.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(STAMP)

demo: setup ## the whole story on real data: check, train, ask, complete, export (under three minutes)
	$(BIN)/python examples/demo.py

examples: setup ## run the examples, and keep their pictures for the documentation
	for script in $(filter-out examples/demo.py,$(wildcard examples/*.py)); do $(BIN)/python $$script || exit 1; done
	mkdir -p docs/images/examples
	cp out/examples/*.png docs/images/examples/

test: setup ## run the tests
	$(BIN)/python -m pytest --numprocesses auto

lint: setup ## ruff, mypy, pyright and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --config pyproject.toml

coverage: setup ## run the tests, and report branch coverage of ir and passes (at least 95 %)
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --include='ir/*,passes/*'
	mkdir -p build
	$(BIN)/coverage json --quiet --include='ir/*,passes/*' -o build/coverage.json
	$(BIN)/python -c 'import json; share = json.load(open("build/coverage.json"))["totals"]["percent_branches_covered"]; assert share >= 95, share'

check: lint test ## what must be green before a commit

docs: $(DOCS)/.stamp ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet

$(DOCS)/.stamp: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
	touch $(DOCS)/.stamp

fmt: setup ## format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure this machine, beside the last committed results
	$(BIN)/python -m benchmarks.run

figures: setup ## write docs/benchmarks.md and its charts from the committed results
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.pictures

params: setup ## the parameter counts of the paper's 35 data sets
	$(BIN)/python -m benchmarks.paper.parameters

clean: ## remove caches and build products (not .venv)
	rm -rf build dist out site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
