# Every command sets up .venv first if requirements.lock or pyproject.toml changed.
PYTHON ?= python3
TORCH_BACKEND ?=
SHELL := /bin/bash
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(BIN):$(PATH)
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true
export DVC_NO_ANALYTICS ?= 1
# Many images forbid Python to keep compiled modules: then each process compiles MLflow and Ray anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup reproduce test soak lint format ui report lock clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "PYTHON = $(PYTHON): must be Python 3.11, 3.12 or 3.13, give another: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	uv pip install --quiet --python $(BIN)/python $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

reproduce: setup ## every figure at the scale of params.yaml
	dvc repro

test: setup ## the whole test suite, in three processes of one thread each: much of it is waiting
	OMP_NUM_THREADS=1 pytest -n 3 --dist loadfile --no-loadscope-reorder

soak: setup ## the long tests
	pytest -m soak

lint: setup ## formatter check, linter, type checker
	ruff format --check .
	ruff check .
	mypy

format: setup ## format the code
	ruff format .
	ruff check --fix .

ui: setup ## browse everything recorded so far at http://127.0.0.1:5000
	python -m adambias.cli.ui

report: setup ## open the report of the last analysis
	python -m webbrowser -t "file://$(CURDIR)/reports/index.html"

lock: setup ## pin the newest versions that pyproject.toml allows
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev --no-header \
	  --no-annotate --no-emit-index-url pyproject.toml --output-file requirements.lock

clean: ## remove what the pipeline made; the ledger (runs/) and MLflow stay
	rm -rf data results/sweeps results/times .pytest_cache .ruff_cache .mypy_cache .hypothesis
