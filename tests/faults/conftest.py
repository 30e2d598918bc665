"""The shared parts of the bad days: the switch for the long form, and the figures for docs/reliability.rst."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from integration.conftest import (  # noqa: F401 - fixtures: pytest finds them by their name here
    QUICK,
    RawServer,
    debug_log,
    facade,
    no_thread_left,
    party,
    plain_environment,
    serve,
)

from cometchat import Client

from .fuzz_peers import Service
from .fuzz_values import LoudLog, ThreadWatch

#: The long form, `make soak`. The short form is part of `make test`.
SOAK = os.environ.get("COMETCHAT_SOAK") == "1"

#: The file for the figures, beside the printed table.
REPORT = Path("build") / "reliability.json"

#: Test -> its figures.
FIGURES: Dict[str, Dict[str, Any]] = {}

#: The name of a report's property that holds figures as JSON.
FIGURE = "figures"


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Keeps figures under the test's name: ``figures(drops=200, lost=0)``."""
    kept: Dict[str, Any] = {}
    yield lambda **values: kept.update(values)
    # A property of the report. The summary gets it from each process of pytest-xdist.
    if kept:
        request.node.user_properties.append((FIGURE, json.dumps(kept, default=str)))


@pytest.fixture
def no_thread_dies() -> Iterator[ThreadWatch]:
    with ThreadWatch() as watch:
        yield watch
    assert watch.deaths == []


@pytest.fixture
def no_mistake_in_the_log() -> Iterator[None]:
    """Check that the SDK logs no error of its own, and no text that a log cannot take."""
    with LoudLog() as log:
        yield
    log.check()


@pytest.fixture
def service(serve: Callable[..., RawServer]) -> Service:  # noqa: F811 - the fixture
    """A service that answers as the test says."""
    made = Service()
    made.port = serve(made).port
    return made


@pytest.fixture
def new_client(service: Service) -> Iterator[Callable[..., Client]]:
    """Makes clients of it, and closes them after the test."""
    clients: List[Client] = []

    def make(**overrides: Any) -> Client:
        clients.append(
            Client("app", service.settings(**{"reconnect_wait": QUICK, "connect_timeout": 5.0, **overrides}))
        )
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the figures of a test that has ended."""
    for name, value in report.user_properties:
        if name == FIGURE and report.when == "teardown":
            FIGURES.setdefault(report.nodeid.rpartition("::")[2], {}).update(json.loads(str(value)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures as a table, and write them as JSON."""
    if not FIGURES:
        return
    terminalreporter.section("figures")
    for name, values in FIGURES.items():
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
    if SOAK:
        REPORT.parent.mkdir(exist_ok=True)
        report = {"python": platform.python_version(), "system": platform.system(), "figures": FIGURES}
        REPORT.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
