"""After any failure of processes, Redis and connection, no listener misses a message or gets one twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from typing import Callable, Dict, List

import pytest
from integration.conftest import OTHER_UID, UID, eventually

from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, Cluster, Member, RedisServer, overlaps

pytest.importorskip("redis")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of a POSIX system")

SOAK = os.environ.get("COMETCHAT_SOAK") == "1"
LEASE = 1.5
EVENTS = 60 if SOAK else 3


class Sender:
    """Sends numbered messages until it is closed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sent = 0
        self._sandbox = sandbox
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, name="test-sender", daemon=True)
        self._thread.start()

    def close(self) -> int:
        self._stopped.set()
        self._thread.join(DEADLINE)
        return self.sent

    def _send(self) -> None:
        while not self._stopped.wait(0.02):
            self._sandbox.send_message(OTHER_UID, UID, str(self.sent))
            self.sent += 1


def happenings(cluster: Cluster, chance: random.Random) -> Dict[str, Callable[[], object]]:
    def stand_still(seconds: float) -> None:
        victim = chance.choice(cluster.living)
        victim.send(signal.SIGSTOP)
        eventually(lambda: False, seconds)
        victim.send(signal.SIGCONT)

    def redis_stalls(seconds: float) -> None:
        cluster.redis.pause()
        eventually(lambda: False, seconds)
        cluster.redis.go_on()

    def redis_is_killed() -> None:
        cluster.redis.kill()
        eventually(lambda: False, chance.choice([0.1, 2.5]))
        cluster.redis.start()

    def subscriptions_end() -> None:
        with cluster.redis.client() as client:
            client.client_kill_filter(_type="pubsub")

    return {
        "kill": lambda: cluster.leader().end(),
        "close": lambda: cluster.leader().end(signal.SIGTERM),
        "kill a follower": lambda: chance.choice(cluster.followers()).end(),
        "drop": lambda: cluster.sandbox.drop_connections(),
        "stand still": lambda: stand_still(chance.choice([0.5, 2.5])),
        "redis stalls": lambda: redis_stalls(chance.choice([0.3, 2.5])),
        "redis is killed": redis_is_killed,
        "subscriptions end": subscriptions_end,
    }


def check(member: Member, last: int) -> None:
    """Assert that a member got all messages since its first one, in order, each once."""
    member.wait(lambda: member.values("text")[-1:] == [str(last)], f"message {last}")
    texts = [int(text) for text in member.values("text")]
    assert texts == list(range(texts[0], last + 1)), _flaws(texts)


def _flaws(texts: List[int]) -> List[str]:
    return [f"{before}, {after}" for before, after in zip(texts, texts[1:]) if after != before + 1]


@pytest.mark.timeout(600 if SOAK else 120)
def test_no_message_is_lost_through_all_failures(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """After kills, closes, stops, drops and outages at random, each living listener has each message once, in order."""
    seed = int(os.environ.get("COMETCHAT_SEED") or random.randrange(10**6))
    chance = random.Random(seed)
    print(f"COMETCHAT_SEED={seed}", file=sys.stderr)
    # A growing backoff would be long after so many drops in a row.
    cluster = Cluster(sandbox, redis_server, LEASE, wait=0.5)
    happened: List[str] = []
    try:
        cluster.start(3)
        sender = Sender(sandbox)
        try:
            for _ in range(EVENTS):
                acts = happenings(cluster, chance)
                happened.append(chance.choice(sorted(acts)))
                print(f"{time.monotonic():.2f} {happened[-1]}", file=sys.stderr)
                acts[happened[-1]]()
                eventually(lambda: False, chance.choice([0.05, 1.0]))
                while len(cluster.living) < 3:
                    cluster.members = cluster.living
                    cluster.members.append(Member(sandbox, redis_server.url, LEASE, wait=0.5))
                cluster.agree("connected")
                for member in cluster.living:
                    member.wait(lambda: member.values("text"), "message")
        finally:
            sent = sender.close()
        with overlaps(sandbox) as two:
            for member in cluster.living:
                check(member, sent - 1)
        assert eventually(lambda: sandbox.connections == 1, DEADLINE)
        assert two["seconds"] < LEASE
    except AssertionError:
        print(f"seed {seed}: {happened}", file=sys.stderr)
        raise
    finally:
        cluster.close()
