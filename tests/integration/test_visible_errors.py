"""Standard error of a plain script, without any logging set-up."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
import requests

from cometchat import Client, CometChatException
from cometchat._runtime.connection import _thread
from cometchat._transport._exception_chain import exception_chain
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, UID, Party, eventually, unused_port

ROOT = Path(__file__).resolve().parents[2]


def script(program: str, sandbox: Any, folder: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a script with the sandbox's account."""
    path = folder / "script.py"
    path.write_text("import os\nfrom cometchat import *\n" + program, encoding="utf-8")
    account = {
        "COMETCHAT_APP_ID": sandbox.app_id,
        "COMETCHAT_AUTH_KEY": sandbox.auth_key,
        "COMETCHAT_ADMIN_HOST": sandbox.url,
        "COMETCHAT_CLIENT_HOST": sandbox.url,
        "PYTHONPATH": str(ROOT),
    }
    env = {**os.environ, **account, **more}
    command = [sys.executable, str(path)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=DEADLINE, cwd=folder)


LOGIN = """
client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
client.login("cometchat-uid-1", os.environ["COMETCHAT_AUTH_KEY"])
"""


def test_a_login_without_network_ends_in_one_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """There is one traceback, from the script's line to the SDK's error, with one line of the library's errors."""
    nowhere = f"http://127.0.0.1:{unused_port()}"
    ended = script(LOGIN, sandbox, tmp_path, COMETCHAT_ADMIN_HOST=nowhere, COMETCHAT_CLIENT_HOST=nowhere)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    assert "site-packages" not in ended.stderr
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("requests.exceptions.ConnectionError: ")
    assert lines[-1].startswith("cometchat.exceptions.ConnectionException: FAILED_TO_FETCH: ")
    assert "connection refused by 127.0.0.1" in lines[-1]
    assert sum(line.startswith("  File ") for line in lines) <= 4
    assert sandbox.auth_key not in ended.stderr


def test_a_refused_login_ends_in_one_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """The service's own code is the last line."""
    ended = script(LOGIN.replace("cometchat-uid-1", "no-such-user"), sandbox, tmp_path)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1 and ended.stderr.count("Traceback") == 1
    assert lines[-1].startswith("cometchat.exceptions.CometChatException: ERR_UID_NOT_FOUND: ")
    assert sum(line.startswith("  File ") for line in lines) <= 4


def test_the_causes_stay_reachable(sandbox: Sandbox) -> None:
    """``__cause__`` is the library's error, and its chain has the origin."""
    nowhere = f"http://127.0.0.1:{unused_port()}"
    with Client(sandbox.app_id, sandbox.settings(admin_host=nowhere, client_host=nowhere)) as client:
        with pytest.raises(CometChatException) as caught:
            client.login(UID, sandbox.auth_key)
    assert isinstance(caught.value.__cause__, requests.exceptions.ConnectionError)
    assert any(isinstance(error, ConnectionRefusedError) for error in exception_chain(caught.value))
    assert all(error.__traceback__ is None for error in exception_chain(caught.value.__cause__))


def test_the_exception_of_a_token_callable_is_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    """The exception is the user's own, and its lines are in the traceback."""
    ended = script(
        """
def new_token():
    return {}["token"]
client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
client.login_with_auth_token("a-wrong-token", refresh=new_token)
""",
        sandbox,
        tmp_path,
    )
    assert 'return {}["token"]' in ended.stderr and "ERR_TOKEN_REFRESH" in ended.stderr.splitlines()[-1]


def test_callbacks_that_go_wrong(sandbox: Sandbox, tmp_path: Path) -> None:
    """An exception is shown with its traceback, a misspelt name with the right one.

    An async callback is refused.
    """
    ended = script(
        """
import asyncio

class Listener(ConnectionListener):
    def on_conected(self):
        pass
    def on_connected(self):
        raise ZeroDivisionError("in my callback")

class Async(ConnectionListener):
    async def on_connected(self):
        pass
"""
        + LOGIN.replace("client.login", "client.add_connection_listener(Listener())\nclient.login")
        + """
client.connect()
client.close()
client = Client("app", AppSettings.from_env())
client.add_connection_listener(Async())
""",
        sandbox,
        tmp_path,
    )
    assert "on_conected() (did you mean on_connected?)" in ended.stderr
    assert "raised in on_connected()" in ended.stderr and "ZeroDivisionError: in my callback" in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "INVALID_LISTENER" in last and "async" in last


