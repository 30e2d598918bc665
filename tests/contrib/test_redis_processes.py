"""Processes that share one connection over a real Redis: kills, stops, outages. The tests measure all times from
outside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any, Iterator, List

import pytest
from integration.conftest import OTHER_UID, UID, eventually

from cometchat import Client, MessageListener
from cometchat.sandbox import Sandbox

from .redis_support import CONNECTED, DEADLINE, Cluster, Member, RedisServer, overlaps

pytest.importorskip("redis")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of a POSIX system")

SOAK = os.environ.get("COMETCHAT_SOAK") == "1"
KILLS = 15 if SOAK else 1

#: The lease, in seconds: the default, and a short one for shorter tests.
LEASE = 2.5 if SOAK else 1.5

LOSS = ["disconnected", "connecting", "connected"]


@pytest.fixture(autouse=True)
def no_thread_left() -> None:
    """The processes stay for the next test, and with them the threads that read from them."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running
    assert running.violations == []


@pytest.fixture(scope="module")
def cluster(sandbox: Sandbox, redis_server: RedisServer) -> Iterator[Cluster]:
    made = Cluster(sandbox, redis_server, LEASE)
    yield made
    made.close()


def test_many_processes_have_one_connection(cluster: Cluster) -> None:
    """Each process reports "connected" once. The service sees one WebSocket, and one process leads."""
    cluster.start(3)
    assert cluster.sandbox.connections == 1
    assert [member.ask("status", "status") for member in cluster.members] == [CONNECTED] * 3
    assert [member.statuses() for member in cluster.members] == [[CONNECTED]] * 3
    assert len(cluster.followers()) == 2


def test_polling_asks_redis_nothing(cluster: Cluster) -> None:
    """30,000 calls of get_connection_status() in three processes cause no command in Redis."""
    cluster.start(3)
    began, before = time.monotonic(), cluster.redis.commands()
    for member in cluster.members:
        member.ask("poll", "polled")
    commands, seconds = cluster.redis.commands() - before, time.monotonic() - began
    # The leader's renewals: three EVALs in a lease, each with its own calls.
    assert commands <= 7 * (3 * seconds / LEASE + 2)


def test_messages_and_typing_reach_all_members_once(cluster: Cluster) -> None:
    """Events that the leader's connection receives reach every process's listeners, once and in order."""
    cluster.start(3)
    texts = [f"message {number}" for number in range(200)]
    for text in texts:
        cluster.sandbox.send_message(OTHER_UID, UID, text)
    for member in cluster.members:
        member.wait(lambda: len(member.values("text")) >= 200, "200 messages")
        assert member.values("text") == texts


def test_a_follower_types(cluster: Cluster) -> None:
    """A follower's typing indicator reaches the other user, through the leader."""
    cluster.start(3)
    with Client(cluster.sandbox.app_id, cluster.sandbox.settings()) as peer:
        heard: List[Any] = []
        peer.add_message_listener(MessageListener(on_typing_started=lambda typing: heard.append(typing.sender.uid)))
        peer.login(OTHER_UID, cluster.sandbox.auth_key)
        peer.connect(DEADLINE)
        cluster.followers()[0].say("typing")
        assert eventually(lambda: heard == [UID], DEADLINE), heard
    assert eventually(lambda: cluster.sandbox.connections == 1, DEADLINE)


def test_throttling_is_seen_everywhere(cluster: Cluster) -> None:
    """The MODE that the leader reads becomes every process's status, and so does its end."""
    cluster.start(3)
    cluster.sandbox.set_mode("LIMITED_TRANSIENT", push=True)
    cluster.agree("featureThrottled")
    cluster.sandbox.set_mode("DEFAULT", push=True)
    cluster.agree(CONNECTED)
    assert eventually(lambda: cluster.sandbox.connections == 1, DEADLINE)


