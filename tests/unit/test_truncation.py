"""The count of messages that are nested too deeply, and the warnings about them."""

from __future__ import annotations

import threading
from typing import Any

from cometchat._runtime.delivery._truncation import REMEMBERED, Truncation


def test_each_message_counts_once(caplog: Any) -> None:
    """Although it is read again; data without an id too."""
    truncation = Truncation(threading.RLock(), lambda: "client 1")
    for ids in (["1", "2"], ["2", ""], ["", "1"], []):
        truncation.note(ids)
    assert truncation.count == 3
    named = [record.getMessage().partition(" is nested")[0] for record in caplog.records]
    assert named == ["[client 1] Message 1", "[client 1] Message 2", "[client 1] An event or answer without an id"]


def test_the_memory_is_bounded() -> None:
    """The oldest id is forgotten, and would count again."""
    truncation = Truncation(threading.RLock(), lambda: "client 1")
    truncation.note([str(number) for number in range(REMEMBERED + 1)])
    truncation.note(["1", str(REMEMBERED)])
    assert truncation.count == REMEMBERED + 1
    truncation.note(["0"])
    assert truncation.count == REMEMBERED + 2
