# WorldGPT-env. `make demo` and `make test` do all the set-up on a fresh Linux machine with
# Python 3.11 or newer, then run; set-up is skipped when it is done.
#
#   make demo     open a learned world, train PPO inside it, judge it in the real world (3 minutes)
#   make test     the whole fast test suite
#   make check    test + lint + types + installed
#   make lint     ruff: style, imports, docstrings
#   make types    mypy on the installed tree
#   make wheel    build dist/*.whl and dist/*.tar.gz
#   make installed  the wheel in a fresh environment, used from another folder
#   make long     the long learning tests and the long commands of the documentation
#   make machines  the promise of equal bits under settings that stand in for other machines
#   make faults   machines and disks that fail: hundreds of commands stopped by force, full disks
#   make results  every figure of docs/results.md
#   make pins     write constraints.txt from the environment as it is
#   make clean    remove builds and caches (the environment stays: `rm -rf .venv` removes it)
#
# PYTHON=python3.12  builds the environment with that interpreter.
# TORCH=...          is added to the one `pip install torch` line. Where pip would fetch a GPU build that
#                    you do not want: make test TORCH="--index-url ADDRESS", with the address of the CPU
#                    packages that the installation page of PyTorch shows.

PYTHON ?= python3
TORCH ?=
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
READY := $(VENV)/ready

.PHONY: demo test check lint types wheel installed long faults machines results pins clean setup

demo: $(READY)
	$(PY) -m worldgpt_env demo

test: $(READY)
	$(PY) -m pytest

check: test lint types installed

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# mypy cannot follow the folder mapping of setup.cfg, so it reads the tree as pip installs it.
types: $(READY)
	rm -rf build/lib build/check
	$(PIP) install --no-deps --no-build-isolation --target build/check .
	$(VENV)/bin/mypy

wheel: $(READY)
	rm -rf build/lib dist
	$(PY) -m build --no-isolation .

# The fresh environment borrows the libraries of .venv by one path line; our package is in it only
# as the wheel (a path line does not activate the editable install).
installed: wheel
	rm -rf build/fresh
	$(PY) -m venv --without-pip build/fresh
	$(PIP) --python build/fresh/bin/python install --no-deps dist/*.whl
	$(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	    > "$$(build/fresh/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/libraries.pth"
	build/fresh/bin/python tests/installed.py

long: $(READY)
	$(PY) -m pytest -m slow --timeout 0

machines: $(READY)
	PY=$(PY) bash docs/machines.sh

faults: $(READY)
	$(PY) -m pytest -m "slow or not slow" --timeout 0 -s tests/faults

results: $(READY)
	bash docs/results.sh
	bash docs/worldnet.sh

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$($(PYTHON) --version) is too old: install Python 3.11 or newer and type: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { \
	  echo "Python cannot make a virtual environment: on Debian and Ubuntu type: apt-get install python3-venv"; \
	  rm -rf $(VENV); exit 1; }
	$(PIP) install -c constraints.txt setuptools
	$(PIP) install -c constraints.txt $(TORCH) torch
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[dev]"
	@$(SOUND)
	@touch $@

# OpenAL, which ViZDoom needs to make sound: the package pyalsoft (on 3.11 without its check of the
# Python version: only the library file in it is used), else Debian's, else what to type.
define SOUND
$(PIP) install -c constraints.txt --ignore-requires-python --no-deps pyalsoft 2>/dev/null || \
$(PY) -c 'import ctypes.util as u, sys; sys.exit(not u.find_library("openal"))' || \
{ [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y libopenal1; } || \
echo "There is no OpenAL library, so the Doom worlds cannot be heard and will not open. Type: sudo apt-get install libopenal1"
endef

pins: $(READY)
	$(PIP) freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
