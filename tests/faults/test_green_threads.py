"""gevent and eventlet, which put green threads and their own sockets under the SDK, alone and as pools of Celery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from cometchat.sandbox import Sandbox

from .programs.running import Server

#: Maximum wait for an event, in seconds, also on a busy machine, where a worker may take more than 20 s to start.
DEADLINE = 60.0

CELERY = [
    *(sys.executable, "-m", "celery", "-A", "celery_green_app", "worker", "-c", "4"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat", "--pool"),
]
PROGRAM = Path(__file__).parent / "programs" / "green_threads.py"


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_a_patched_program_keeps_its_connection(sandbox: Sandbox, library: str) -> None:
    """The program connects, returns after a drop, and sends close frames at disconnect() and logout().

    No socket stays open, and the log has no error.
    """
    pytest.importorskip(library)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(PROGRAM), library, sandbox.url, sandbox.app_id, sandbox.auth_key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            for name, connections in [("connected", 1), ("back", 1), ("disconnected", 0), ("logged out", 0)]:
                assert process.stdout.readline().strip() == name
                assert sandbox.wait_until(lambda: sandbox.connections == connections, DEADLINE)
                if name == "connected":
                    sandbox.drop_connections()
                process.stdin.write("\n")
                process.stdin.flush()
            assert process.wait(DEADLINE) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert sandbox.close_codes.count(1000) == 2


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "threads"])
def test_a_celery_pool_that_does_not_fork_has_one_client(sandbox: Sandbox, pool: str) -> None:
    """A message becomes a task that sends the answer, before and after a drop. A warm shutdown sends a close frame."""
    for library in {"celery", pool} - {"threads"}:
        pytest.importorskip(library)
    settings = {"ping_interval": 0.3, "pong_timeout": DEADLINE, "reconnect_wait": 0.1}
    with Server(sandbox, [*CELERY, pool], **settings) as worker:
        assert sandbox.wait_for_connections(1, DEADLINE), worker.log()
        for number, text in enumerate(["one", "two"], 1):
            sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", text)
            sent = sandbox.wait_until(lambda: texts_of(sandbox, "cometchat-uid-1")[number - 1 :], DEADLINE)
            assert sent, worker.log()
            if number == 1:
                sandbox.drop_connections()
                assert sandbox.wait_until(lambda: len(sandbox.attempts) == 2 and sandbox.connections == 1, DEADLINE)
        assert texts_of(sandbox, "cometchat-uid-1") == ["one back", "two back"]
        worker.terminate()
        assert sandbox.wait_for_connections(0, DEADLINE)
    assert sandbox.close_codes == [1000] and sandbox.violations == []


def texts_of(sandbox: Sandbox, uid: str) -> List[str]:
    """Return the texts of the messages that a user has sent."""
    return [message["data"]["text"] for message in sandbox.messages if message["sender"] == uid]
