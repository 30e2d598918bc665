"""What holds for all tests."""

from __future__ import annotations

import re
import signal
from typing import Any, List

import pytest

# A shell starts its background jobs with Ctrl-C ignored, and their children inherit that. The tests that press Ctrl-C
# would then wait for their whole timeout.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Keep addresses of objects out of the names of tests: with them, no two processes collect the same names."""
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
