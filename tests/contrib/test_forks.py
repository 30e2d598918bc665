"""Forks while other threads hold the locks of contrib."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cometchat.sandbox import Sandbox

from .support import HERE, plain

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy runs the hooks of a fork with its import lock held: a thread of the child that imports then hangs",
)
def test_every_listener_of_a_child_is_called_although_a_feeds_lock_was_held() -> None:
    """At the fork, a thread holds the locks of 25 feeds.

    In the child, all 25 clients connect and call their listeners.
    """
    with Sandbox() as sandbox:
        command = [sys.executable, str(HERE / "feed_fork_program.py"), sandbox.url, sandbox.app_id, sandbox.auth_key]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=55, env=plain(PYTHONPATH=":".join(sys.path))
        )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["child: 25 25 25 True", "parent: 0 25"]
