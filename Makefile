# Two commands need nothing but Python 3.11+: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup demo test check bench screenshots lock secrets clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"heatwatch needs Python 3.11 or newer, this is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup
	$(BIN)/heatwatch demo $(ARGS)

test: setup
	$(BIN)/python -m pytest --doctest-modules $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Measures ratios on this machine: docs/performance.md. ARGS=--json for machines, ARGS=publish for one part.
bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

# Takes the pictures of docs/pictures out of a running demo; needs Debian's chromium and fonts for Chinese.
screenshots: setup
	$(BIN)/python -m tests.browser.screenshots

# Renews every pinned version; the hashes are kept, the addresses are not. Those of the image are a part of them.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-annotate --no-header
lock: setup
	$(COMPILE) --upgrade --extra dev --extra dask --extra postgres --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --extra dask --extra postgres --output-file deploy/requirements.lock pyproject.toml
	printf 'build\nhatchling\n' | $(COMPILE) --constraint requirements.lock --output-file deploy/build.lock -

# Makes what is missing in secrets/, as root, for docker-compose.yml: docs/operations.md. ARGS="--host … --station S1".
secrets: setup
	$(BIN)/heatwatch secrets make --out secrets $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
