"""A fleet of workers that shares a connection by Redis: each message once, in order, after any kill.

On one machine, the file of the durable inbox keeps the position. For many machines, a stream in Redis keeps it.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Callable, List, NamedTuple, Tuple

import pytest
from integration.conftest import OTHER_UID, UID, eventually
from integration.inbox_bot import has_begun

from cometchat import Client, FileSessionStore
from cometchat.sandbox import Sandbox

from .redis_support import RedisServer
from .support import DEADLINE, HERE

pytest.importorskip("redis")

WORKERS, KILLS, BETWEEN = 3, 3, 25


def begun(log: Path) -> List[Tuple[int, int]]:
    """Return the numbers of the messages with which a callback began, and the process ids of the workers."""
    lines = log.read_text().splitlines() if log.exists() else []
    words = [line.split() for line in lines if line.startswith("begin")]
    return [(int(number), int(pid)) for _, number, pid in words]


class Talk:
    """The other user's numbered messages, and the bot's answers."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._numbers = itertools.count()

    def send(self) -> int:
        """Send some messages. Returns the number of the last one."""
        for _ in range(BETWEEN):
            number = next(self._numbers)
            self._sandbox.send_message(OTHER_UID, UID, str(number))
        return number

    def answers(self) -> List[str]:
        return [message["data"]["text"] for message in self._sandbox.messages if message["sender"] == UID]


class Answered(NamedTuple):
    """The end of a test: the number of the last message, how many began again, and how many workers were killed."""

    newest: int
    repeated: int
    killed: int


def answer_through_kills(
    start: Callable[[int], "subprocess.Popen[bytes]"], is_ready: Callable[[], bool], log: Path, talk: Talk
) -> Answered:
    """Let workers answer messages in order, none skipped. Kill the one at work several times, and once all of them.

    Messages also arrive while all are killed.

    :param start: starts the worker of a machine.
    """
    workers = [start(machine) for machine in range(WORKERS)]
    killed = 0
    try:
        assert eventually(is_ready, DEADLINE)
        talk.send()
        for kill in range(KILLS):
            assert eventually(lambda: begun(log) and begun(log)[-1][0] > BETWEEN * kill + 5, DEADLINE), begun(log)
            at_work = [worker for worker in workers if worker.pid == begun(log)[-1][1]]
            victims = list(workers) if kill == KILLS // 2 else at_work
            for victim in victims:
                victim.kill()
                victim.wait(DEADLINE)
            killed += len(victims)
            talk.send()
            for victim in victims:
                machine = workers.index(victim)
                workers[machine] = start(machine)
        newest = talk.send()
        all_answered = eventually(lambda: len(talk.answers()) == newest + 1, 2 * DEADLINE)
        assert all_answered, (len(talk.answers()), begun(log)[-5:])
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(DEADLINE)
    found = [number for number, _ in begun(log)]
    assert len({pid for _, pid in begun(log)}) > KILLS
    assert [number for number, _ in itertools.groupby(found)] == list(range(newest + 1))
    return Answered(newest, len(found) - newest - 1, killed)


@pytest.mark.timeout(120)
def test_workers_that_are_killed(sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path) -> None:
    """One worker at a time handles the messages, and only the one in progress is repeated."""
    seed = Client(sandbox.app_id, sandbox.settings(session_store=FileSessionStore(tmp_path / "session.json")))
    seed.login(UID, sandbox.auth_key)
    seed.close()
    program = str(HERE.parent / "integration" / "inbox_bot.py")
    command = [sys.executable, program, sandbox.url, sandbox.app_id, str(tmp_path), redis_server.url]
    talk = Talk(sandbox)
    done = answer_through_kills(
        lambda machine: subprocess.Popen(command), lambda: has_begun(tmp_path / "inbox.db"), tmp_path / "log", talk
    )
    assert done.repeated <= KILLS
    assert talk.answers() == [f"re {number}" for number in range(done.newest + 1)]


@pytest.mark.timeout(120)
def test_a_fleet_that_is_killed(sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path) -> None:
    """Workers without a common file handle each message too. A worker that is killed may repeat its message."""
    redis_server.flush()
    log, talk = tmp_path / "log", Talk(sandbox)
    program = [sys.executable, "-m", "contrib.stream_bot", sandbox.url, sandbox.app_id]
    for machine in range(WORKERS):
        (tmp_path / str(machine)).mkdir()
        session = FileSessionStore(tmp_path / str(machine) / "session.json")
        with Client(sandbox.app_id, sandbox.settings(session_store=session)) as seed:
            seed.login(UID, sandbox.auth_key)

    def is_ready() -> bool:
        return log.exists() and log.read_text().count("ready") == WORKERS

    def start(machine: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*program, str(tmp_path / str(machine)), str(log), redis_server.url], cwd=HERE.parent)

    done = answer_through_kills(start, is_ready, log, talk)
    assert done.repeated <= done.killed
    assert sorted(talk.answers()) == sorted(f"re {number}" for number in range(done.newest + 1))
