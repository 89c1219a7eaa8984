# Every command sets up .venv first if requirements.lock or pyproject.toml changed.
PYTHON ?= python3
TORCH_BACKEND ?=
SHELL := /bin/bash
# Relative, as make takes a target with a space in it for two.
STAMP := .venv/.installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true
export DVC_NO_ANALYTICS ?= 1
export NO_MKDOCS_2_WARNING ?= 1
# Many images forbid Python to keep compiled modules: then each process compiles MLflow and Ray anew.
export PYTHONDONTWRITEBYTECODE :=

# uv reads no configuration of pip's: an index and a certificate that are set for pip are uv's too, unless it has its own.
define AS_PIP
of_pip() { .venv/bin/python -m pip config list 2>/dev/null | sort -r | sed -nE "s/^(install|global)\.$$1='(.*)'$$/\2/p" | head -n 1; }; \
index="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$(of_pip index-url)}}}"; \
cert="$${SSL_CERT_FILE:-$${PIP_CERT:-$$(of_pip cert)}}"; \
[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; [ -z "$$cert" ] || export SSL_CERT_FILE="$$cert"
endef

.PHONY: help setup reproduce test soak bounds wheel lint format ui report docs docs-serve lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# An unpacked archive has no Git repository, which DVC has to be told. It looks in the folders above too.
setup: $(STAMP) ## make .venv from requirements.lock
	@at="$$PWD"; until [ -e "$$at/.git" ] || [ -z "$$at" ]; do at="$${at%/*}"; done; \
	[ -n "$$at" ] || [ ! -e .dvc/config ] || grep -qs no_scm .dvc/config.local || { dvc config --local core.no_scm true && \
	  echo "no Git repository here: DVC does without (after git init: dvc config --local --unset core.no_scm)"; }

$(STAMP): requirements.lock pyproject.toml
	@case "$$PWD" in *:*) echo "$$PWD: has a colon, which parts the folders of PATH: move the project to a path without one" >&2; exit 1;; esac
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "PYTHON = $(PYTHON): must be Python 3.11, 3.12 or 3.13, give another: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@command -v uv >/dev/null || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(AS_PIP); echo "installing requirements.lock into .venv"; \
	uv pip install --quiet --python .venv/bin/python $(if $(TORCH_BACKEND),--torch-backend "$(TORCH_BACKEND)") -r requirements.lock && \
	uv pip install --quiet --python .venv/bin/python --no-deps --editable .
	@touch $(STAMP)

reproduce: setup ## every figure at the scale of params.yaml
	dvc repro

test: setup ## the whole test suite, in three processes of one thread each: much of it is waiting
	@$(AS_PIP); OMP_NUM_THREADS=1 pytest -n 3 --dist loadfile --no-loadscope-reorder

soak: setup ## the long tests
	pytest -m soak

bounds: setup ## the quick tests with the oldest and the newest versions that pyproject.toml allows
	@$(AS_PIP); .ci/bounds

wheel: setup ## the package, to be installed without the repository, in dist/
	@$(AS_PIP); rm -rf dist; uv build --quiet --out-dir dist && ls dist/*

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
	python -c 'import pathlib, webbrowser; webbrowser.open_new_tab(pathlib.Path("reports/index.html").absolute().as_uri())'

docs: setup ## build the documentation site into site/
	mkdocs build --strict

docs-serve: setup ## show the documentation at http://127.0.0.1:8000, rebuilt as it is edited
	mkdocs serve --strict --dev-addr 127.0.0.1:8000

lock: setup ## pin the newest versions that pyproject.toml allows
	@$(AS_PIP); uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-header \
	  --no-annotate --no-emit-index-url pyproject.toml --output-file requirements.lock

clean: ## remove what the pipeline made; the ledger (runs/) and MLflow stay
	rm -rf data site results/sweeps results/times .pytest_cache .ruff_cache .mypy_cache .hypothesis
