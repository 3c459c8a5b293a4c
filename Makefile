# `make demo` and `make test` are all a newcomer needs: they ask for python3, a C compiler and a network, nothing else.
#
#   make demo       set up, compile the kernels, compare every solver on a Poisson problem, draw the plot
#   make test       set up, run the tests                (make test ARGS="-k multigrid -x" passes options on)
#   make test-slow  the long tests and those under mpiexec
#   make lint       ruff, mypy, import-linter
#   make docs       build the pages into site/
#   make bench      the benchmark of docs/performance.md (takes long; give it a quiet machine)
#   make setup      only the environment in .venv, with every extra
#   make clean      remove what was built (make distclean: .venv and .tools too)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint docs bench wheel clean distclean

# A `uv` on PATH may be a shim that fails, so it is asked for its version.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .tools/uv/bin/uv)
BIN := .venv/bin
STAMP := .venv/.synced
# One BLAS thread: more of them fight for the cores over short vectors and slow everything down.
RUN := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH"

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml uv.lock .python-version | $(filter .tools/%,$(UV))
	$(UV) sync --locked --all-extras --all-groups
	@touch $@

.tools/uv/bin/uv:
	@echo "uv is not here: installing it into .tools/uv"
	@sh .ci/get-uv .tools/uv

demo: setup
	$(RUN) conjugo warmup
	$(RUN) conjugo compare
	$(RUN) conjugo compare --shape 256 256 --coefficient noise --contrast 1e4 --no-memory --methods "learned basis" \
	  "cg + learned multigrid" "enriched multigrid" "cg + multigrid" "cg + mic" ruge-stuben "petsc cg + gamg"

test: setup
	$(RUN) pytest $(ARGS)

test-slow: setup
	$(RUN) pytest -m "slow or mpi" $(ARGS)

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

docs: setup
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict

bench: setup
	$(RUN) conjugo bench --suite poisson $(ARGS)

# The wheel, imported outside the checkout with nothing but its core dependencies.
wheel: setup
	sh .ci/check-wheel $(abspath $(UV)) $(abspath $(BIN))/python

clean:
	rm -rf build dist site runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

distclean: clean
	rm -rf .venv .tools
