"""Ctrl-C on a system where no signal ends a wait: Windows, up to Python 3.13."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import List

import pytest
from processes import Process, Start

from cometchat.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system can't block a signal")

#: Runs a command. Another thread than the main thread gets the signals, so that they end no wait of the main thread.
_PROGRAM = """
import signal, sys, threading

def receive():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Event().wait()

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
threading.Thread(target=receive, daemon=True).start()
from cometchat.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(start: Start, *words: str) -> Process:
    return start.program([sys.executable, "-c", _PROGRAM, *words])


def test_the_sandbox(start: Start) -> None:
    """It ends with 0."""
    process = run(start, "sandbox")
    process.line("get_connection_status")
    assert process.end(signal.SIGINT) == 0
    assert process.errors() == ""


def test_a_watch(start: Start, account: List[str], sandbox: Sandbox) -> None:
    """It ends with 0, although no event comes."""
    process = run(start, "watch", *account)
    process.line("  connected")
    assert process.end(signal.SIGINT) == 0
    assert process.errors() == ""


def test_a_message_that_waits(start: Start, account: List[str], sandbox: Sandbox, tmp_path: Path) -> None:
    """It stays in the outbox, and the command ends with 1 long before its limit."""
    sandbox.refuse_upgrades(503)
    outbox = str(tmp_path / "outbox.db")
    process = run(start, "send", *account, "--to", "x", "--text", "Hello", "--timeout", "600", "--outbox", outbox)
    assert sandbox.wait_until(lambda: len(sandbox.attempts) > 1, 20)
    assert process.end(signal.SIGINT) == 1
    assert process.errors().startswith("cometchat send: interrupted")
