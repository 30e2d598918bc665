"""The figures that the pages give are the code's."""

from __future__ import annotations

import re
from inspect import signature
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
from cometchat.cli import _screen as screen
from cometchat.contrib import _metrics as metrics
from cometchat.contrib.redis import EventStream
from cometchat.contrib.redis import _capture as capture
from cometchat.contrib.redis import _kept as kept
from cometchat.contrib.redis import _queue as redis_queue
from cometchat.contrib.redis import _store as redis_store
from cometchat.contrib.redis import _streams as streams
from cometchat.contrib.web import _asgi as asgi
from cometchat.contrib.web import _feed as feed
from cometchat.contrib.web import _login as site_login
from cometchat.contrib.web import _wsgi as wsgi
from cometchat.contrib.web._component import component_script
from cometchat.sandbox import _webhook as webhook
from cometchat.sandbox.chat import _content as content
from cometchat.sandbox.faults import _faults as faults
from cometchat.sandbox.http import _uploads as uploads
from cometchat.sandbox.page import _page as sandbox_page
from cometchat.settings import DEFAULT_OUTBOX_MAX_ITEMS

MIB = 1024 * 1024
PASSING_CLOSE_CODES = {1001, 1002, 1003, 1007, *range(1009, 1016)}
EARLY_WAKEUPS = threads._EARLY_WAKEUPS, threads._REFILL
REDIS_WAITING = redis_queue.MAX_WAITING, redis_queue.MAX_WAITING_BYTES
STREAM = {name: parameter.default for name, parameter in signature(EventStream).parameters.items()}


def seconds(name: str) -> float:
    """Return a constant of the light's script."""
    found = re.search(rf"^  const {name} = ([\d.]+);", component_script(), re.MULTILINE)
    assert found, name
    return float(found[1])


