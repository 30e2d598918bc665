"""After any failure of processes and Redis, each event is handled, twice only in the documented cases, or counted."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Callable, Dict, List

import pytest
from integration.conftest import eventually

from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, Cluster, Member, RedisServer
from .test_redis_chaos import SOAK, Sender

pytest.importorskip("redis")

from cometchat.contrib.redis import RedisStatusStore  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of a POSIX system")

LEASE = 1.5

#: Longer than the stalls of Redis and processes in this test, so that a late worker keeps its event.
CLAIM_AFTER = 6.0

#: Duration of the test, in seconds.
LONG = 300.0 if SOAK else 12.0


class Workers:
    """Three processes that share a connection and a stream.

    Ended ones are replaced. The handled events of each are kept.
    """

    def __init__(self, sandbox: Sandbox, redis_server: RedisServer, chance: random.Random) -> None:
        more = {"group": "workers", "claim_after": CLAIM_AFTER, "wait": 0.5, "min_replicas": 1}
        self.cluster = Cluster(sandbox, redis_server, LEASE, **more)
        self.all: List[Member] = []
        self.killed = 0
        self._chance = chance

    def start(self) -> None:
        """Bring them to three, all connected."""
        cluster = self.cluster
        cluster.members = cluster.living
        for _ in range(3 - len(cluster.members)):
            cluster.members.append(cluster.new_member())
            self.all.append(cluster.members[-1])
        cluster.agree("connected")
        for member in cluster.members:
            member.ask("status", "status")  # it has made its stream
        with cluster.redis.client() as client:
            assert eventually(lambda: list(client.scan_iter(match="*:events:record")), DEADLINE), "no stream"

    def kill(self, member: Member) -> None:
        self.killed += 1
        member.end()

    def reload(self) -> None:
        """End all of them, and run no process for a while, like a server's reload."""
        for member in self.cluster.living:
            member.end(signal.SIGTERM)
        eventually(lambda: False, self._chance.choice([0.1, 1.5]))

    def handled(self) -> "Counter[str]":
        return Counter(text for member in self.all for text in member.values("handled"))


def happenings(workers: Workers, replica: RedisServer, chance: random.Random) -> Dict[str, Callable[[], object]]:
    cluster = workers.cluster

    def stand_still() -> None:
        victim = chance.choice(cluster.living)
        victim.send(signal.SIGSTOP)
        eventually(lambda: False, chance.choice([0.5, 2.5]))
        victim.send(signal.SIGCONT)

    def redis_stalls() -> None:
        cluster.redis.pause()
        eventually(lambda: False, chance.choice([0.3, 2.5]))
        cluster.redis.go_on()

    def redis_is_slow() -> None:
        with cluster.redis.client() as client:
            for _ in range(20):
                client.client_pause(60)
                eventually(lambda: False, 0.07)

    def connections_end() -> None:
        with cluster.redis.client() as client:
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)

    def is_trimmed() -> None:
        with cluster.redis.client() as client:
            for key in client.scan_iter(match="*:events"):
                client.xtrim(key, maxlen=1, approximate=False)

    def partition() -> None:
        replica.pause()
        eventually(lambda: False, chance.choice([0.3, 2.5]))
        replica.go_on()

    def all_are_killed() -> None:
        for member in cluster.living:
            workers.kill(member)

    return {
        "kill the leader": lambda: workers.kill(cluster.leader()),
        "kill all": all_are_killed,
        "reload": workers.reload,
        "drop": lambda: cluster.sandbox.drop_connections(),
        "stand still": stand_still,
        "redis stalls": redis_stalls,
        "redis is slow": redis_is_slow,
        "connections to redis end": connections_end,
        "trim": is_trimmed,
        "partition": partition,
    }


@pytest.mark.timeout(900 if SOAK else 110)
def test_each_event_is_handled_through_all_failures(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """Each event is handled at least once, and twice only by a killed worker. Redis counts the lost ones."""
    seed = int(os.environ.get("COMETCHAT_SEED") or random.randrange(10**6))
    chance = random.Random(seed)
    redis_server.flush()
    replica = RedisServer("", "--replicaof", "127.0.0.1", str(redis_server.port))
    workers = Workers(sandbox, redis_server, chance)
    happened: List[str] = []
    store = RedisStatusStore(redis_server.url)

    def lost() -> int:
        (line,) = store.lines()
        return sum(group.lost or 0 for group in line.groups)

    try:
        workers.start()
        sender = Sender(sandbox)
        ends = time.monotonic() + LONG
        try:
            while time.monotonic() < ends:
                acts = happenings(workers, replica, chance)
                happened.append(chance.choice(sorted(acts)))
                print(f"{time.monotonic():.2f} {happened[-1]}", file=sys.stderr)
                acts[happened[-1]]()
                eventually(lambda: False, chance.choice([0.05, 1.0]))
                workers.start()
        finally:
            sent = sender.close()
        expected = {str(number) for number in range(sent)}
        complete = eventually(
            lambda: len(expected - set(workers.handled())) <= lost(), CLAIM_AFTER + LONG / 10 + DEADLINE
        )
        missing = sorted(expected - set(workers.handled()), key=int)
        assert complete, f"{len(missing)} of {sent} are missing, {lost()} are counted: {missing[:20]}"
        twice = [text for text, count in workers.handled().items() if count > 1]
        assert len(twice) <= workers.killed, twice
    except AssertionError:
        print(f"seed {seed}: {happened}", file=sys.stderr)
        raise
    finally:
        workers.cluster.close()
        replica.kill()
