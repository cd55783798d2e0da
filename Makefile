# Everything a person does in this repository. Needs python3 (3.11 or later), make and a package index.
#
#   make book        set up, run the notebooks, build the site and serve it
#   make test        set up and run the tests
#   make help        the rest

VENV    ?= .venv
PORT    ?= 8000
# The Python to set up with; empty means: python3 if it is recent enough, else the newest one found by its full name.
PYTHON  ?=

PY      := $(VENV)/bin/python
PYTEST  := $(PY) -m pytest
STAMPS  := $(VENV)/.installed
PARALLEL := -n auto --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup book site notebooks test test-quick test-slow test-site test-all exercises exercises-solutions \
        bench lint format lock clean

help:
	@echo 'make book        set up, run the notebooks, build the site and serve it (PORT=8000)'
	@echo 'make site        the same, into site/, without serving'
	@echo 'make notebooks   open the notebooks in JupyterLab'
	@echo 'make exercises   check your solutions'
	@echo 'make bench       every benchmark, with the phases and the compiler side by side'
	@echo 'make test        the tests; test-quick: under a minute; test-all: everything that CI runs'
	@echo 'make setup       only set up (.venv); make lint, make format, make lock, make clean: for work on the code'
	@echo 'PYTHON=/path/to/python3.12 sets up with that Python; VENV=dir puts the environment elsewhere.'

# --- Setting up ------------------------------------------------------------------------------------------------------
# An environment and one stamp for each extra in it. A change of pyproject.toml or constraints.txt installs again.

define FIND_PYTHON
for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; python=; \
done; \
if [ -z "$$python" ]; then \
  found=$$("$(or $(PYTHON),python3)" -c 'import platform; print(platform.python_version())' 2>/dev/null); \
  echo "Pallas in NumPy needs Python 3.11 or later; $(or $(PYTHON),python3) is $${found:-not to be found} here." >&2; \
  echo "Install a newer one, or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; \
  exit 1; \
fi
endef

$(VENV)/.created:
	@$(FIND_PYTHON); \
	echo "==> Making an environment in $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) || { \
	  echo "This Python cannot make an environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

define INSTALL
@echo "==> Installing $(1)"
@$(PY) -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[$(2)]'
@mkdir -p $(STAMPS) && touch $@
endef

$(STAMPS)/book: $(VENV)/.created pyproject.toml constraints.txt
	$(call INSTALL,what the book needs (JAX and NumPy and MkDocs; a minute or two the first time),book)

$(STAMPS)/notebooks: $(VENV)/.created pyproject.toml constraints.txt
	$(call INSTALL,JupyterLab and what the notebooks need,book$(comma)notebooks)

$(STAMPS)/dev: $(VENV)/.created pyproject.toml constraints.txt
	$(call INSTALL,what the tests need (JAX and NumPy and pytest; a minute or two the first time),dev)

comma := ,

setup: $(STAMPS)/book $(STAMPS)/notebooks $(STAMPS)/dev
	@echo '==> Ready: make book, make notebooks, make test'

# --- The book --------------------------------------------------------------------------------------------------------
# The site is built beside the old one and takes its place only when the build has succeeded.

SITE_SOURCES := $(shell find mkdocs.yml pyproject.toml book pallas_np benchmarks exercises solutions -type f \
                  -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*' -not -name '* *' 2>/dev/null)

site: site/index.html

site/index.html: $(STAMPS)/book $(SITE_SOURCES)
	@echo '==> Building the site'
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --site-dir .site-building
	@rm -rf site && mv .site-building site && touch $@
	@echo '==> Built: site/index.html'

book: site
	@$(PY) book/machinery/serve.py site --port $(PORT)

notebooks: $(STAMPS)/notebooks
	@$(PY) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/book $(if $(filter 0,$(shell id -u)),--allow-root)

# --- Exercises and benchmarks ----------------------------------------------------------------------------------------

exercises: $(STAMPS)/dev
	@$(PYTEST) exercises/

exercises-solutions: $(STAMPS)/dev
	@$(PYTEST) exercises/ --solutions

bench: $(STAMPS)/dev
	@$(PY) -m pallas_np bench
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.memory_benchmark
	@$(PY) -m benchmarks.checks_benchmark
	@$(PY) -m benchmarks.import_benchmark

# --- Tests -----------------------------------------------------------------------------------------------------------

test: $(STAMPS)/dev
	$(PYTEST) $(PARALLEL) -m 'not slow and not site' tests

test-quick: $(STAMPS)/dev
	$(PYTEST) $(PARALLEL) -m 'quick and not site' tests

test-slow: $(STAMPS)/dev
	$(PYTEST) $(PARALLEL) -m 'slow and not site' tests || [ $$? -eq 5 ] # 5: there are none

test-site: $(STAMPS)/dev site
	$(PYTEST) -m site tests/book tests/inspector

test-all: lint test test-slow test-site exercises-solutions

lint: $(STAMPS)/dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: $(STAMPS)/dev
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

# --- Keeping house ---------------------------------------------------------------------------------------------------
# One set of exact versions for every Python and platform, so that an install next year is the one that was tested.

lock: $(VENV)/.created
	@$(PY) -m pip install --disable-pip-version-check --quiet uv
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade --no-annotate \
	  --custom-compile-command 'make lock' --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) site .site-building .mypy_cache .pytest_cache .ruff_cache
