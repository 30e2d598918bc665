"""gevent and eventlet, which put green threads and their own sockets under the SDK."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cometchat.sandbox import Sandbox

DEADLINE = 10.0
PROGRAM = Path(__file__).parent / "programs" / "green_threads.py"


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_a_patched_program_keeps_its_connection(sandbox: Sandbox, library: str) -> None:
    """It connects, comes back after a drop, and says goodbye at disconnect() and logout(): no socket stays open."""
    pytest.importorskip(library)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(PROGRAM), library, sandbox.url, sandbox.app_id, sandbox.auth_key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for name, connections in [("connected", 1), ("back", 1), ("disconnected", 0), ("logged out", 0)]:
                assert process.stdout.readline().strip() == name
                assert sandbox.wait_until(lambda: sandbox.connections == connections, DEADLINE)
                if name == "connected":
                    sandbox.drop_connections()
                process.stdin.write("\n")
                process.stdin.flush()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    assert sandbox.close_codes.count(1000) == 2
