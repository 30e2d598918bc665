# Each target sets up a virtual environment of its own on first use, in .venv/TARGET-VERSION, and again only when
# setup.cfg changes. Nothing else is needed but Python, make, and the package registry that pip is set up for.
#
#   make test PYTHON=python3.9          with another interpreter; the environments stand side by side
#   make test ARGS="-k watch"           a part of the tests; the coverage floor is for the whole only
#   make test COVERAGE=no               a third faster, without a report

PYTHON ?= python3
ARGS ?=
COVERAGE ?= yes

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENVS := .venv
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_USE_PEP517 = 1

EXTRAS_demo := sandbox,cli
CONTRIB := django,flask,redis,prometheus,opentelemetry
EXTRAS_test := sandbox,cli,speed,$(CONTRIB),test
EXTRAS_soak := sandbox,cli,speed,$(CONTRIB),test,soak
EXTRAS_lint := sandbox,cli,speed,$(CONTRIB),lint
EXTRAS_bench := sandbox,speed,bench
EXTRAS_docs := sandbox,cli,$(CONTRIB),docs

DEMO := $(VENVS)/demo-$(VERSION)
TEST := $(VENVS)/test-$(VERSION)
SOAK := $(VENVS)/soak-$(VERSION)
LINT := $(VENVS)/lint-$(VERSION)
BENCH := $(VENVS)/bench-$(VERSION)
DOCS := $(VENVS)/docs-$(VERSION)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test soak bench lint docs clean

help:  ## show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*##  *\(.*\)/  make \1	\2/p' Makefile | expand -t 16

demo: $(DEMO)/.ready  ## watch a real client log in, connect, lose the connection, come back, be throttled, leave
	@$(DEMO)/bin/python -m cometchat demo

# The plugin of pytest loads cometchat before a plugin for coverage could look: so coverage runs pytest, not the reverse.
test: export COVERAGE_FILE = $(CURDIR)/$(TEST)/.coverage
test: $(TEST)/.ready  ## run unit and integration tests, the README's code, and the coverage floor of 95 %
ifeq ($(COVERAGE),no)
	$(TEST)/bin/python -m pytest $(ARGS)
else
	@$(TEST)/bin/coverage erase
	$(TEST)/bin/coverage run -m pytest $(ARGS)
	@$(TEST)/bin/coverage combine -q
	@$(TEST)/bin/coverage report $(if $(ARGS),--fail-under=0)
endif

# The figures of docs/reliability.rst: the same tests as in `make test`, longer, and a table at the end.
soak: export COMETCHAT_SOAK = 1
soak: $(SOAK)/.ready  ## run the long form of the tests for bad days (an hour), and print its figures
	$(SOAK)/bin/python -m pytest --timeout 3600 $(if $(ARGS),$(ARGS),tests/faults tests/integration/test_nothing_is_lost.py tests/contrib/test_redis_processes.py tests/contrib/test_redis_chaos.py)

# The figures of docs/performance.rst: on a machine that does nothing else. ARGS=--write-docs renews that page.
bench: $(BENCH)/.ready  ## measure the SDK and its peers on the same stream: a table, a plot, JSON (a quarter of an hour)
	@$(BENCH)/bin/python -m benchmarks $(ARGS)

# The audit is of what is installed for the checks, run-time dependencies and extras among it. Where the database of
# advisories can't be reached, it says so, and lets the other linters have the word.
lint: $(LINT)/.ready  ## run flake8, isort, mypy --strict, bandit and pip-audit
	$(LINT)/bin/flake8
	$(LINT)/bin/isort --check --diff -q .
	$(LINT)/bin/mypy --strict cometchat
	$(LINT)/bin/bandit -q --ini setup.cfg -r cometchat
	@$(LINT)/bin/pip freeze -q --exclude-editable > $(LINT)/installed.txt
	@$(LINT)/bin/pip-audit --progress-spinner off --disable-pip --no-deps -r $(LINT)/installed.txt > $(LINT)/audit.txt 2>&1 && grep -F 'No known' $(LINT)/audit.txt || \
	    { grep -qE 'ConnectionError|ServiceError|ConnectionFailed' $(LINT)/audit.txt && echo 'pip-audit: no database of advisories in reach, nothing was audited' >&2; } || \
	    { cat $(LINT)/audit.txt; exit 1; }

# Anew each time: what has not changed would hide its warnings.
docs: $(DOCS)/.ready  ## build the documentation into build/docs/index.html; a warning is an error
	@rm -rf build/docs build/doctrees
	$(DOCS)/bin/sphinx-build -q -n -W --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

clean:  ## delete the virtual environments and what the tools left
	rm -rf $(VENVS) build dist *.egg-info .pytest_cache .mypy_cache .hypothesis docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENVS)/%-$(VERSION)/.ready: setup.cfg setup.py
	@test -n "$(VERSION)" || { echo "make: '$(PYTHON)' does not run: give one that does, as in 'make PYTHON=python3.11'" >&2; exit 1; }
	@echo "Setting up $(@D) (once; it takes half a minute) ..."
	@$(PYTHON) -m venv --clear $(@D) > /dev/null || { echo "make: '$(PYTHON) -m venv' does not work: install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(@D)/bin/python -m pip install -qq -e '.[$(EXTRAS_$*)]'
	@touch $@
