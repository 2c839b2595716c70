# make run     set up, run the demonstration experiment end to end, say where the results are
# make report  the report and the score table, and what is missing for them
# make test    set up, run the whole test suite
# make fast    the tests of daily use (under 3 minutes)
# make test-slurm   runs of the tiny experiment on a real one-node Slurm (root, slurm-wlm, munge)
# make test-faults  stages killed at random, disks, locks, damaged files (a quarter of an hour)
# make test-lowest  the tests of daily use with the lowest versions of the dependencies
# make lint    ruff, mypy, snakefmt, snakemake --lint, codespell
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
CONFIG ?= config.yaml
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SNAKEMAKE := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake
OVERLAY := $(if $(filter-out config.yaml,$(CONFIG)),--configfile "$(CONFIG)")
# a killed run leaves Snakemake's lock behind; whoever holds this one may clear it
ONE_AT_A_TIME := $(if $(shell command -v flock),flock -n -E 75 .snakemake-run.lock)

.PHONY: run test test-slurm test-faults test-lowest fast lint report clean

run: $(READY)
	@$(ONE_AT_A_TIME) sh -c '$(SNAKEMAKE) --unlock $(OVERLAY) >/dev/null 2>&1; $(SNAKEMAKE) --cores $(CORES) $(OVERLAY)'
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python workflow/scripts/summary.py $(OVERLAY)

report: $(READY)
	@$(ONE_AT_A_TIME) $(SNAKEMAKE) report --cores $(CORES) $(OVERLAY)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python workflow/scripts/summary.py $(OVERLAY)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-slurm: $(READY)
	PIPELINE_SPDE_SLURM=1 $(BIN)/python -m pytest tests/slurm -v

test-faults: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/faults/campaign.py --trials 30 --folder $(or $(FOLDER),faults-campaign) --report faults.md

test-lowest: $(READY)
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install --quiet uv "torch==2.13.*"
	$(VENV)-lowest/bin/uv pip compile --quiet pyproject.toml --extra test --resolution lowest-direct | \
	  grep -vE "^(torch=|nvidia-|cuda-|triton)" > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/pip install --quiet --no-deps -r $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/pip install --quiet --no-deps --editable .
	PATH="$(abspath $(VENV)-lowest/bin):$$PATH" $(VENV)-lowest/bin/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/codespell src workflow docs README.md CHANGELOG.md
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/workflow/check_lint.py

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which with: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet "torch==2.13.*"
	@$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $(READY)

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .mypy_cache .ruff_cache
