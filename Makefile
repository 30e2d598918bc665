# Each target sets up its own virtual environment at first use, in build/venv/TARGET-VERSION, and again when setup.cfg
# changes. You need only Python, make, and a package index for pip.
#
#   make check                          the tests for every change: unit and integration
#   make test                           everything
#   make test PYTHON=python3.9          with another interpreter, in another environment
#   make check PYTHON=pypy3             with PyPy: without the packages that have no wheel for it
#   make test ARGS="-k watch"           a part of the tests
#   make test JOBS=0                    one test after the other, in one process (for a debugger, or a slow machine)

PYTHON ?= python3
ARGS ?=

# 3.11, or pypy3.9.
VERSION := $(shell $(PYTHON) -c 'import sys; print(("" if sys.implementation.name == "cpython" else sys.implementation.name) + "%d.%d" % sys.version_info[:2])' 2>/dev/null)
# Most tests wait for something most of the time: three processes a core. A fourth one would collect all tests as well,
# which takes longer than it saves.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(12, 3 * (os.cpu_count() or 2)))' 2>/dev/null)
VENVS := build/venv
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_USE_PEP517 = 1
# An older version with a wheel, rather than a newer one that would have to be compiled: cryptography on PyPy.
export PIP_PREFER_BINARY = 1
# Python compiles a module at its first use, and most are never used. This is also for the environments of pip's builds.
export PIP_COMPILE = 0
# Containers often set it. Each process of the tests, and each program that they start, would then compile all modules.
unexport PYTHONDONTWRITEBYTECODE

EXTRAS_demo := sandbox,cli
CONTRIB := django,flask,redis,prometheus,opentelemetry
EXTRAS_test := sandbox,cli,completion,speed,$(CONTRIB),test,test-all
EXTRAS_oldest := sandbox,cli,completion,speed,$(CONTRIB),test
EXTRAS_coverage := sandbox,cli,speed,redis,test
EXTRAS_soak := sandbox,cli,completion,speed,$(CONTRIB),test,test-all,soak
EXTRAS_bench := sandbox,speed,redis,bench
# Of lint, docs and package.
EXTRAS_tools := sandbox,cli,completion,speed,$(CONTRIB),lint,docs,package

# The oldest versions that setup.cfg permits: make check-oldest.
CONSTRAINTS_oldest := -c tests/packaging/oldest.txt

DEMO := $(VENVS)/demo-$(VERSION)
TEST := $(VENVS)/test-$(VERSION)
OLDEST := $(VENVS)/oldest-$(VERSION)
COVERAGE := $(VENVS)/coverage-$(VERSION)
SOAK := $(VENVS)/soak-$(VERSION)
BENCH := $(VENVS)/bench-$(VERSION)
TOOLS := $(VENVS)/tools-$(VERSION)

# Idle processes take tests from busy ones, so that none waits at the end.
PARALLEL := -n $(JOBS) --dist worksteal
LOOP := tests/unit tests/integration

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check check-oldest test coverage debian soak bench lint docs package interop clean

help:  ## show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*##  *\(.*\)/  make \1	\2/p' Makefile | expand -t 20

demo: $(DEMO)/.ready  ## watch a client log in, connect, lose the connection, reconnect, be throttled, and log out
	@$(DEMO)/bin/python -m cometchat demo

check: $(TEST)/.ready  ## run the unit and integration tests (a minute)
	$(TEST)/bin/python -m pytest $(PARALLEL) $(if $(ARGS),$(ARGS),$(LOOP))

# Old versions of urllib3 and aiohttp leave sockets to the garbage collector.
check-oldest: $(OLDEST)/.ready  ## run them with the oldest versions of all dependencies
	$(OLDEST)/bin/python -m pytest $(PARALLEL) -W ignore::pytest.PytestUnraisableExceptionWarning $(if $(ARGS),$(ARGS),$(LOOP))

test: $(TEST)/.ready  ## run all tests (five minutes)
	$(TEST)/bin/python -m pytest $(PARALLEL) $(ARGS)

# The pytest plugin of the package loads cometchat before a plugin for coverage could watch. So coverage runs pytest.
coverage: export COVERAGE_FILE = $(CURDIR)/$(COVERAGE)/.coverage
coverage: $(COVERAGE)/.ready  ## check that unit and integration tests run 97 % of the lines of the core (Python 3.12: a minute)
	@$(COVERAGE)/bin/coverage erase
	$(COVERAGE)/bin/coverage run -m pytest $(PARALLEL) $(LOOP) $(ARGS)
	@$(COVERAGE)/bin/coverage combine -q
	@$(COVERAGE)/bin/coverage report

