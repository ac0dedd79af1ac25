# Commands for whoever tries or changes this template. They need git, make and Python 3.11 or newer; all else is installed
# into .venv and build/.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo coldstart test quick lint format lock questions workbench benchmark release

VENV ?= .venv
BIN := $(VENV)/bin
RENDER = $(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir

# The first Python new enough, the one of the worker's image before others.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3.14 python3 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)

# The Python that vLLM for the CPU is installed for, in build/engine-venv.
ENGINE_PYTHON ?= python3.11

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/dev.txt  ## Render a worker with default answers and let it parse real documents here
	@rm -rf build/demo
	$(RENDER) build/demo
	$(MAKE) --no-print-directory -C build/demo/mineru-worker demo VENV="$(CURDIR)/build/worker-venv"

coldstart: $(VENV)/dev.txt  ## Render a worker and see its cold starts here; OPTIONS and ENGINE as in the worker's Makefile
	@rm -rf build/demo
	$(RENDER) build/demo
	$(MAKE) --no-print-directory -C build/demo/mineru-worker coldstart VENV="$(CURDIR)/build/worker-venv" \
	ENGINE_VENV="$(CURDIR)/build/engine-venv" ENGINE_PYTHON="$(ENGINE_PYTHON)"

test: quick  ## Test everything: the template, a worker rendered from it, and its contract with the SDK
	@rm -rf build/test
	$(RENDER) build/test
	$(MAKE) --no-print-directory -C build/test/mineru-worker test VENV="$(CURDIR)/build/worker-venv"
	@if "$(ENGINE_PYTHON)" -c "" 2>/dev/null; then \
	$(MAKE) --no-print-directory -C build/test/mineru-worker test-engine ENGINE_VENV="$(CURDIR)/build/engine-venv" ENGINE_PYTHON="$(ENGINE_PYTHON)"; \
	else echo "vLLM on the CPU: not tested, there is no $(ENGINE_PYTHON) here (ENGINE_PYTHON=/path/to/python3.11 names one)."; fi
	$(BIN)/python -m pytest -m slow --numprocesses 3 --dist worksteal

quick: lint  ## Test the template alone: no network, about two minutes
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2

lint: $(VENV)/dev.txt  ## Lint and check types of the template's own code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.txt  ## Format the template's own code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/dev.txt  ## Measure one render, a worker against what it wraps, a boot with vLLM, and a restore; 25 minutes
	$(BIN)/python benchmarks/render.py
	@rm -rf build/benchmark
	$(RENDER) build/benchmark
	$(MAKE) --no-print-directory -C build/benchmark/mineru-worker "$(CURDIR)/build/worker-venv/cpu.txt" VENV="$(CURDIR)/build/worker-venv"
	PYTHONPATH="$(CURDIR)/build/benchmark/mineru-worker" build/worker-venv/bin/python benchmarks/serving.py
	@test ! -x build/engine-venv/bin/python || PYTHONPATH="$(CURDIR)/build/benchmark/mineru-worker" build/engine-venv/bin/python benchmarks/engine.py
	PYTHONPATH="$(CURDIR)/build/benchmark/mineru-worker" build/worker-venv/bin/python benchmarks/freeze.py

lock: $(VENV)/dev.txt  ## Bring every lock up to its pyproject.toml; UPGRADE=1 takes newer versions
	$(BIN)/python tools/locks.py $(if $(UPGRADE),--upgrade)

workbench: $(VENV)/dev.txt  ## Render build/workbench, a worker to develop in
	$(BIN)/python tools/workbench.py

questions: $(VENV)/dev.txt  ## Bring docs/questions.md up to cookiecutter.json
	$(BIN)/python tools/questions.py

release: $(VENV)/dev.txt  ## Commit and tag a release: make release VERSION=0.2.0
	@$(BIN)/python tools/release.py "$(VERSION)"

# Installed when the copy of the lock in .venv is the lock.
$(VENV)/%.txt: locks/%.txt | $(BIN)/python
	@cmp -s $< $@ || { echo "Installing $< into $(VENV) (once)" && \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement $<; }
	@cp $< $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Found no Python 3.11 or newer that can make virtual environments. Install one (on Debian" \
	"and Ubuntu: python3 and python3-venv), or name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