def test_a_lost_connection_is_reported_everywhere(cluster: Cluster) -> None:
    """The leader's connection breaks.

    All members get the error and the three statuses, and no other process connects.
    """
    cluster.start(3)
    attempts = len(cluster.sandbox.attempts)
    cluster.sandbox.drop_connections()
    cluster.sandbox.send_message(OTHER_UID, UID, "meanwhile")
    for member in cluster.members:
        member.wait(lambda: member.statuses()[1:] == LOSS, "loss and return")
        assert [code for code, _ in member.values("error")] == ["WS_CONNECTION_FAIL"]
        member.wait(lambda: member.values("text") == ["meanwhile"], "the missed message")
    assert len(cluster.sandbox.attempts) == attempts + 1


def test_a_killed_leader_is_replaced_within_5_seconds(cluster: Cluster, record_property: Any) -> None:
    """After kill -9, another connects within 5 s, all agree, never two lead, and each message arrives once."""
    took = []
    for kill in range(KILLS):
        cluster.start(3)
        leader = cluster.leader()
        with overlaps(cluster.sandbox) as two:
            began = time.monotonic()
            leader.end()
            texts = [f"{kill}: {number}" for number in range(20)]
            for text in texts:
                cluster.sandbox.send_message(OTHER_UID, UID, text)
            for member in cluster.living:
                member.wait(lambda: member.statuses()[1:] == LOSS, "loss and return")
            took.append(cluster.agree(CONNECTED) - began)
        for member in cluster.living:
            member.wait(lambda: len(member.values("text")) >= 20, "what came meanwhile")
            assert member.values("text") == texts
        assert two["seconds"] == 0
        assert cluster.sandbox.connections == 1
    print("seconds after kill -9:", sorted(round(seconds, 2) for seconds in took), file=sys.stderr)
    assert max(took) < 5


def test_a_leader_that_closes_is_replaced_within_2_seconds(cluster: Cluster) -> None:
    """close() releases the lock, and another process is connected within 2 s."""
    took = []
    for _ in range(KILLS):
        cluster.start(3)
        leader = cluster.leader()
        with overlaps(cluster.sandbox) as two:
            began = time.monotonic()
            leader.end(signal.SIGTERM)
            for member in cluster.living:
                member.wait(lambda: member.statuses()[1:] == LOSS, "loss and return")
            took.append(cluster.agree(CONNECTED) - began)
        assert two["seconds"] < 0.5
        assert leader.values("closed")[0] < 0.5
    print("seconds after close():", sorted(round(seconds, 2) for seconds in took), file=sys.stderr)
    assert max(took) < 2


def test_a_leader_that_stood_still_gives_up_and_follows(cluster: Cluster) -> None:
    """After SIGSTOP beyond the lease, then SIGCONT, it ends its connection at once and silently, and follows."""
    cluster.start(3)
    old, others = cluster.leader(), cluster.followers()
    old.send(signal.SIGSTOP)
    for member in others:
        member.wait(lambda: member.statuses()[1:] == LOSS, "another leader")
    assert cluster.sandbox.connections == 2  # the old one's is still open, and has no reader
    cluster.sandbox.send_message(OTHER_UID, UID, "to both")
    for member in others:
        member.wait(lambda: member.values("text") == ["to both"], "the message")
    began = time.monotonic()
    old.send(signal.SIGCONT)
    assert eventually(lambda: cluster.sandbox.connections == 1, DEADLINE)
    gone = time.monotonic() - began
    old.wait(lambda: old.statuses()[1:] == LOSS, "disconnected, and then what the others are")
    old.wait(lambda: old.values("text") == ["to both"], "the message, once it follows")
    first = next(event.time for event in old.events if event.what == "text")
    assert first > next(event.time for event in old.events if event.what == "disconnected")
    assert gone < 1
    assert not old.ask("leads", "leads")
    cluster.sandbox.send_message(OTHER_UID, UID, "to all")
    for member in cluster.members:
        member.wait(lambda: member.values("text") == ["to both", "to all"], "each once")


