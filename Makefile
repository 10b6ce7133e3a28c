# `make rehearse` and `make test` are all a newcomer needs; each makes the environment it runs in.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help env rehearse test check soak bench lock wheel clean

help:            ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

env: $(READY)    ## the environment in .venv, from the lock, byte-compiled

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "runbook needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(PY) -m compileall -q -j 0 $(VENV)/lib runbook || true
	@touch $@

rehearse: $(READY)  ## one short trading day on loopback: the feed goes mute, prices go on, the ticks return
	$(VENV)/bin/runbook rehearse

test: $(READY)   ## the whole suite, at most five minutes on two cores
	$(PY) -m compileall -q runbook jobs
	$(PY) -m pytest -n 3 --dist loadfile -m "not soak"

check: $(READY)  ## form, lint, types, walls
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest tests/test_architecture.py

soak: $(READY)   ## what is too long for `make test`: kills, seeds, every scenario; at most forty minutes
	$(PY) -m pytest -m soak --timeout 1800

bench: $(READY)  ## the figures behind what is claimed about speed and size
	@for file in bench/bench_*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

lock: $(READY)   ## resolve requirements.lock anew, for Python 3.11 to 3.13, without any address
	$(PY) -m pip install --quiet uv
	UV_NO_CONFIG=1 $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --extra postgres --group dev pyproject.toml -o requirements.lock --custom-compile-command "make lock"

wheel: $(READY)  ## build dist/
	$(PY) -m build --no-isolation

clean:           ## remove what was built; a site's ledger is never touched
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
