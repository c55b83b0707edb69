# `make demo` and `make test` work in a fresh clone: Python 3.11 and make are all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo docs test nightly lowest check format bench clean help

help:
	@echo "make demo     run the nightly job on an embedded sandbox, with faults"
	@echo "make test     all tests of the default suite"
	@echo "make nightly  the long tests as well, what a call costs in instructions, and make lowest"
	@echo "make lowest   the suite on the lowest versions that pyproject.toml allows"
	@echo "make check    ruff, mypy --strict, pyright, and that every public name has a type"
	@echo "make docs     the site, in site/"
	@echo "make bench    measure against other clients: some ten minutes, on a quiet machine"

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) --editable '.[reconcile,test]'
	touch $@

$(VENV)/.check: $(VENV)/.test
	$(PIP) --editable '.[check]'
	touch $@

demo: $(VENV)/.run
	$(BIN)/pandapon demo

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

$(VENV)/.doubles: $(VENV)/.test
	$(PIP) --editable '.[doubles]'
	touch $@

# The generator of the interoperability test wants other versions than we do, so it gets its own place.
$(VENV)/generator/.done: $(VENV)/.run
	$(PYTHON) -m venv $(VENV)/generator
	$(VENV)/generator/bin/python -m pip --disable-pip-version-check install --quiet openapi-python-client==0.29.1
	touch $@

# The long tests, then mutants of the rules about writes, then instructions per call (`benchmarks/bars.toml`).
nightly: $(VENV)/.check $(VENV)/.doubles $(VENV)/generator/.done
	OPENAPI_PYTHON_CLIENT=$(VENV)/generator/bin/openapi-python-client \
		$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --nightly -o faulthandler_timeout=7200
	timeout 1200 $(BIN)/python -m tests.mutation
	timeout 300 $(BIN)/python -m benchmarks.instructions --check
	$(MAKE) lowest

# Exactly the lower bounds of pyproject.toml, in a place of their own. LOWEST names test files; none: all.
$(VENV)/lowest/.done: pyproject.toml $(VENV)/.run
	$(PYTHON) -m venv --clear $(VENV)/lowest
	$(BIN)/python -m tests.support.lowest > $(VENV)/lowest/constraints.txt
	$(VENV)/lowest/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint $(VENV)/lowest/constraints.txt --editable '.[reconcile,test]'
	touch $@

lowest: $(VENV)/lowest/.done
	$(VENV)/lowest/bin/python -m pytest --numprocesses 2 --dist worksteal $(LOWEST)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes pandapon_async --ignoreexternal

# Zensical builds the site from mkdocs.yml, which MkDocs 1.6 reads as well; a dead link ends it.
$(VENV)/docs/.done: docs/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)/docs
	$(VENV)/docs/bin/python -m pip --disable-pip-version-check install --quiet --requirement docs/requirements.txt
	touch $@

docs: $(VENV)/docs/.done
	$(VENV)/docs/bin/zensical build --clean --strict

# Its own mark, so that the rivals come in only when they are asked for.
$(VENV)/.bench: $(VENV)/.test
	$(PIP) --editable '.[bench]'
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
