# Pomona: `make run` shows the whole chain, `make test` checks everything, `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup lock
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

setup: $(VENV)/ready  ## the virtual environment, from the hashed lock file

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[a-z].*==/p' requirements.lock | sed '$$d' > $(VENV)/uv.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

lock:  ## resolves requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock
