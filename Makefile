# Everything a newcomer, a developer and CI run. Each target sets up what it needs: Python 3.11+, git and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION := 0.13.9
# Two cores: more test processes than that only wait for each other.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup browser demo serve test sure format lint types floors fuzz bench lock clean

help: ## Say what can be made.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment (the others do it when they need it).

$(READY): pyproject.toml requirements/lock.txt
	@echo "setting up $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit("convstore needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements/lock.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The page that conversations are exported as is tried in a real browser. Without one its tests are left out; CI fails.
browser:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null || { \
		if command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
			echo "installing chromium …" && apt-get update -qq > /dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null; \
		else echo "No Chromium here: the tests of the exported page are left out. Install the package 'chromium'."; fi; }

demo: $(READY) ## Hold three conversations with a real small model on this machine, and show them.
	@mkdir -p build/demo
	@$(BIN)/convstore demo --database build/demo/convstore.db

serve: $(READY) ## Serve on the configured upstream (CONVSTORE_UPSTREAM_URL, CONVSTORE_UPSTREAM_KEY).
	@$(BIN)/convstore db upgrade
	@$(BIN)/convstore serve

test: $(READY) browser ## Run all tests, on SQLite and on a real PostgreSQL, and the exported page in a browser.
	@$(BIN)/python -m pytest -n $(JOBS)

sure: format lint types floors test ## Everything CI asks for: format, lint, types, floors, tests.

format: $(READY)
	@$(BIN)/ruff format --check .

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/deptry convstore

types: $(READY)
	@$(BIN)/mypy

floors: $(READY)
	@$(BIN)/lint-imports

fuzz: $(READY) ## Throw generated requests at every route, for minutes instead of seconds.
	@CONVSTORE_FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest --timeout=3600 tests/api/test_schemathesis.py

bench: $(READY) ## Measure everything, turns against a bare relay first (half an hour and more).
	@$(BIN)/python -m bench

lock: $(READY) ## Resolve the dependencies anew into requirements/lock.txt.
	@$(BIN)/uv pip compile pyproject.toml --universal --extra dev --extra postgres --extra parquet --extra local \
		--generate-hashes --no-header --quiet --upgrade --output-file requirements/lock.txt

clean: ## Remove what was built, the virtual environment too.
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
