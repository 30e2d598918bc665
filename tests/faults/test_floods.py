"""More events than slow listeners can take: memory is bounded, the connection lives, and no stored event is lost."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List

import pytest
import tenacity
from integration.conftest import DEADLINE, OTHER_UID, UID, Party, eventually, finished, in_thread

from cometchat import MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .conftest import SOAK
from .flood_support import MIB, Flood, drop, flooded_client, log_of
from .network_program import Program

pytest.importorskip("psutil")

#: Number of events, of stored messages beside them, and of drops among both.
EVENTS, MESSAGES, DROPS = (1_000_000, 50_000, 40) if SOAK else (48_000, 2_400, 4)

#: Maximum number of events that wait.
QUEUED = 10_000 if SOAK else 500

#: Maximum growth of the client while its listener blocks, in bytes. It has events and messages of some KB each, and the
#: messages that wait for a catch-up (1000). The rest is the allocator's.
BOUND = (2 * QUEUED + 1000) * 8 * 1024 + 24 * MIB

#: Ephemeral events that the dispatcher takes at once.
IN_HAND = 64

#: Dozens of heartbeats. A pong comes behind earlier frames of the server, so it gets enough time.
HEART = {"ping_interval": 0.3, "pong_timeout": 6.0}

#: Maximum time of one test, in seconds.
LIMIT = 1800.0 if SOAK else 180.0

#: Maximum time until the messages that found no room arrive, in seconds.
PATIENCE = 300.0 if SOAK else 20.0

pytestmark = pytest.mark.timeout(LIMIT)

LOSS = ["on_connection_error", "on_disconnected", "on_connecting", "on_connected"]


class Watch:
    """Watches the client during the flood: its memory stays within the limit, and its status is connected."""

    def __init__(self, client: Program) -> None:
        self._client = client
        self.before = client.call("rss")
        self.most = self.before
        self.round_trips: List[float] = []

    def look(self) -> None:
        assert self._client.call("status") == "connected"
        self.round_trips.append(self._client.call("ping", timeout=30.0))
        self.most = max(self.most, self._client.call("rss"))

    @property
    def growth(self) -> int:
        return self.most - self.before


def warm_up(client: Program, flood: Flood) -> None:
    """Load and use every part once, and block the listener in a callback."""
    for _ in range(20):  # at most as many at once as may wait
        flood.send_events(100)
        assert client.call("wait_for", what="events", count=flood.events)
    flood.send_messages(10)
    assert client.call("wait_for", what="messages", count=10)
    client.call("shut")
    flood.send_events(1)


def let_go(client: Program, flood: Flood, told: int) -> Dict[str, Any]:
    """Release the listener. Returns its events once it has got this many messages and events."""
    client.call("open")
    arrived = client.call("wait_for", what="messages", count=flood.messages, within=PATIENCE, timeout=PATIENCE + 10)
    assert arrived, client.call("stats")
    assert client.call("wait_for", what="events", count=told), client.call("stats")
    client.call("ping")
    heard: Dict[str, Any] = client.call("heard")
    return heard


def test_a_flood_before_a_listener_that_blocks(sandbox: Sandbox, figures: Callable[..., None]) -> None:
    """With events, messages and drops, memory holds, the heartbeat continues, and only old events are lost.

    Transitions and messages are delivered in order, each once. The newest events are delivered, and the others are
    counted.
    """
    with flooded_client(sandbox, max_queued_events=QUEUED, **HEART) as client:
        flood = Flood(sandbox)
        warm_up(client, flood)
        before, watch = client.call("stats"), Watch(client)
        for part in range(DROPS):
            flood.send_events(EVENTS // DROPS // 2)
            sender = in_thread(lambda: flood.send_messages(MESSAGES // DROPS))
            flood.send_events(EVENTS // DROPS // 2)
            finished(*sender, timeout=LIMIT)
            watch.look()
            drop(sandbox, client)
        watch.look()
        stats = client.call("stats")
        assert watch.growth < BOUND, f"{watch.growth / MIB:.0f} MiB"
        assert stats["pings"] >= before["pings"] + 3 and dict(stats["drops"]) == {"WS_CONNECTION_FAIL": DROPS}
        assert stats["events_queued"] <= 2 * QUEUED + 1200 + 4 * DROPS
        assert log_of(client) == ["WARNING"]
        heard = let_go(client, flood, told=flood.events - stats["events_dropped"])
        after = client.call("stats")
        assert heard["transitions"] == ["on_connecting", "on_connected", *LOSS * DROPS]
        assert heard["messages"] == list(range(flood.messages))
        assert heard["events"][-QUEUED:] == list(range(flood.events - QUEUED, flood.events))
        assert heard["events"] == sorted(set(heard["events"]))
        assert len(heard["events"]) + after["events_dropped"] == flood.events
        log = log_of(client)  # messages that are fetched later may fill the queue again, and lead to another record
        assert log == ["WARNING", "INFO"] * (len(log) // 2) and log
        assert "ERR_PONG_TIMEOUT" not in after["drops"]
        figures(
            frames=after["frames_received"],
            limit=QUEUED,
            growth_mib=round(watch.growth / MIB, 1),
            dropped=after["events_dropped"],
            fetched=after["messages_fetched"],
            messages=flood.messages,
            lost=flood.messages - len(heard["messages"]),
            pings=after["pings"],
            longest_ping_s=round(max(watch.round_trips), 2),
        )


def test_two_floods_are_said_twice(sandbox: Sandbox) -> None:
    """For each flood there is a warning at its beginning, and a line when the listeners have caught up."""
    with flooded_client(sandbox, max_queued_events=100, **HEART) as client:
        flood = Flood(sandbox)
        for number in range(3):
            assert log_of(client) == ["WARNING", "INFO"] * number
            client.call("shut")
            flood.send_events(1000)
            client.call("ping")
            assert log_of(client) == [*["WARNING", "INFO"] * number, "WARNING"]
            client.call("open")
            told = flood.events - client.call("stats")["events_dropped"]
            assert client.call("wait_for", what="events", count=told)
            # The newest events are delivered, and the batch that the dispatcher already had.
            assert told <= (number + 1) * (100 + IN_HAND)
            assert eventually(lambda: len(log_of(client)) == 2 * number + 2), log_of(client)


@pytest.mark.parametrize("stored", [False, True], ids=["events", "messages"])
def test_large_frames_are_bounded_by_their_bytes(sandbox: Sandbox, figures: Callable[..., None], stored: bool) -> None:
    """Of 300 events of 1 MB, where 10,000 may wait, not all do. All messages arrive in the end."""
    count = 300 if SOAK or not stored else 120
    with flooded_client(sandbox, pong_timeout=20.0) as client:
        flood = Flood(sandbox)
        warm_up(client, flood)
        watch = Watch(client)
        for _ in range(10):
            (flood.send_messages if stored else flood.send_events)(count // 10, size=1_000_000)
            watch.look()
        queued, dropped = client.call("stats")["events_queued"], client.call("stats")["events_dropped"]
        assert watch.growth < 330 * MIB, f"{watch.growth / MIB:.0f} MiB"
        heard = let_go(client, flood, told=flood.events - dropped)
        assert heard["messages"] == list(range(flood.messages))
        assert heard["events"][-60:] == list(range(flood.events - 60, flood.events))
        assert queued <= 80 and (dropped == 0) == stored
        figures(megabytes=count, growth_mib=round(watch.growth / MIB), dropped=dropped)


def test_messages_are_not_lost_where_missed_ones_are_not_asked_for(sandbox: Sandbox) -> None:
    """``fetch_missed_messages=False`` is about reconnects: a flood drops no message, and not all of it is kept."""
    with flooded_client(sandbox, max_queued_events=200, fetch_missed_messages=False, **HEART) as client:
        flood = Flood(sandbox)
        client.call("shut")
        flood.send_messages(1500)
        client.call("ping")
        stats = client.call("stats")
        assert stats["events_dropped"] == 0 and stats["events_queued"] <= 201
        client.call("open")
        assert client.call("wait_for", what="messages", count=flood.messages)
        assert client.call("heard")["messages"] == list(range(1500))
        assert client.call("stats")["messages_fetched"] >= 1298


@pytest.mark.parametrize("returns", [False, True], ids=["given up", "back again"])
def test_messages_that_wait_outlive_a_series_that_was_given_up(party: Party, sandbox: Sandbox, returns: bool) -> None:
    """Messages wait, the connection is lost and given up, and disconnect() cuts the queue.

    The next connection has them.
    """
    told, entered, gate = [], threading.Event(), threading.Event()

    class Slow(MessageListener):
        def on_text_message_received(self, message: TextMessage) -> None:
            entered.set()
            gate.wait(DEADLINE)
            told.append(message.text)

    client, _ = party.connected(reconnect_stop=tenacity.stop_after_attempt(1), reconnect_wait=tenacity.wait_none())
    client.add_message_listener("slow", Slow())
    assert eventually(lambda: [request for request in sandbox.requests if request.path.endswith("/messages")])
    for number in range(10):
        sandbox.send_message(OTHER_UID, UID, str(number))
    assert entered.wait(DEADLINE)
    client.ping(DEADLINE)
    sandbox.drop_connections()
    assert eventually(lambda: client.stats().drops and not client._core.state.wanted)
    if returns:
        client.connect(DEADLINE)
    client.disconnect()
    gate.set()
    client.connect(DEADLINE)
    assert eventually(lambda: len(told) >= 10), told
    client.ping(DEADLINE)
    assert told == [str(number) for number in range(10)]
