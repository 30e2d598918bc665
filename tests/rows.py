"""Tests of functions without a state, for a table of their inputs."""

from __future__ import annotations

import functools
import inspect
import reprlib
from typing import Any, Callable, Iterable

import pytest


def each_row(names: str, rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each row, like ``pytest.mark.parametrize``, but as one test. It names all rows that fail.

    For calls that take less time than the set-up of another test, and leave nothing behind.
    """
    words = [word.strip() for word in names.split(",")]
    table = list(rows)
    assert table, "a test without a row tests nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**others: Any) -> None:
            failed = []
            for row in table:
                values = row if len(words) > 1 else [row]
                assert len(values) == len(words), row
                try:
                    test(**dict(zip(words, values)), **others)
                except (Exception, pytest.fail.Exception) as error:
                    failed.append((row, error))
            if failed:
                named = [f"{reprlib.repr(row)}: {error}".partition("\n")[0] for row, error in failed]
                raise AssertionError("\n".join(named)) from failed[0][1]

        wanted = inspect.signature(test)
        kept = [parameter for name, parameter in wanted.parameters.items() if name not in words]
        run.__signature__ = wanted.replace(parameters=kept)  # type: ignore[attr-defined]
        return run

    return decorate
