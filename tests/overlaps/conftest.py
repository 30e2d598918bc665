"""A world for each test with one run."""

from __future__ import annotations

from typing import Iterator

import pytest

from .harness import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose clients are closed at the end."""
    made = World(monkeypatch)
    yield made
    made.end()
