# `make` alone prints what there is. PYTHON chooses the interpreter, VENV an environment of your own.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= experiments/mini.yaml
BENCHMARK ?= dsn
CORPORA ?= $(or $(DIFFGMM_HOME),$(HOME)/.cache/diffgmm)/corpora
JOBS ?= 2

BIN := $(VENV)/bin
# Written last and naming this checkout: an interrupted install, or one for another folder, never looks whole.
STAMP := $(VENV)/.diffgmm-installed
ifneq ($(shell cat '$(STAMP)' 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: peers
.PHONY: help install light demo test test-full lint format docs data train baselines reproduce bench-ddp bench-speed clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) CONFIG=$(CONFIG) JOBS=$(JOBS)"

install: $(STAMP) ## create the environment in .venv and install diffgmm with its tools (6.4 GB with CUDA builds)
	@echo "diffgmm is installed: $(BIN)/diffgmm"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "diffgmm needs Python 3.10 or newer as PYTHON=..., and $(PYTHON) is not"; exit 1; }
	@if [ '$(VENV)' = .venv ] && [ "$$(cat '$(STAMP)' 2>/dev/null)" != '$(CURDIR)' ]; then rm -rf .venv; fi
	@rm -f '$(STAMP)'
	@if [ ! -x '$(BIN)/python' ]; then \
	  echo "[1/3] create $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv '$(VENV)' || \
	    { echo "$(PYTHON) cannot create environments (on Debian: apt install python3-venv)"; exit 1; }; \
	else echo "[1/3] use the environment $(VENV)"; fi
	@echo "[2/3] install packages, two to five minutes the first time; details in $(VENV)/install.log"
	@'$(BIN)/python' -m pip install --disable-pip-version-check --progress-bar off -e '.[dev]' \
	  2>'$(VENV)/install.err' | tee '$(VENV)/install.log' | while read -r line; do case "$$line" in \
	    "Downloading "*[0-9][0-9].[0-9]" MB)"|"Using cached "*[0-9][0-9].[0-9]" MB)") echo "      $$line";; \
	    "Building wheels"*) echo "      build what comes as source";; \
	    "Installing collected"*) echo "      unpack everything (the longest step)";; \
	  esac; done || { tail -n 20 '$(VENV)/install.err'; echo "the installation failed: see above and $(VENV)/install.log"; exit 1; }
	@'$(BIN)/python' -c 'import torch, lightning, diffgmm; print("[3/3] diffgmm", diffgmm.__version__, "with torch", torch.__version__)'
	@printf '%s\n' '$(CURDIR)' > '$(STAMP)'

light: ## create .venv-light, which denoises without PyTorch (0.2 GB)
	@$(PYTHON) -m venv .venv-light
	@.venv-light/bin/python -m pip install -q --disable-pip-version-check -r requirements-light.txt
	@.venv-light/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@echo "use it: .venv-light/bin/diffgmm denoise noisy.wav"

demo: install ## denoise noisy speech, print scores, write audio and pictures to demo/, train for two minutes
	@'$(BIN)/python' -m experiments.demo

test: install ## check the style, then run the tests that take seconds
	@'$(BIN)/ruff' check --quiet . && '$(BIN)/ruff' format --check --quiet .
	@OMP_NUM_THREADS=1 '$(BIN)/python' -m pytest -q -n $(JOBS)

test-full: install ## run all tests, also those that take minutes
	@OMP_NUM_THREADS=1 '$(BIN)/python' -m pytest -q -n $(JOBS) -m ""

lint: install ## check style (ruff) and types (mypy)
	@'$(BIN)/ruff' check .
	@'$(BIN)/ruff' format --check .
	@'$(BIN)/mypy'

format: install ## lay out the code and apply ruff's safe fixes
	@'$(BIN)/ruff' check --fix-only --quiet .
	@'$(BIN)/ruff' format .

docs: install ## build the documentation site into site/
	@NO_MKDOCS_2_WARNING=1 '$(BIN)/mkdocs' build --strict --quiet
	@echo "open site/index.html (its search needs a server: $(BIN)/python -m http.server -d site)"

data: install ## prepare the light corpus of speech and noise out of Debian packages (0.9 GB to fetch)
	@'$(BIN)/python' -m diffgmm.cli.main prepare debian-speech-noise --variant light --root '$(CORPORA)'

train: install ## train CONFIG=experiments/mini.yaml
	@'$(BIN)/diffgmm' fit --config '$(CONFIG)'

baselines: ## create .venv-baselines with other denoisers to measure against (0.7 GB)
	@$(PYTHON) -m venv .venv-baselines
	@.venv-baselines/bin/python -m pip install -q --disable-pip-version-check -r diffgmm/evaluation/baselines/requirements.txt
	@.venv-baselines/bin/python -m pip install -q --disable-pip-version-check --no-deps -r diffgmm/evaluation/baselines/requirements-no-deps.txt
	@echo "use them: diffgmm benchmark --set cross-test --baselines all --baselines-python .venv-baselines/bin/python"

peers: baselines

reproduce: install ## reproduce BENCHMARK=dsn from raw data to the table (dsn: 5.3 GB to fetch, then some minutes)
	@'$(BIN)/diffgmm' reproduce '$(BENCHMARK)'

bench-ddp: install ## measure how training scales: one process against two, a thread each
	@'$(BIN)/python' -m experiments.bench.ddp

bench-speed: install ## measure the shipped models' speed per back end and write it into docs/speed.md
	@'$(BIN)/python' -m experiments.bench.speed --model base small --markdown docs/speed.md

clean: ## remove what make, the tests and the demo wrote, also the environment; keeps runs/
	rm -rf .venv .venv-light .venv-baselines .venv-peers build dist demo site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
