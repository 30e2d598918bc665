"""examples/redis_cluster runs as a reader runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("redis")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "redis_cluster"


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_the_cluster_survives_a_kill_and_an_outage() -> None:
    """One of two processes is killed, and the other takes over.

    Redis is killed and returns. The command ends with 0.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE / "run.py"), "2"],
        capture_output=True,
        text=True,
        env=env,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    steps = re.findall(r"--- (.*)", ended.stdout)
    assert len(steps) == 6 and [step.endswith("sees 1 connection") for step in steps] == [True, False] * 2 + [
        False,
        True,
    ]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_the_cluster_ends_its_processes() -> None:
    """SIGTERM ends Redis and the workers too."""
    command = [sys.executable, str(EXAMPLE / "run.py"), "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as cluster:
        assert cluster.stdout is not None
        assert any("--- all are connected" in line for line in cluster.stdout)
        cluster.terminate()
        rest, _ = cluster.communicate(timeout=50)  # until all have ended, since they have the same standard error
    assert cluster.returncode == 128 + signal.SIGTERM and "Traceback" not in rest


def test_the_containers_install_a_copy() -> None:
    """The compose file mounts the clone read-only. pip could not install it from there, so it installs these files."""
    compose = (EXAMPLE / "docker-compose.yml").read_text(encoding="utf-8")
    assert "../..:/src:ro" in compose and re.findall(r"pip install -q '(\S+)\[redis\]'", compose) == ["/tmp/sdk"]
    copied = re.findall(r"/src/(\S+)(?=.* /tmp/sdk$)", compose, re.MULTILINE)
    assert {"cometchat", "setup.cfg", "setup.py"} < set(copied)
    assert [name for name in copied if not (EXAMPLE.parents[1] / name).exists()] == []


def test_each_file_is_listed() -> None:
    """The README has a line for each file, and the compose file names every variable that the worker reads."""
    listed = set(re.findall(r"^``([\w-]+[.]\w+)``", (EXAMPLE / "README.rst").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.name for path in EXAMPLE.iterdir() if path.is_file()} - {"README.rst"}
    read = set(re.findall(r'"(COMETCHAT_\w+|REDIS_URL)"', (EXAMPLE / "worker.py").read_text(encoding="utf-8")))
    compose = (EXAMPLE / "docker-compose.yml").read_text(encoding="utf-8")
    assert {name for name in read if f"{name}:" in compose} == read - {"COMETCHAT_ADMIN_HOST", "COMETCHAT_CLIENT_HOST"}
