"""After a change of leaders, one process asks the service for all, over a real Redis."""

from __future__ import annotations

import sys
import threading
from typing import Any, Callable, List

import pytest
from integration.conftest import OTHER_UID, UID, eventually

from cometchat import ConnectionException
from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, Cluster, RedisServer

redis = pytest.importorskip("redis")

from cometchat.contrib.redis import RedisStatusStore  # noqa: E402
from cometchat.contrib.redis._questions import PATIENCE, SharedQuestion  # noqa: E402
from cometchat.contrib.redis._wire import Keys  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

KEYS = Keys.of("cometchat", "app", "u1")

PROCESSES = 8


@pytest.fixture
def connect(redis_server: RedisServer) -> Callable[[], Any]:
    redis_server.flush()
    return lambda: redis.Redis.from_url(redis_server.url)


def question(ask: Callable[[], bytes], **more: Any) -> SharedQuestion:
    return SharedQuestion(KEYS, "100 after 7", ask, **{"jitter": lambda: 0.0, **more})


def test_after_a_change_of_leaders_the_processes_share_the_answers(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """Of six processes, the leader is killed. The other five get the missed messages, each once."""
    redis_server.flush()
    cluster = Cluster(sandbox, redis_server, 1.0)
    try:
        for count in (2, 4, 6):  # a busy machine takes long to start them
            members = cluster.start(count)
        sandbox.send_message(OTHER_UID, UID, "before")
        for member in members:
            member.wait(lambda: member.values("text") == ["before"], "the first message")
        leader = cluster.leader()
        for member in members:
            member.clear()
        sandbox.clear_records()
        leader.end()
        sandbox.send_message(OTHER_UID, UID, "missed")
        for member in cluster.living:
            member.wait(lambda: member.values("text") == ["missed"], "the missed message")
        cluster.agree("connected")
        asked = [each.path for each in sandbox.requests if each.method == "GET" and "/messages" in each.path]
        # A page with the message, and an empty page. On a busy machine some processes come late and ask again.
        # Without shared answers five processes would ask ten times.
        assert 2 <= len(asked) <= 8, asked
    finally:
        cluster.close()


def test_an_answer_counts_only_if_it_was_asked_for_later(connect: Callable[[], Any]) -> None:
    """An earlier answer of another process is too old: a message may have arrived since, before this connection."""
    answers = iter([b"first", b"second"])
    assert question(lambda: next(answers)).answer(connect) == b"first"
    assert question(lambda: next(answers)).answer(connect) == b"second"


def test_after_an_eviction_an_older_answer_does_not_count(connect: Callable[[], Any]) -> None:
    """The numbers go on above the earlier ones, although Redis has lost the newest."""
    answers = iter([b"first", b"second"])
    assert question(lambda: next(answers)).answer(connect) == b"first"
    with connect() as client:
        assert client.delete(KEYS.question("")[0]) == 1
    assert question(lambda: next(answers)).answer(connect) == b"second"


def test_a_question_leaves_no_key_forever(connect: Callable[[], Any]) -> None:
    """Each key in Redis expires within a day, so that users who log in no more leave none."""
    assert question(lambda: b"answer").answer(connect) == b"answer"
    with connect() as client:
        lifetimes = {key: client.ttl(key) for key in client.keys()}
    assert len(lifetimes) == 2 and all(0 < lifetime <= 86_400 for lifetime in lifetimes.values()), lifetimes


def test_those_that_ask_at_the_same_time_share_an_answer(connect: Callable[[], Any]) -> None:
    """The asking process waits until all others have the same question. All get its answer."""
    asked: List[int] = []
    need = threading.Barrier(PROCESSES)
    found: List[bytes] = []

    def ask() -> bytes:
        asked.append(1)
        return b"answer"

    def gather(seconds: float) -> None:
        if seconds == 0.0:  # of the asking process, or of one that takes the turn just after the answer
            assert eventually(lambda: scripts() - before >= PROCESSES, DEADLINE)
        else:
            threading.Event().wait(seconds)

    def scripts() -> int:
        """Return the number of scripts that Redis has run. Each process runs one when it has the question."""
        return int(client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"])

    def process() -> None:
        need.wait(DEADLINE)
        # Time stands still, so no process loses its patience on a busy machine.
        found.append(question(ask, wait=gather, clock=lambda: 0.0).answer(connect))

    with connect() as client:
        before = scripts()
        threads = [threading.Thread(target=process, name="test-process", daemon=True) for _ in range(PROCESSES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert found == [b"answer"] * PROCESSES and asked == [1]


def test_a_question_that_fails_lets_another_process_ask(connect: Callable[[], Any]) -> None:
    """The call raises its own error, and the next one does not wait."""

    def fail() -> bytes:
        raise ConnectionException("FAILED_TO_FETCH", "no network")

    waits: List[float] = []
    with pytest.raises(ConnectionException):
        question(fail).answer(connect)
    assert question(lambda: b"answer", wait=waits.append).answer(connect) == b"answer"
    assert waits == [0.0]


def test_one_that_asks_and_is_killed_holds_up_no_other_for_long(connect: Callable[[], Any]) -> None:
    """After some seconds, each process asks for itself."""
    with connect() as client:
        client.set(KEYS.question("100 after 7")[2], "killed")
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    asked = question(lambda: b"own", wait=wait, clock=lambda: now[0]).answer(connect)
    assert asked == b"own" and PATIENCE <= now[0] < PATIENCE + 1
    with connect() as client:
        assert client.get(KEYS.question("100 after 7")[2]) == b"killed"


def test_without_redis_each_process_asks(redis_server: RedisServer) -> None:
    """A Redis that is away or refuses costs one attempt."""
    store = RedisStatusStore("redis://127.0.0.1:1", lease=1)
    assert store.ask_once("app", "u1", "newest", lambda: b"own") == b"own"
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">word", "~*", "+get", "+set", "+eval")
        limited = RedisStatusStore(redis_server.url.replace("redis://", "redis://limited:word@"), lease=1)
        assert limited.ask_once("app", "u1", "newest", lambda: b"own") == b"own"
        admin.execute_command("ACL", "DELUSER", "limited")


def test_with_a_function_that_raises_each_process_asks() -> None:
    """The application's function for Redis raises, such as while its source of passwords is away."""

    def connect() -> Any:
        raise KeyError("password")

    assert question(lambda: b"own").answer(connect) == b"own"


@pytest.mark.parametrize(
    "rubbish", ["1e300", "nan", "inf", "-inf", str(2**63), "x", "", b"\xff", ["a", "list"]], ids=repr
)
def test_rubbish_in_place_of_the_newest_number_is_no_answer(rubbish: Any, connect: Callable[[], Any]) -> None:
    """Another program may write to the key. A process still asks, and later ones still share answers."""
    with connect() as client:
        if isinstance(rubbish, list):
            client.rpush(KEYS.question("")[0], *rubbish)
        else:
            client.set(KEYS.question("")[0], rubbish)
    answers = iter([b"first", b"second"])
    assert question(lambda: next(answers)).answer(connect) == b"first"
    assert question(lambda: next(answers)).answer(connect) == b"second"
    with connect() as client:
        assert 0 < int(client.get(KEYS.question("")[0])) < 2**53


@pytest.mark.parametrize(
    "rubbish", [b"", b"x", b"x:y", b"9" * 5000 + b":y", b"1e99:y", b"-1:y", b":"], ids=lambda text: repr(text[:6])
)
def test_rubbish_in_place_of_an_answer_is_asked_for_again(rubbish: bytes, connect: Callable[[], Any]) -> None:
    """No text in Redis raises."""
    asker = question(lambda: b"own")
    with connect() as client:
        client.set(asker._answer, rubbish)
    assert asker.answer(connect) == b"own"
