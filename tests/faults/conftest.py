"""What the bad days share: the long form's switch, and the figures that docs/reliability.rst tells."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from integration.conftest import (  # noqa: F401 - fixtures: pytest finds them by their name here
    debug_log,
    facade,
    no_thread_left,
    party,
    plain_environment,
    sandbox,
    serve,
)

#: The long form, `make soak`. The short one is part of `make test`.
SOAK = os.environ.get("COMETCHAT_SOAK") == "1"

#: Where the figures go, beside the table that is printed.
REPORT = Path("build") / "reliability.json"

#: Test -> its figures.
FIGURES: Dict[str, Dict[str, Any]] = {}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Keeps figures under the test's name: ``figures(drops=200, lost=0)``."""

    def keep(**values: Any) -> None:
        FIGURES.setdefault(request.node.name, {}).update(values)

    yield keep


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures as a table, and as JSON."""
    if not FIGURES:
        return
    terminalreporter.section("figures")
    for name, values in FIGURES.items():
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
    if SOAK:
        REPORT.parent.mkdir(exist_ok=True)
        report = {"python": platform.python_version(), "system": platform.system(), "figures": FIGURES}
        REPORT.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