#: A page, its words, the figure in the code, and the figure that the words give.
FIGURES: List[Tuple[str, str, object, object]] = [
    ("SECURITY.rst", "in pieces of 20 characters", redaction.SHORTEST_PIECE, 20),
    ("SECURITY.rst", "a secret of less than 6 characters", redaction.SHORTEST, 6),
    ("SECURITY.rst", "``max_queued_events`` and 64 MiB", queue.MAX_BYTES, 64 * MIB),
    ("cli.rst", "cuts a text after 400 characters", screen._LONGEST, 400),
    ("contributing.rst", "gives the listeners 50 ms", lifecycle._PATIENCE, 0.05),
    ("design.rst", "First the listeners have 50 ms", lifecycle._PATIENCE, 0.05),
    ("design.rst", "it holds live ones back (1,000 at most", waiting.HELD, 1000),
    ("design.rst", "It asks 50 ids back", position.OVERLAP, 50),
    ("design.rst", "Up to 200 threads wait for their own sockets", MOST_ALONE, 200),
    ("design.rst", "at most 16 kept ones to a host", connections._POOL, 16),
    ("design.rst", "a new lookup has one second", host_addresses.PATIENCE, 1),
    ("design.rst", "the next one starts after 250 ms", dial.STAGGER, 0.25),
    ("design.rst", "five, and one more each 10 s", EARLY_WAKEUPS, (5, 10)),
    ("django.rst", "the next attempt follows in 5 to 6 minutes", site_login._REFUSED, 300),
    ("flask.rst", "the next attempt follows in 5 to 6 minutes", site_login._REFUSED, 300),
    ("indicator.rst", "0.25 to 0.5 s at first", seconds("FIRST_WAIT"), 0.5),
    ("indicator.rst", "and 8 s at most", seconds("LONGEST_WAIT"), 8),
    ("indicator.rst", "silent for 2.5 times the application's", seconds("PATIENCE"), 2.5),
    ("indicator.rst", "``keep_alive`` (10 s)", seconds("SIGN_OF_LIFE"), 10),
    ("indicator.rst", "nothing of it arrives within 5 s", seconds("ANSWER"), 5),
    ("indicator.rst", "polls the JSON every 3 s", seconds("POLL"), 3),
    ("indicator.rst", "tries the stream again within a minute", seconds("LONGEST_WITHOUT_STREAM"), 60),
    ("indicator.rst", "after a crash, within 5 s", seconds("BEAT") * seconds("PATIENCE"), 5),
    ("indicator.rst", "it assumes 2 streams for each process", feed.DEFAULT_MAX_STREAMS, 2),
    ("indicator.rst", "There the maximum is 100", wsgi._STREAMS_WITHOUT_POOL, 100),
    ("indicator.rst", "share one thread**, and the maximum is 100", asgi.DEFAULT_MAX_PAGES, 100),
    ("indicator.rst", "A stream ends after 20 to 25 s", (feed.DEFAULT_MAX_AGE, asgi._MAX_AGE), (25, 25)),
    ("limits.rst", "(1001 to 1003, 1007, 1009 to 1015)", failures._PASSING_CLOSE_CODES, PASSING_CLOSE_CODES),
    ("messages.rst", "Live messages wait for 5 s", catch_up.PATIENCE, 5),
    ("messages.rst", "more than 1000 live messages or 32 MiB", (waiting.HELD, waiting.HELD_BYTES), (1000, 32 * MIB)),
    ("messages.rst", "The file may have 100 MiB", media.LARGEST_FILE, 100 * MIB),
    ("messages.rst", "at most once in 5 s for each receiver", sender.TYPING_INTERVAL, 5),
    ("metrics.rst", "After 50 codes", metrics.MAX_CODES, 50),
    ("metrics.rst", "a code has at most 64 characters", metrics.MAX_CODE_LENGTH, 64),
    ("metrics.rst", "Below 100 the outbox", threads._RESERVE, 100),
    ("metrics.rst", "slow down to one request a second", threads._SLOW, 1),
    ("outbox.rst", "``outbox_max_items`` (100000)", DEFAULT_OUTBOX_MAX_ITEMS, 100_000),
    ("redis.rst", "``lease`` seconds (2.5)", redis_store.LEASE, 2.5),
    ("redis.rst", "At most 10,000 events and 16 MiB", REDIS_WAITING, (10_000, 16 * MIB)),
    ("redis.rst", "up to 500 frames or 4 MiB", (redis_queue.BATCH, redis_queue.BATCH_BYTES), (500, 4 * MIB)),
    ("redis_stream.rst", "At most 10,000 events and 16 MiB", REDIS_WAITING, (10_000, 16 * MIB)),
    ("redis_stream.rst", "Redis knows its id for an hour", capture.KNOWN, 3600),
    ("redis_stream.rst", "adds those of the last minute again", kept.KEPT, 60),
    ("redis_stream.rst", "without an event is removed after an hour", streams._GONE_AFTER, 3600),
    ("redis_stream.rst", "after ``claim_after`` seconds (60)", STREAM["claim_after"], 60),
    ("redis_stream.rst", "``retries`` (3) times", STREAM["retries"], 3),
    ("redis_stream.rst", "Beyond ``maxlen`` (100000)", STREAM["maxlen"], 100_000),
    ("sandbox.rst", "*Refuse* ends after 10 seconds", sandbox_page.REFUSAL, 10),
    ("sandbox.rst", "The receiver has 5 seconds", webhook.ANSWER_TIMEOUT, 5),
    ("sandbox.rst", "a million requests are allowed", faults.REQUESTS_PER_MINUTE, 1_000_000),
    ("sandbox.rst", "more than 65,536 characters of JSON", content.LONGEST_MESSAGE, 65_536),
    ("sandbox.rst", "10 KB of data", content.LARGEST_DATA, 10 * 1024),
    ("sandbox.rst", "for 15 minutes, and answers", uploads.UPLOAD_LIFETIME, 900),
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
