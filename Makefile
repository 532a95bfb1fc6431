# make sim        one picture through the simulated board: make sim [MODEL=net.tflite] [IMAGE=cat.png] [ARGS='--top 3']
#                 IMAGE is a picture or a folder of pictures; names may have spaces. More pictures: ARGS='--image b.png --image c.png'
# make test       lint and the normal tests; make test-all adds the slow ones
# make bitstream  builds for a board: make bitstream [BOARD=ulx3s-85f] [ARGS='--seeds 4']; make flash puts it there
# make quick      lint and the fast tests: none that compiles a simulator or makes a bitstream
# make results    measures the tables of docs/results.md: make results MODELS=folder of published networks
# make cycles     writes down the cycle counts that the tests expect, and says what changed
# make setup      only the environment those two run in, in .venv
# make docs       the documentation as a site, in build/site
# make clean      removes what was built; `make distclean` the environment too

VENV := .venv
BIN := $(VENV)/bin
# Its warning that an installation is editable is not for whoever asked for a simulation.
PIP := PYTHONWARNINGS='ignore:Editable installation' $(BIN)/python -m pip --disable-pip-version-check --quiet
# pytest's worker processes. Verilator builds dominate, so more than there are cores is slower.
JOBS ?= 2

.PHONY: setup sim bitstream flash test quick test-all results cycles lint packages types docs clean distclean
.DEFAULT_GOAL := sim

setup: $(VENV)/.narrows

$(VENV)/pyvenv.cfg:
	@.ci/venv $(VENV)

# Stamps: pip takes seconds to find out that there is nothing to do.
$(VENV)/.narrows: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing Narrows and what it runs on into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.narrows-test: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing Narrows and its tests' tools into $(VENV)"
	@$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.narrows

sim: $(VENV)/.narrows
	@$(BIN)/narrows run $${MODEL:+"$$MODEL"} $${IMAGE:+--image "$$IMAGE"} $(ARGS)

$(VENV)/.narrows-board: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing Narrows and what makes bitstreams into $(VENV)"
	@$(PIP) install --editable '.[board]'
	@touch $@ $(VENV)/.narrows

bitstream: $(VENV)/.narrows-board
	@$(BIN)/narrows build $(if $(BOARD),--board $(BOARD)) $(ARGS)

flash: $(VENV)/.narrows-board
	@$(BIN)/narrows flash $(if $(BOARD),--board $(BOARD)) $(ARGS)

# The recipes read paths from the environment: a shell takes them there as they are, spaces and all.
export CHROME MODEL IMAGE MODELS

# Builds are found again by the tests beside those that made them: a worker keeps its half, and takes of the other's when done.
test: lint types packages
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not slow' $(ARGS)

# What is fast, for whoever changes a line: nothing that compiles a simulator or makes a bitstream.
quick: lint
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not slow' --quick -q $(ARGS)

test-all: lint types packages
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

results: $(VENV)/.narrows
	@$(BIN)/narrows results $${MODELS:+--models "$$MODELS"} --page docs/results.md $(ARGS)

cycles: $(VENV)/.narrows-test
	@$(BIN)/python tests/replay.py

# Python as a library, for benches; Chromium, for the tests of a report's page.
packages: $(VENV)/.narrows-test
	@.ci/test-packages $(BIN)/python

lint: $(VENV)/.narrows-test
	$(BIN)/ruff check .

# pyright knows nothing of setuptools' package mapping, so the packages are linked under their names.
types: $(VENV)/.narrows-test
	@rm -rf build/types && mkdir -p build/types/narrows
	@ln -s "$(CURDIR)"/sw/* "$(CURDIR)/hw" "$(CURDIR)/sim" "$(CURDIR)/boards" build/types/narrows/
	@$(BIN)/basedpyright --project pyproject.toml --level error

$(VENV)/.narrows-docs: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing what makes the documentation into $(VENV)"
	@$(PIP) install --editable '.[docs]'
	@touch $@ $(VENV)/.narrows

# Not --quiet: what it does not print, --strict does not count.
docs: $(VENV)/.narrows-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info

distclean: clean
	rm -rf $(VENV)
