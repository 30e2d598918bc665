"""A fork: the child begins anew, the parent's connection is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cometchat.sandbox import Sandbox


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_every_lock_is_held(sandbox: Sandbox, tmp_path: Path) -> None:
    """The child is logged in, connects by itself and ends; the parent's connection does not notice."""
    program = str(Path(__file__).with_name("fork_program.py"))
    command = [sys.executable, program, sandbox.url, sandbox.app_id, sandbox.auth_key, str(tmp_path)]
    ended = subprocess.run(command, timeout=50, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "child: cometchat-uid-1",
        "child: on_connecting on_connected on_disconnected",
        "parent: the child ended with 0",
        "parent: connected on_connecting on_connected",
    ]
    assert len(sandbox.attempts) == 2
    assert [message["data"]["text"] for message in sandbox.messages] == ["before", "of the child", "after"]
