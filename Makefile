# Every target works from a fresh checkout with nothing but Python ≥ 3.11, pip and make.
# Tools run as `python -m …`: the scripts in .venv/bin would break in a path with spaces.
PY := .venv/bin/python
UV ?= uv
ARGS ?=
export PYTHON

# A process of pytest for each core. Whole files and in their order: many share a service, some a long run of it.
# `-n0` and `-p no:xdist` in ARGS mean a single one, for a debugger.
PROCESSES = $(if $(findstring no:xdist,$(ARGS)),,-n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check fmt bench sdl sdl-check lock web web-check

##@ Use
setup: ## create .venv and install what Darkroom needs (PYTHON=… chooses the interpreter)
	@tools/setup requirements.lock

run: setup ## serve on 127.0.0.1:8000, with PostgreSQL and worker
	@trap : INT; $(PY) -m app serve || [ $$? -eq 130 ]

##@ Develop
setup-dev:
	@tools/setup requirements-dev.lock

# With bytecode, whatever the environment says: hundreds of processes would compile every module anew.
test: check ## all checks, and all tests on all cores (ARGS=… goes to pytest; -n0: in one process)
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest $(PROCESSES) $(ARGS)

check: setup-dev sdl-check ## lint, format, types, direction of imports, and the published schema
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"

sdl-check: setup-dev ## does the schema break clients of the last release?
	@$(PY) -m tools.sdl_check

fmt: setup-dev ## format the code and repair what ruff can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: setup-dev ## measure; see docs/benchmarks.md
	@$(PY) -m bench $(ARGS)

##@ Generate
sdl: setup ## export schema/schema.graphql and .env.example
	@$(PY) -m app sdl > schema/schema.graphql
	@$(PY) -m app env-example > .env.example

web: ## build the pages below web/ and examples/ anew; needs Node ≥ 20.19
	@tools/web build

web-check: ## compare the committed pages with a build from their lock
	@tools/web check

lock: ## resolve requirements*.lock anew with uv (ARGS=--upgrade for newer versions)
	@command -v "$(UV)" >/dev/null || { echo "make lock needs uv: pip install uv, or UV=/path/to/uv" >&2; exit 1; }
	@$(call compile,requirements.lock)
	@$(call compile,requirements-dev.lock,--group dev --constraints requirements.lock)

# Hashes pin the files, so no index address is needed in the lock, and none may be there.
compile = "$(UV)" pip compile pyproject.toml $(2) --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet --output-file $(1) $(ARGS)

##@ Help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
