"""The figures that the pages give are the code's."""

from __future__ import annotations

import re
from typing import List, Tuple

from docs_blocks import DOCS

from cometchat._protocol import _failures as failures
from cometchat._protocol import _position as position
from cometchat._protocol._frames import EVENT_KINDS, PIN_TYPES
from cometchat._runtime import _lifecycle as lifecycle
from cometchat._runtime import _threads as threads
from cometchat._runtime.account import _redaction as redaction
from cometchat._runtime.connection import _host_addresses as host_addresses
from cometchat._runtime.connection import _reconnect_policy as policy
from cometchat._runtime.connection import _settings_refresh as refresh
from cometchat._runtime.delivery import _catch_up as catch_up
from cometchat._runtime.delivery import _queue as queue
from cometchat._runtime.delivery import _waiting as waiting
from cometchat._runtime.messages import _media as media
from cometchat._runtime.messages import _sender as sender
from cometchat._transport.http import _connections as connections
from cometchat._transport.net import _dial as dial
from cometchat._transport.net import _http_head as http_head
from cometchat._turns import MOST_ALONE
from cometchat.contrib import _metrics as metrics

MIB = 1024 * 1024
PASSING_CLOSE_CODES = {1001, 1002, 1003, 1007, *range(1009, 1016)}
EARLY_WAKEUPS = threads._EARLY_WAKEUPS, threads._REFILL

#: A page, its words, the figure in the code, and the figure that the words give.
FIGURES: List[Tuple[str, str, object, object]] = [
    ("SECURITY.rst", "in pieces of 20 characters", redaction.SHORTEST_PIECE, 20),
    ("SECURITY.rst", "a secret of less than 6 characters", redaction.SHORTEST, 6),
    ("SECURITY.rst", "``max_queued_events`` and 64 MiB", queue.MAX_BYTES, 64 * MIB),
    ("contributing.rst", "gives the listeners 50 ms", lifecycle._PATIENCE, 0.05),
    ("design.rst", "First the listeners have 50 ms", lifecycle._PATIENCE, 0.05),
    ("design.rst", "it holds live ones back (1,000 at most", waiting.HELD, 1000),
    ("design.rst", "It asks 50 ids back", position.OVERLAP, 50),
    ("design.rst", "Up to 200 threads wait for their own sockets", MOST_ALONE, 200),
    ("design.rst", "at most 16 kept ones to a host", connections._POOL, 16),
    ("design.rst", "a new lookup has one second", host_addresses.PATIENCE, 1),
    ("design.rst", "the next one starts after 250 ms", dial.STAGGER, 0.25),
    ("design.rst", "five, and one more each 10 s", EARLY_WAKEUPS, (5, 10)),
    ("limits.rst", "(1001 to 1003, 1007, 1009 to 1015)", failures._PASSING_CLOSE_CODES, PASSING_CLOSE_CODES),
    ("messages.rst", "Live messages wait for 5 s", catch_up.PATIENCE, 5),
    ("messages.rst", "more than 1000 live messages or 32 MiB", (waiting.HELD, waiting.HELD_BYTES), (1000, 32 * MIB)),
    ("messages.rst", "The file may have 100 MiB", media.LARGEST_FILE, 100 * MIB),
    ("messages.rst", "at most once in 5 s for each receiver", sender.TYPING_INTERVAL, 5),
    ("metrics.rst", "After 50 codes", metrics.MAX_CODES, 50),
    ("metrics.rst", "a code has at most 64 characters", metrics.MAX_CODE_LENGTH, 64),
    ("metrics.rst", "Below 100 the outbox", threads._RESERVE, 100),
    ("metrics.rst", "slow down to one request a second", threads._SLOW, 1),
    ("states.rst", "with full jitter, up to 30 s", policy.LONGEST_WAIT, 30),
    ("states.rst", "up to one hour", http_head.LONGEST_RETRY_AFTER, 3600),
    ("states.rst", "five times in a row, and once more for each 10 s", EARLY_WAKEUPS, (5, 10)),
    ("states.rst", "more than ten seconds after the login", refresh._FRESH, 10),
    ("states.rst", "waits for the answer at most two seconds", refresh._MODE_PATIENCE, 2),
]


def test_each_figure_is_the_code_s() -> None:
    """Each page has the words, and they give the figure in the code."""
    pages = {name: " ".join((DOCS / name).read_text(encoding="utf-8").split()) for name, *_ in FIGURES}
    assert [(name, words) for name, words, *_ in FIGURES if words not in pages[name]] == []
    assert [(name, words, code) for name, words, code, given in FIGURES if code != given] == []


def test_the_kinds_of_frames_are_the_code_s() -> None:
    """docs/protocol.rst lists each type of frame that the client knows, with the kind of its event."""
    table = (DOCS / "protocol.rst").read_text(encoding="utf-8").partition("Frames of the server\n---")[2]
    rows = re.findall(r"^(``.+?)  +\S.*  (stored|kept|ephemeral)$", table, re.MULTILINE)
    listed = {name: kind for names, kind in rows for name in re.findall(r"``(\w+)``", names)}
    known = {name: kind.name.lower() for name, kind in EVENT_KINDS.items()}
    others = set(known) - set(listed)
    assert listed == {name: known[name] for name in listed} and len(rows) == 12
    assert others == {name for name in PIN_TYPES if name not in listed}
