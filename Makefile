# Each target installs what it needs into .venv and then does its job; Python 3.11 or later is all that must be there.
PYTHON ?= python3
BIN := .venv/bin
# Many small matrices: a second BLAS thread makes each of them slower, and the test runner has a process per core.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help demo test lint types tests wheel clean

help:
	@echo "make demo   the loggerhead sea turtle, end to end, on NumPy; writes output/loggerhead.png"
	@echo "make test   ruff, mypy, pytest, and the built wheel in an environment of its own"
	@echo "make clean  remove what these made"

.venv/demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo]"
	touch $@

.venv/dev: pyproject.toml constraints-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt --editable ".[dev]"
	touch $@

demo: .venv/demo
	$(BIN)/python examples/loggerhead.py

test: lint types tests wheel
	@echo "make test: all passed"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

tests: .venv/dev
	$(BIN)/pytest

wheel: .venv/dev
	PYTHON=$(BIN)/python bash .ci/wheel

clean:
	rm -rf .venv build dist output .pytest_cache .ruff_cache .mypy_cache
