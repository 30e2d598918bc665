"""The loaded modules, with and without the extra, and the pytest plugin."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import cometchat.sandbox

ROOT = pathlib.Path(cometchat.sandbox.__file__).parents[2]

# Most of these tests do not need the SDK's names, so they name a client only in code for other processes.
TESTS = """
import threading

def test_one(cometchat_sandbox):
    assert cometchat_sandbox.running and cometchat_sandbox.requests == []
    cometchat_sandbox.fail_http(500)

def test_two(cometchat_sandbox):
    assert not cometchat_sandbox._faults.http_failures
    assert len([t for t in threading.enumerate() if t.name.startswith("cometchat-sandbox")]) == 1

def test_three():
    assert not [t for t in threading.enumerate() if t.name.startswith("cometchat-sandbox")]
"""

CLIENT_TEST = """
def test_client(cometchat_client, cometchat_sandbox):
    assert cometchat_client.get_connection_status() == "connected"
    assert cometchat_client.get_logged_in_user().uid == "cometchat-uid-1"
    assert cometchat_sandbox.connections == 1 and cometchat_sandbox.violations == []
"""


def python(*arguments, cwd=None, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=environment, cwd=cwd
    )


def run_pytest(directory, **more):
    # In a separate directory, so that no configuration of this project reaches it. Without the other plugins, pytest
    # starts in half the time.
    command = ["-m", "pytest", "-q", "-p", "cometchat.pytest_plugin", "--rootdir", str(directory)]
    return python(*command, cwd=directory, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **more)


def test_the_plugin_gives_a_fresh_sandbox(tmp_path):
    """cometchat_sandbox is started for each test that uses it, without old state, and stopped after it."""
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run_pytest(tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_gives_a_client(tmp_path):
    """cometchat_client is logged in and connected, also behind a proxy of the environment, here one that refuses."""
    (tmp_path / "test_it.py").write_text(CLIENT_TEST)
    done = run_pytest(tmp_path, http_proxy="http://127.0.0.1:9", no_proxy="")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_without_the_extra_pytest_still_runs(tmp_path):
    """Without aiohttp the plugin loads, and tests that do not use it pass. A test that uses it says what to install."""
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['aiohttp'] = None\n")
    (tmp_path / "test_it.py").write_text(
        "def test_plain():\n    pass\n\ndef test_sandbox(cometchat_sandbox):\n    pass\n"
    )
    done = run_pytest(tmp_path)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "pip install 'cometchat[sandbox]'" in done.stdout


def test_the_plugin_loads_nothing_of_the_sandbox():
    """Neither import cometchat nor the plugin loads the sandbox or its libraries."""
    done = python(
        "-c",
        "import sys, cometchat, cometchat.pytest_plugin\n"
        "print([name for name in ('cometchat.sandbox', 'aiohttp', 'cryptography') if name in sys.modules])",
    )
    assert done.stdout == "[]\n", done.stderr


def test_without_tls_no_cryptography_is_needed():
    """A sandbox without TLS runs without the package cryptography."""
    done = python(
        "-c",
        "import sys\n"
        "sys.modules['cryptography'] = None\n"
        "from cometchat.sandbox import Sandbox\n"
        "with Sandbox() as sandbox: print('cometchat' in sys.modules, sandbox.running)",
    )
    assert done.stdout == "True True\n", done.stderr