# SUITE=sid has the newest Python.
SUITE ?= trixie
debian:  ## run the unit and integration tests in a Debian chroot, with Debian's packages (needs root, debootstrap)
	.ci/debian $(SUITE) $(PARALLEL) $(if $(ARGS),$(ARGS),$(LOOP))

# The figures of docs/reliability.rst: the same tests as in `make test`, longer, one after the other, and a table.
soak: export COMETCHAT_SOAK = 1
soak: $(SOAK)/.ready  ## run the long form of the fault tests (an hour), and print the figures
	$(SOAK)/bin/python -m pytest --timeout 3600 $(if $(ARGS),$(ARGS),tests/faults tests/integration/test_nothing_is_lost.py tests/contrib/test_redis_processes.py tests/contrib/test_redis_chaos.py tests/contrib/test_redis_stream_chaos.py)

# The figures of docs/performance.rst: on a machine that does nothing else. ARGS=--write-docs renews that page.
bench: $(BENCH)/.ready  ## measure the SDK and its peers, and write a table, a plot and JSON (a quarter of an hour)
	@$(BENCH)/bin/python -m benchmarks $(ARGS)

# AUDIT=optional: go on where the database of advisories cannot be reached. It is said in any case.
lint: $(TOOLS)/.ready  ## run flake8, isort, mypy --strict, pyright --verifytypes, bandit and pip-audit
	$(TOOLS)/bin/flake8
	$(TOOLS)/bin/isort --check --diff -q .
	$(TOOLS)/bin/mypy --strict cometchat
	@echo "pyright --verifytypes cometchat"; PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" PYTHONPATH=. PYRIGHT_PYTHON_IGNORE_WARNINGS=1 \
		$(TOOLS)/bin/pyright --verifytypes cometchat --ignoreexternal >build/types || { cat build/types; exit 1; }
	$(TOOLS)/bin/bandit -q --ini setup.cfg -r cometchat
	@$(TOOLS)/bin/python .ci/audit.py $(AUDIT)

# From nothing each time: a page that did not change would hide its warnings.
docs: $(TOOLS)/.ready  ## build the documentation into build/docs/index.html; a warning is an error
	@rm -rf build/docs build/doctrees
	$(TOOLS)/bin/sphinx-build -q -n -W --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

package: $(TOOLS)/.ready  ## build the sdist and the wheel into dist, and check both
	@rm -rf dist build/lib build/bdist.*
	$(TOOLS)/bin/python -m build --outdir dist .
	$(TOOLS)/bin/twine check --strict dist/*
	$(TOOLS)/bin/check-wheel-contents dist/*.whl

# Outside CI: npm's packages come and go. ARGS="threads mentions" runs some screens. No code of the vendor is in here.
interop: $(TEST)/.ready  ## drive the vendor's React UI Kit on the sandbox, and print what it asks for (needs npm, Chromium)
	@$(TEST)/bin/python tests/interop $(ARGS)

clean:  ## delete the files of make and the tools, but not your environments such as .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .hypothesis docs/_build
	find benchmarks cometchat docs examples tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Prints the file of the pip that comes with Python. venv takes much longer to install it, since it compiles all of it.
BUNDLED_PIP = import ensurepip, glob, os; print(glob.glob(os.path.dirname(ensurepip.__file__) + "/_bundled/pip-*.whl")[0])

# The newest pip is quicker than the one that comes with Python: an environment then takes a third less time.
# An environment for tests also makes the byte code of the tests, by one process. Otherwise each of the processes that run
# the tests makes it for itself, all at the same time. A test run shows the errors.
$(VENVS)/%-$(VERSION)/.ready: setup.cfg setup.py tests/packaging/oldest.txt
	@test -n "$(VERSION)" || { echo "make: '$(PYTHON)' does not run. Use another interpreter: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { echo "make: Python 3.9 or newer is required, but '$(PYTHON)' is Python $(VERSION). Use another interpreter: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Setting up $(@D) (once; it takes half a minute) ..."
	@{ $(PYTHON) -m venv --clear --without-pip $(@D) && pip=$$($(PYTHON) -c '$(BUNDLED_PIP)') && PYTHONPATH=$$pip $(@D)/bin/python -m pip install -qqq --no-index $$pip; } > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(@D) > /dev/null || { echo "make: '$(PYTHON) -m venv' does not work: install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(@D)/bin/python -m pip install -qqq --upgrade pip || true
	@$(@D)/bin/python -m pip install -qq -e '.[$(EXTRAS_$*)]' $(CONSTRAINTS_$*)
	@$(if $(filter test oldest coverage soak,$*),$(@D)/bin/python -m pytest -p no:cacheprovider --collect-only -q $(if $(filter oldest coverage,$*),$(LOOP)) > /dev/null || true)
	@touch $@
