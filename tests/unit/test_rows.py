"""The tests' own decorator for a table."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from rows import each_row


def test_each_row_is_run_and_each_failure_is_named(request: pytest.FixtureRequest) -> None:
    """A test that fails for some rows runs for the others too, with its fixtures."""
    seen: List[Tuple[int, str, pytest.FixtureRequest]] = []

    @each_row("first", [1, 2])
    @each_row("second", ["a", "b"])
    def example(first: int, second: str, request: pytest.FixtureRequest) -> None:
        seen.append((first, second, request))
        if second == "b":
            with pytest.raises(KeyError):
                pass

    with pytest.raises(AssertionError, match="(?s)^1: 'b': .*DID NOT RAISE.*\n2: 'b': "):
        example(request=request)
    assert seen == [(first, second, request) for first in (1, 2) for second in ("a", "b")]


@each_row("word", ["one"])
def test_a_fixture_and_a_row(word: str, tmp_path: object) -> None:
    """pytest gives the fixtures, and the decorator the row."""
    assert (word, tmp_path is None) == ("one", False)