def test_without_redis_all_are_disconnected(cluster: Cluster) -> None:
    """Redis is killed.

    All are disconnected with the reason within a lease and a second. Then it returns without data.
    """
    cluster.start(3)
    began = time.monotonic()
    with overlaps(cluster.sandbox) as two:
        cluster.redis.kill()
        try:
            away = cluster.agree("disconnected") - began
            for member in cluster.members:
                assert [code for code, _ in member.values("error")] == ["ERR_STATUS_STORE"]
            assert eventually(lambda: cluster.sandbox.connections == 0, 1)
            cluster.sandbox.send_message(OTHER_UID, UID, "sent during the outage")
        finally:
            cluster.redis.start()
        began = time.monotonic()
        back = cluster.agree(CONNECTED) - began
    print(f"without Redis after {away:.2f} s, back after {back:.2f} s", file=sys.stderr)
    for member in cluster.members:
        assert member.statuses()[1:] == LOSS
        member.wait(lambda: member.values("text") == ["sent during the outage"], "the message, now")
    assert away < LEASE + 1
    assert back < 3
    assert two["seconds"] == 0


def test_a_long_stall_of_redis_is_an_outage(cluster: Cluster) -> None:
    """A stall of Redis longer than the lease is like an outage, and its end is like a return."""
    cluster.start(3)
    began = time.monotonic()
    cluster.redis.pause()
    try:
        away = cluster.agree("disconnected") - began
    finally:
        cluster.redis.go_on()
    began = time.monotonic()
    back = cluster.agree(CONNECTED) - began
    print(f"stalled: noticed after {away:.2f} s, back after {back:.2f} s", file=sys.stderr)
    assert all([code for code, _ in member.values("error")] == ["ERR_STATUS_STORE"] for member in cluster.members)
    assert away < LEASE + 1.5
    assert back < 5


def test_a_stopped_follower_catches_up(cluster: Cluster) -> None:
    """A follower that was stopped for more than two leases misses nothing, and never reports that Redis is away."""
    cluster.start(3)
    follower = cluster.followers()[0]
    follower.send(signal.SIGSTOP)
    texts = [f"while it stood {number}" for number in range(20)]
    for text in texts:
        cluster.sandbox.send_message(OTHER_UID, UID, text)
    eventually(lambda: False, 2 * LEASE + 0.5)
    follower.send(signal.SIGCONT)
    for member in cluster.members:
        member.wait(lambda: len(member.values("text")) >= 20, "all of them")
        assert member.values("text") == texts
    assert "ERR_STATUS_STORE" not in [code for code, _ in follower.values("error")]
    assert cluster.sandbox.connections == 1


def test_the_child_of_a_fork_joins_the_line(cluster: Cluster) -> None:
    """A fork of the leader follows. The parent still leads, and its connection is not affected."""
    cluster.start(3)
    leader = cluster.leader()
    status, leads = leader.ask("fork", "child is")
    assert (status, leads) == (CONNECTED, False)
    assert leader.ask("leads", "leads")
    assert leader.statuses().count("disconnected") == 0
    assert cluster.sandbox.connections == 1


def test_another_user_has_another_line(cluster: Cluster) -> None:
    """A process with another user has a separate connection, and leads it."""
    cluster.start(2)
    other = Member(cluster.sandbox, cluster.redis.url, LEASE, uid="cometchat-uid-3")
    try:
        other.wait_for(CONNECTED)
        assert other.ask("leads", "leads") and cluster.leader()
        assert cluster.sandbox.connections == 2
    finally:
        other.end(signal.SIGTERM)
    assert [member.statuses() for member in cluster.members] == [[CONNECTED]] * len(cluster.members)


def test_a_short_stall_of_redis_is_not_noticed(cluster: Cluster, sandbox: Sandbox, redis_server: RedisServer) -> None:
    """No process notices a stall of Redis of a third of the lease."""
    cluster.close()
    lease = 4.0  # enough of it is left after the stall, also on a busy machine
    uid = "cometchat-uid-4"  # a line in which no member was killed
    with contextlib.closing(Cluster(sandbox, redis_server, lease, uid=uid)) as patient:
        patient.start(3)
        redis_server.pause()
        ended = eventually(lambda: False, 0.35 * lease)
        redis_server.go_on()
        assert not ended
        sandbox.send_message(OTHER_UID, uid, "after it")
        for member in patient.members:
            member.wait(lambda: member.values("text") == ["after it"], "the message")
            assert member.statuses() == [CONNECTED] and member.values("error") == []
