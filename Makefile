# Each target does its own set-up: a Python, virtual environments from the hash-locked requirements, test servers.
# A second run of any of them does nothing twice.

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint format bench servers lock clean

BIN := .venv/bin
SET_UP := scripts/set-up
PYTEST := -m pytest -n 2 --dist worksteal -q
RESULTS := .cache/results
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

demo: ## an embedded CA, two certificates, a TLS server that is seen to serve one
	@$(SET_UP) run
	@$(BIN)/certd demo $(ARGS)

test: servers ## unit tests on every CPython 3.11 or newer found here, flow tests against real servers
	@rm -rf $(RESULTS)/test && mkdir -p $(RESULTS)/test
	@status=0; \
	$(BIN)/python $(PYTEST) -m "not long" --junit-xml=$(RESULTS)/test/main.xml tests || status=1; \
	scripts/each-other-python $(PYTEST) -m "not long" --junit-xml=$(RESULTS)/test/@.xml tests/unit || status=1; \
	$(BIN)/python scripts/count_results.py $(RESULTS)/test && exit $$status

test-long: servers ## the tests that take minutes: crash matrix and the like
	@rm -rf $(RESULTS)/long && mkdir -p $(RESULTS)/long
	@status=0; \
	$(BIN)/python $(PYTEST) -m long --junit-xml=$(RESULTS)/long/main.xml tests || status=1; \
	$(BIN)/python scripts/count_results.py $(RESULTS)/long && exit $$status

lint: ## ruff, mypy, pyright, and the floors of the house; all of them, even if one fails
	@$(SET_UP) dev
	@status=0; \
	$(BIN)/ruff check --quiet || status=1; \
	$(BIN)/ruff format --check --quiet || status=1; \
	$(BIN)/mypy --no-error-summary || status=1; \
	$(BIN)/pyright || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

format: ## the formatter, and what ruff can mend
	@$(SET_UP) dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: servers ## against Pebble, beside other clients; results: bench/README.md
	$(BIN)/python -m bench $(ARGS)

servers: ## what the tests start: Debian's servers, Pebble, step-ca, OpenBao, and other clients
	@$(SET_UP) dev
	@$(BIN)/python -m tests.servers.prepare

lock: ## choose versions again for everything in requirements/
	@scripts/lock

clean: ## environments, caches, what was built
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
