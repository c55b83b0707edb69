# `make demo` and `make test` work in a fresh clone: Python 3.11 and make are all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Where it is set, each of the hundreds of processes that tests start compiles all sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test nightly lowest lowest-short check format bench release-check clean help

help:
	@echo "make demo     run the nightly job on an embedded sandbox, with faults"
	@echo "make test     all tests of the default suite"
	@echo "make nightly  the long tests as well, what a call costs in instructions, and make lowest"
	@echo "make lowest   the suite on the lowest versions that pyproject.toml allows; make lowest-short: a part"
	@echo "make check    ruff, mypy --strict, pyright, and that every public name has a type"
	@echo "make docs     the site, in site/"
	@echo "make release-check  what is published: built twice and compared, checked, its parts and its API listed"
	@echo "make bench    measure against other clients: some ten minutes, on a quiet machine"

# pip first: those of Python 3.11 know no dependency groups.
$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) --editable '.[reconcile]' --group test
	touch $@

$(VENV)/.check: $(VENV)/.test
	$(PIP) --group check
	touch $@

demo: $(VENV)/.run
	$(BIN)/pandapon demo

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

$(VENV)/.doubles: $(VENV)/.test
	$(PIP) --group doubles --group frames --group dask
	touch $@

# The generator of the interoperability test wants other versions than we do, so it gets its own place.
$(VENV)/generator/.done: $(VENV)/.run
	$(PYTHON) -m venv $(VENV)/generator
	$(VENV)/generator/bin/python -m pip --disable-pip-version-check install --quiet openapi-python-client==0.29.1
	touch $@

# The long tests, then mutants of the rules about money, then instructions per call (`benchmarks/bars.toml`).
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
	$(VENV)/lowest/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt pip
	$(VENV)/lowest/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint $(VENV)/lowest/constraints.txt --editable '.[images,otel,postgres,reconcile]' --group test
	touch $@

lowest: $(VENV)/lowest/.done
	$(VENV)/lowest/bin/python -m pytest --numprocesses 2 --dist worksteal $(LOWEST)

# What another version of a library breaks first: calls, the journal, the command. Long sweeps stay with `lowest`.
SHORT = $(filter-out %_cancellation.py %_adaptive.py %_faults.py %_wire_rate.py, $(wildcard \
	tests/test_client_*.py tests/test_transport_*.py tests/test_journal_*.py tests/test_cli_call*.py \
	tests/test_cli_journal.py tests/test_cli_doctor.py tests/test_cli_vouchers.py))
lowest-short: $(VENV)/lowest/.done
	timeout 300 $(VENV)/lowest/bin/python -m pytest --numprocesses 2 --dist worksteal $(SHORT)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes pandapon_async --ignoreexternal

# Zensical builds the site from mkdocs.yml, which MkDocs 1.6 reads as well. A dead link ends it, and so does a
# public name without a text.
$(VENV)/docs/.done: docs/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)/docs
	$(VENV)/docs/bin/python -m pip --disable-pip-version-check install --quiet --requirement docs/requirements.txt
	touch $@

docs: $(VENV)/docs/.done
	$(VENV)/docs/bin/python -m tests.documented
	$(VENV)/docs/bin/zensical build --clean --strict

# Its own mark, so that the rivals come in only when they are asked for.
$(VENV)/.bench: $(VENV)/.test
	$(PIP) --group bench
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.page

$(VENV)/.release: $(VENV)/.run
	$(PIP) --group release
	touch $@

# The commit of 0.1.0; the API is compared with it.
RELEASED := 539f0ea6bafd7d1980bfb08f926c881225481625
RELEASE := build/release

# Two builds must be the same to the byte. What changed in the API must be told in CHANGELOG.md (`tests.api_changes`).
# The wheel is installed without pip beside it, so that the list of its parts has nothing else in it.
release-check: $(VENV)/.release
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --outdir $(RELEASE)/one >> $(RELEASE)/build.log
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --outdir $(RELEASE)/two >> $(RELEASE)/build.log
	cd $(RELEASE)/one && sha256sum * | tee ../SHA256SUMS
	cd $(RELEASE)/two && sha256sum --check --quiet ../SHA256SUMS
	$(BIN)/twine check --strict $(RELEASE)/one/*
	$(BIN)/check-wheel-contents $(RELEASE)/one/*.whl
	$(BIN)/zizmor --offline .github
	$(PYTHON) -m venv --without-pip $(RELEASE)/installed
	$(BIN)/python -m pip --disable-pip-version-check --python $(RELEASE)/installed/bin/python install --quiet \
		--constraint constraints.txt $(RELEASE)/one/*.whl
	$(RELEASE)/installed/bin/pandapon endpoints --safety once > $(RELEASE)/endpoints.jsonl
	version=$$($(RELEASE)/installed/bin/python -c 'import pandapon_async; print(pandapon_async.__version__)') && \
		grep --quiet --fixed-strings "## [$$version]" CHANGELOG.md && \
		sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml > $(RELEASE)/pyproject.toml
	$(BIN)/cyclonedx-py environment $(RELEASE)/installed/bin/python --pyproject $(RELEASE)/pyproject.toml \
		--output-reproducible --output-file $(RELEASE)/sbom.cdx.json
	$(BIN)/python -m tests.api_changes $(RELEASED) > $(RELEASE)/api-changes.txt || \
		{ grep "does not tell" $(RELEASE)/api-changes.txt; exit 1; }
	@echo "$$(wc -l < $(RELEASE)/api-changes.txt) differences to the API of 0.1.0, all in CHANGELOG.md: $(RELEASE)/api-changes.txt"
	@test -z "$$(git status --porcelain)" || echo "not a release: files here are not committed, and the build took them"

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
