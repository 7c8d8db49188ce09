# The commands of the house. `make` lists them; each makes what it needs, in .venv.
#   PYTHON=/path/to/python make setup    builds .venv with a Python of your choice
#   make test ARGS="-k breaker -x"       hands arguments on to pytest

VENV := .venv
PY   := $(VENV)/bin/python
# The stamp names the folder, because an environment does not work in another one.
READY := $(VENV)/.ready-$(shell pwd -P | cksum | cut -d ' ' -f 1)

# What another active environment has set must not reach ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench soak clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## Make .venv and install the project in it

demo: $(READY) ## Run the documents example: files dropped in, each runs once
	@$(PY) examples/02_documents/demo.py $(ARGS)

test: $(READY) ## Run all tests, the house checks among them
	@$(PY) -m pytest tests $(ARGS)

check: $(READY) ## Run what a commit must pass: format, lint, types, floors, fast tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest tests -m "not slow" --ignore=tests/house/test_lint.py $(ARGS)

fix: $(READY) ## Format, and mend what ruff can mend
	@$(PY) -m ruff check --fix . || true
	@$(PY) -m ruff format .

bench: $(READY) ## Measure
	@$(PY) -m benchmarks.bench $(ARGS)

soak: $(READY) ## Kill daemons at random on a log of each kind, and judge what is left
	@$(PY) -m tests.soak $(ARGS)

clean: ## Delete .venv and the caches of the tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Installed again when pyproject.toml changes; made anew when broken, too old or moved.
$(READY): pyproject.toml
	@set -eu; \
	is_new() { "$$@" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	is_moved() { for stamp in $(VENV)/.ready-*; do [ -e "$$stamp" ] && [ "$$stamp" != $(READY) ] && return; done; return 1; }; \
	if is_moved || ! is_new $(PY) || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  new=; found=; \
	  for python in "$${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    is_new "$$python" || continue; \
	    new=$$python; \
	    if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$new" ]; then \
	    echo "Playhead needs Python 3.11 or newer, and none was found." >&2; \
	    echo "Install one, or name it: PYTHON=/path/to/python make setup" >&2; \
	    exit 1; \
	  fi; \
	  if [ -z "$$found" ]; then \
	    echo "$$new is new enough but cannot make an environment: its venv or ensurepip is missing." >&2; \
	    echo "Install it (on Debian and Ubuntu the package is python3-venv), or name another Python:" >&2; \
	    echo "PYTHON=/path/to/python make setup" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$found"; \
	  "$$found" -m venv --clear $(VENV); \
	fi; \
	echo "Installing the project and its tools in $(VENV)"; \
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	touch $(READY)