@pytest.mark.parametrize("settings", ["AppSettings.from_env()", "AppSettings.from_env(reconnect_stop=STOP)"])
def test_the_end_of_all_attempts_is_shown(settings: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A bot without a connection listener is not silent when the client stops all attempts."""
    if "STOP" in settings:
        sandbox.refuse_upgrades(503)
    else:
        sandbox.refuse_auth()
    ended = script(
        f"""
import tenacity, threading, logging
STOP = tenacity.stop_after_attempt(1)
client = Client(os.environ["COMETCHAT_APP_ID"], {settings})

class Warned(logging.Handler):
    def emit(self, record):
        print(record.getMessage())
        threading.Timer(0.2, client.close).start()

logging.getLogger("cometchat").addHandler(Warned(logging.WARNING))
client.login("cometchat-uid-1", os.environ["COMETCHAT_AUTH_KEY"])
client.run_forever()
""",
        sandbox,
        tmp_path,
    )
    assert ended.returncode == 0
    (line,) = ended.stdout.splitlines()
    assert "the client will not try again: WS_" in line and "cometchat-uid-1" in line


def test_an_outage_that_lasts_is_shown_once(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning names the reason, and a new outage gives a new one. A short loss gives none."""
    shown = "The attempts continue. The newest failure: WS_CONNECTION_FAIL"
    client, heard = party.connected()
    heard.clear()
    sandbox.drop_connections()
    heard.wait_for("on_connected")
    assert client.get_connection_status() == "connected" and shown not in caplog.text
    monkeypatch.setattr(_thread, "_OUTAGE", 0.1)
    for outage in (1, 2):
        heard.clear()
        sandbox.refuse_upgrades(503)
        sandbox.drop_connections()
        assert eventually(lambda: caplog.text.count(shown) == outage)
        failures = len(heard.errors)
        assert eventually(lambda: len(heard.errors) > failures + 2)
        assert caplog.text.count(shown) == outage
        sandbox.heal()
        client.connect(DEADLINE)


def test_a_first_connection_that_never_comes_is_shown(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One example is a firewall that lets the login pass, but not the WebSocket."""
    monkeypatch.setattr(_thread, "_OUTAGE", 0.1)
    sandbox.refuse_upgrades(403)
    client, _ = party.joined()
    assert eventually(lambda: "The attempts continue. The newest failure: WS_CONNECTION_FAIL" in caplog.text)
    assert client.get_connection_status() == "connecting"


def test_an_operators_error_is_shown_once(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error for which there is a warning of its own gives no second one when the outage lasts."""
    monkeypatch.setattr(_thread, "_OUTAGE", 0.0)
    _, heard = party.connected()
    heard.clear()
    sandbox.refuse_auth(code="ERR_PLAN_NEW")
    sandbox.drop_connections()
    assert eventually(lambda: any(error.code == "ERR_PLAN_NEW" for error in heard.errors))
    assert eventually(lambda: "The service refuses this app" in caplog.text)
    assert "The newest failure" not in caplog.text


def test_an_operators_error_is_told_once_per_series(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt gets the same error, so the log has it once, until another error comes in between."""
    caplog.set_level(logging.INFO, "cometchat.connection")
    client, _ = party.connected()
    told: List[int] = []
    plan, paused, passing = "ERR_PLAN_NEW", "ERR_SUBSCRIPTION_PAUSED", "ERR_SHARD_FAILED"
    for code in (plan, plan, paused, plan, passing, plan):
        caplog.clear()
        sandbox.refuse_auth(code=code)
        if told:
            client.connect(timeout=0)
        else:
            sandbox.drop_connections()
        assert eventually(lambda: "the next attempt" in caplog.text.partition(code)[2])
        told.append(caplog.text.count("The service refuses this app"))
    assert told == [1, 0, 1, 1, 0, 1]
