# Groundwork: what a fresh machine with Python 3.11 to 3.13 and make can do. `make` alone lists it.
SHELL := /bin/bash

# PYTHON=python3.12            the interpreter to make .venv with; default: the first fitting one on the PATH
# TORCH_INDEX=<address>        of the package index where pip finds another build of torch, e.g. PyTorch's for CPUs
PYTHON ?=
TORCH_INDEX ?=
# WORKERS=8                    processes that run tests side by side; each takes up to 1.5 GB
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/.installed
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python)
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: help install demo test check prove static lock clean

help:
	@echo "make demo    from the embedded corpus to a trained model: text, shards, training, a stop, a resume, a sample"
	@echo "make test    every test that this machine can run; says which capabilities it skipped and why"
	@echo "make check   lint, format, types, import rules and the quick tests, in under 2 minutes"
	@echo "make prove   kills, damage, full disks and the like, injected into small runs; PROVE=--help says more; 45 minutes"
	@echo "make install .venv with the locked dependencies (the targets above do it by themselves)"
	@echo "make lock    requirements.lock anew after a change of pyproject.toml; UPGRADE=--upgrade takes new versions"
	@echo "make clean   remove .venv and the caches of the tools; data/ and runs/ stay"
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter; TORCH_INDEX=<address of an index> a build of torch:"
	@echo "without it, Linux gets the build with CUDA (about 2.5 GB)."

install: $(STAMP)

# --no-deps: the lock alone says what is installed. Editable: under torchrun sys.path holds launch/, not the clone.
$(STAMP): requirements.lock pyproject.toml
	@for python in $(CANDIDATES); do \
	    if "$$python" -c '$(FITS)' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 to 3.13 among: $(CANDIDATES)." \
	        "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	    exit 1; \
	fi; \
	if [ -x $(BIN)/python ] && $(BIN)/python -c '$(FITS)' 2>/dev/null; then exit 0; fi; \
	echo "making .venv with $$("$$found" --version)"; \
	"$$found" -m venv --clear .venv || { \
	    echo "make: '$$found -m venv' failed (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "installing the locked dependencies: a minute or two of downloads, then a minute in which pip says nothing"
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	$(BIN)/python launch/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -rs --durations=40

static: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: static
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" -rs

# PROVE="--quick" takes 6 minutes or so; PROVE="--list" lists the faults
prove: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.prove $(PROVE)

# uv resolves once for all platforms and Pythons (pip can't), keeping every version that the lock already names. Taken
# out of its answer: torch's CUDA wheels, which belong to the build of torch that TORCH_INDEX chooses and which pip then
# installs with it, and what only Windows or a browser needs.
lock: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra fast --extra web --extra remote --extra dev \
	    --no-annotate --no-header --quiet $(UPGRADE) --output-file requirements.lock >/dev/null
	grep -Ev "^(cuda|nvidia)-|^triton==|== '(win32|emscripten)'" requirements.lock \
	    | sed "s/ ; sys_platform != 'emscripten'$$//" >requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
