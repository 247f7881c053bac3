# Everything runs from .venv. `make install` fills it; the other targets call that first.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The library that recovers signatures has no build for 3.14 yet.
NEEDS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# The first interpreter that fits; `make PYTHON=/path/to/python3` overrules.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEEDS)' 2>/dev/null && echo $$python && break; done)
# What the stamp must hold for the environment to be current.
WANTED = $(CURDIR) $(shell cat requirements.lock pyproject.toml | cksum)

.PHONY: install demo test check chaos bench up lock

install:
	@if [ "$$(cat $(STAMP) 2>/dev/null)" = "$(WANTED)" ] && $(BIN)/python -c '$(NEEDS)' 2>/dev/null; \
	then exit 0; fi; \
	set -e; \
	if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(NEEDS)' 2>/dev/null; then \
		echo "Holdfast needs Python 3.11, 3.12 or 3.13; name one: make install PYTHON=python3.12" >&2; \
		exit 1; \
	fi; \
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make environments; on Debian or Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	fi; \
	grep -qsF "$(CURDIR)/$(VENV)" $(VENV)/pyvenv.cfg && $(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV); \
	echo "Installing what requirements.lock pins"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation -e .; \
	echo "$(WANTED)" > $(STAMP)

# The story of README, on a throw-away stack.
demo: install
	$(BIN)/holdfast demo

# The whole gate. pytest comes last, so that its closing line is the last thing printed.
test: install
	$(BIN)/poe check
	$(BIN)/pytest -n 2 --dist loadfile

# The same without the tests that start processes.
check: install
	$(BIN)/poe check
	$(BIN)/pytest -n 2 --dist loadfile -m "not services"

# Any process killed at any moment while alerts flow; the same SEED makes the same choices again.
SEED ?= 1
KILLS ?= 50
ALERTS ?= 200
chaos: install
	CHAOS_SEED=$(SEED) CHAOS_KILLS=$(KILLS) CHAOS_ALERTS=$(ALERTS) CHAOS_SETTLE_SECONDS=60 \
		$(BIN)/pytest -q -s -m campaign tests/chaos/test_campaign.py

# Measure the engine beside its floors: make bench, or make bench BENCH=--quick.
bench: install
	$(BIN)/python -m tests.bench $(BENCH)

# Everything on this machine, in the foreground, until Ctrl-C.
up: install
	$(BIN)/holdfast up

# Resolve again for every platform, keeping the pins that still fit (`make lock UPGRADE=--upgrade`
# renews them). The image's lock is the same pins without the development tools.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" pyproject.toml
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: see docs.astral.sh/uv" >&2; exit 1; }
	$(COMPILE) --group dev $(UPGRADE) --output-file requirements.lock
	echo uv-build | $(COMPILE) - --constraint requirements.lock \
		--output-file infra/production/requirements.lock
