# Everything runs from a virtual environment of its own: Python, git and make are all a machine needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lint types bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,demo]'
	touch $@

demo: $(STAMP)  ## run the shop under load, kill a receiver, show what happened
	$(BIN)/python examples/shop/demo.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

test: lint types  ## lint, type-check and run every test
	$(BIN)/python -m pytest

bench: $(STAMP)  ## run every benchmark and write benchmarks/results/*.json
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
