# `make demo` and `make test` need only Python ≥ 3.11 and make: each sets up .venv when setup.cfg has changed.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; print("$(name)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
BIN := .venv/bin
INSTALLED := .venv/installed
# Tests run in two processes; one thread each keeps them from getting in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo check test test-slow table bench gpu lint docs notebooks clean help

demo: $(INSTALLED)  ## reconstruct held-out clips of the simulated recording and write runs/demo/report.html and demo.mp4; then what a prior adds
	@$(BIN)/recon benchmark configs/demo.yaml
	@$(BIN)/recon report runs/demo --video runs/demo/demo.mp4
	@echo "now what a learnt prior adds to two of these clips, two minutes:"
	@$(BIN)/recon ablate configs/demo_prior.yaml

PYTEST := $(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile
CHECKED := tests/methods/test_contract.py tests/methods/test_closed_form.py tests/methods/test_methods.py \
	tests/metrics tests/problem tests/priors/test_guidance.py tests/priors/test_spectrum.py \
	tests/house/test_architecture.py tests/house/test_config.py tests/house/test_configurations.py

check: $(INSTALLED)  ## a minute: style, contract of all methods, closed forms, metrics, problem, priors, configuration
	@$(BIN)/ruff check
	@$(PYTEST) -m "not slow and not real" $(CHECKED)

# Types are checked beside the tests: mypy keeps one core busy for half a minute.
test: $(INSTALLED)  ## six minutes on two cores: style, types, tests, doctests, coverage
	@$(BIN)/ruff check
	@$(BIN)/mypy > .mypy.log 2>&1 & types=$$!; \
		$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=93; tests=$$?; \
		wait $$types; types=$$?; cat .mypy.log; rm -f .mypy.log; exit $$((tests | types))

test-slow: $(INSTALLED)  ## forty minutes: what takes minutes each: kills, Ray, notebooks, full scale, a fresh environment
	@$(PYTEST) -m "slow and not alone" --durations=20; together=$$?; \
		$(ONE_THREAD) $(BIN)/pytest tests/slow -m "slow and alone" --durations=10; alone=$$?; exit $$((together | alone))

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/mypy

table: $(INSTALLED)  ## the full table of docs/results/simulated_v1.md; takes as long as it needs
	@$(BIN)/recon benchmark configs/table.yaml

# On all cores, unlike the tests. QUICK=1: tiny, in two minutes; PART=settings: some tables; SIZES='frames=64'.
bench: $(INSTALLED)  ## measure speed and memory and rewrite BENCHMARKS.md: half an hour on two cores
	@$(BIN)/python -c "import pytest_benchmark" 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[test,bench]'
	@mkdir -p runs/benchmarks && rm -f runs/benchmarks/quick.md
	@RECON_BENCH="$(if $(QUICK),quick,full) $(SIZES)" $(BIN)/pytest tests/benchmarks/bench_*.py -s -o addopts= \
		$(if $(PART),-k "$(PART)") --benchmark-disable-gc --benchmark-columns=mean --benchmark-json=runs/benchmarks/run.json

# PART=numbers|speed|settings|prior: at most four minutes each; without it the first two. A CPU runs tiny and says so.
gpu: $(INSTALLED)  ## on a GPU: numbers against the CPU's, speed against the plain loop; figures go to BENCHMARKS.md
	@$(BIN)/python tests/gpu/run.py $(if $(PART),--part $(PART))

# Offline once the packages are there: no inventories of other projects, no remote fonts.
docs: $(INSTALLED)  ## build the pages and the reference into docs/_build/html, without network and without warnings
	@$(BIN)/python -c "import furo, myst_nb" 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[docs]'
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky --jobs auto docs docs/_build/html
	@echo "docs/_build/html/index.html"

# ONLY=01_reconstruct_a_clip for one of them.
notebooks: $(INSTALLED)  ## run the tutorials and store them with their outputs: a quarter of an hour on two cores
	@$(BIN)/python docs/run_notebooks.py $(ONLY)

clean:  ## remove the environment; recordings and runs stay
	rm -rf .venv

help:
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/:/'

$(INSTALLED): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or newer, got none on PATH; install it or run make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up .venv: once, a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
