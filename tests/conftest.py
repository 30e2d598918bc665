"""The settings and fixtures of all tests."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generator, Iterator, List

import hypothesis
import log_guard
import pytest

if TYPE_CHECKING:
    from cometchat.sandbox import Sandbox

# hypothesis's time for an example, or for making one, depends on the machine. The time limit of a test stays. Each run
# has the same examples, so a test that fails fails again.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("fewer", hypothesis.settings.get_profile("any machine"), max_examples=10)
hypothesis.settings.load_profile("any machine")

# A shell starts its background jobs with Ctrl-C ignored, and nohup ignores a closed terminal. Children inherit that.
# The tests that send these signals would then wait for their whole timeout.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def pytest_configure(config: pytest.Config) -> None:
    """Measure no coverage in the programs that tests start. The processes of pytest-xdist are measured."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    # From Python 3.15 on, os.fork() raises this warning. Before, it only reports it.
    config.addinivalue_line("filterwarnings", "ignore:This process .* is multi-threaded:DeprecationWarning")
    log_guard.install()


@hypothesis.settings(max_examples=1, database=None)
@hypothesis.given(hypothesis.strategies.text())
def _draw(value: str) -> None:
    """Let Hypothesis do what it does once: make its source of random numbers, and look for the referrers of it.

    In a new clone it also writes a table of all characters, and one of the constants in each module that is loaded.
    """


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without garbage collection, and exclude them from it, since they stay until the end.

    Hypothesis would not find the frozen referrers of its own object. So it looks for them before. Afterwards it finds
    the constants of all modules. So the first collection in a new clone writes its tables for all processes.
    """
    _draw()
    gc.disable()
    try:
        return (yield)
    finally:
        _draw()
        gc.enable()
        if hasattr(gc, "freeze"):  # not PyPy
            gc.freeze()


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Begin with the tests that run alone. Later, the other processes would wait for one another's ends before each."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked ``alone`` wait for the end of the other processes' tests, and let those wait for it.

    It waits here, outside of the test's time limit. The mark needs no option of pytest-xdist, so it works with every
    distribution of tests.
    """
    with _turn(item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def _turn(alone: bool) -> Iterator[None]:
    """Two locks of all processes of this checkout, on files that every checkout has."""
    if fcntl is None or "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with open(__file__, "rb") as turn:
        # A test with the mark shuts the door while it waits for its turn, so that no other test passes it.
        with Path(__file__).with_name("machine.py").open("rb") as door:
            fcntl.flock(door, kind)
            fcntl.flock(turn, kind)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)  # a child of a fork may have the file open as well


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Remove addresses of objects from the names of tests. With them, two processes would collect different names."""
    for marker in metafunc.definition.iter_markers("parametrize"):
        ids = marker.kwargs.get("ids")
        if callable(ids):
            marker.kwargs["ids"] = lambda value, name_of=ids: _steady(name_of(value))  # type: ignore[index]
        elif isinstance(ids, list):
            ids[:] = map(_steady, ids)
        values: List[Any] = marker.args[1] if len(marker.args) > 1 and isinstance(marker.args[1], list) else []
        values[:] = [_with_steady_id(value) for value in values]


def _with_steady_id(value: Any) -> Any:
    return value._replace(id=_steady(value.id)) if isinstance(value, type(pytest.param())) else value


def _steady(name: Any) -> Any:
    return re.sub(r" at 0x[0-9a-f]*", "", name) if isinstance(name, str) else name


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for tests of pages. They skip where it or playwright is missing."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: see [test-all]")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on PATH: on Debian, apt-get install chromium")
    # One process for all pages of a site: a process costs more than a page.
    arguments = ["--no-sandbox", "--process-per-site"]
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@pytest.fixture(autouse=True)
def logs_without_the_lock(request: pytest.FixtureRequest) -> Iterator[None]:
    """The SDK logs nothing under a lock for which its calls wait, except in a test that holds one."""
    yield
    found = log_guard.take()
    assert found == [] or "holds_the_lock" in request.fixturenames, found[0]


@pytest.fixture
def holds_the_lock() -> None:
    """For a test that holds a client's lock itself."""


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A running sandbox, with TLS for the parameter ``True``.

    At its end it has recorded no violation of the protocol.
    """
    from cometchat.sandbox import Sandbox  # only for the tests that use it

    with Sandbox(tls=getattr(request, "param", False)) as running:
        yield running
        violations = running.violations
    assert violations == []
