"""watch: its output, its end, and its exit code."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from processes import Start

from cometchat import Client, User
from cometchat.cli import _watch as watch
from cometchat.cli import main
from cometchat.cli._events import Event
from cometchat.sandbox import Sandbox

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  \w+")


def test_until_connected(account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """watch prints one line for each transition, with the local time. --until ends it with 0."""
    assert main(["watch", "--until", "connected", "--timeout", "10", *account]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[2] for line in lines] == ["connecting", "connected"]
    assert all(LINE.match(line) for line in lines)
    assert datetime.fromisoformat(" ".join(lines[0].split()[:2])).timestamp() == pytest.approx(time.time(), abs=30)
    assert captured.err == ""


@pytest.mark.parametrize(
    "command",
    [["watch", "--until", "connected"], ["watch", "--until", "featureThrottled", "--timeout", "1"], ["doctor"]],
    ids=["watch", "not reached", "doctor"],
)
def test_a_command_voids_the_auth_token_that_it_has_made(
    account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str], command: List[str]
) -> None:
    """The service keeps a user's 100 newest. A health check each minute would soon end the login of the user's bot."""
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as bot:
        bot.login("cometchat-uid-1", sandbox.auth_key)
        main([*command, *account])
        sandbox.limit_tokens(1)
        bot.send_text("the bot's token is still the newest", uid="cometchat-uid-2")
    sandbox.heal()
    token = sandbox.auth_token("cometchat-uid-1")
    main([*command, *account[:2], "--auth-token", token, *account[6:]])
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as user:
        user.login_with_auth_token(token)  # a token that the user has given stays valid


def test_json(account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object per line: time in UTC, event, status, and an error's code."""
    sandbox.refuse_upgrades(503)
    worker = threading.Thread(target=sandbox.wait_for_attempts, args=(1, 10))
    worker.start()
    healer = threading.Thread(target=lambda: (worker.join(), sandbox.heal()))
    healer.start()
    assert main(["watch", "--json", "--until", "connected", "--timeout", "20", *account]) == 0
    healer.join()
    records: List[Dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["status"] for record in records if record["event"] == "status"] == ["connecting", "connected"]
    error = next(record for record in records if record["event"] == "error")
    assert error["status"] == "connecting"
    assert error["error"]["code"] == "WS_CONNECTION_FAIL"
    assert error["error"]["details"] == "HTTP 503"
    moment = records[0]["time"]
    assert moment.endswith("Z")
    assert datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() == pytest.approx(time.time(), abs=60)


def test_throttled_is_reached(account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """--until accepts every status. In a throttled service the client is connected first."""
    sandbox.set_mode("NO_TRANSIENT")
    assert main(["watch", "--until", "featureThrottled", "--timeout", "10", *account]) == 0
    statuses = [line.split()[2] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["connecting", "connected", "featureThrottled"]


def test_not_reached_in_time(account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """--timeout ends it with 1 and one line that names the last error."""
    sandbox.refuse_upgrades(503)
    started = time.monotonic()
    assert main(["watch", "--until", "connected", "--timeout", "0.7", *account]) == 1
    assert time.monotonic() - started < 3
    error = capsys.readouterr().err
    assert error.startswith("cometchat watch: not connected within 0.7 s: WS_CONNECTION_FAIL: ")
    assert error.count("\n") == 1


def test_the_limit_holds_while_the_login_hangs(
    account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """--timeout counts from the start, and does not wait for a missing HTTP answer."""
    sandbox.hang_http()
    started = time.monotonic()
    assert main(["watch", "--until", "connected", "--timeout", "0.5", *account]) == 1
    assert time.monotonic() - started < 3
    assert capsys.readouterr().err == "cometchat watch: not connected within 0.5 s\n"
    sandbox.heal()


def test_a_failed_login_ends_it(account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A login that fails ends it with 1 and one line."""
    sandbox.fail_http(503, body="<html>")
    assert main(["watch", *account]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("cometchat watch: login failed: ERR_BAD_RESPONSE: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "option, value, error",
    [
        ("--uid", ".", "INVALID_UID"),
        ("--uid", " ", "MISSING_PARAMETERS"),
        ("--auth-key", "a key\n", "INVALID_AUTH_KEY"),
        ("--uid", "a\udcffb", "the uid is not text in this terminal's encoding"),
        ("--app-id", "a\udcffb", "the app id is not text in this terminal's encoding"),
    ],
)
@pytest.mark.parametrize("command", [["watch"], ["send", "--to", "cometchat-uid-2", "--text", "Hi"]])
def test_a_wrong_account_is_wrong_usage(
    account: List[str],
    command: List[str],
    option: str,
    value: str,
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends with 2 and one line: a repetition can't succeed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main([*command, *account, option, value]) == 2
    captured = capsys.readouterr()
    assert error in captured.err and captured.err.count("\n") == 1


def test_a_refused_jwt_ends_it(account: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """If the SDK stops trying, the watch ends too, with 1."""
    sandbox.refuse_auth()
    assert main(["watch", *account]) == 1
    captured = capsys.readouterr()
    assert [line.split()[2] for line in captured.out.splitlines()] == ["connecting", "error", "disconnected"]
    assert captured.err.startswith("cometchat watch: the client stopped trying: WS_AUTH_FAIL: ")


def test_an_unexpected_login_error_ends_it(
    account: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unexpected exception in the login ends it too: it does not wait forever."""

    def broken(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(watch.Client, "login", broken)
    assert main(["watch", *account]) == 1
    assert "unexpected RuntimeError: boom" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--timeout", "5"], ["--until", "connected", "--timeout", "0"]])
def test_timeout_needs_until(options: List[str], account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--timeout without --until, or with a wrong duration, is wrong usage."""
    assert main(["watch", *options, *account]) == 2
    assert "--timeout needs --until" in capsys.readouterr().err


def test_a_terminal_gets_a_heading(account: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the first line says who is watched and how to end it. The key is not in it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["watch", "--until", "connected", "--timeout", "10", *account]) == 0
    heading = terminal.getvalue().splitlines()[0]
    assert "cometchat-uid-1" in heading and "Ctrl-C" in heading and account[5] not in heading


def test_no_other_user_is_connected(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An auth token of another user than --uid is found before the connection, whose status could end the watch."""
    log_in, after_login = Client.login_with_auth_token, []

    def login(client: Client, token: str) -> User:
        user = log_in(client, token)
        after_login.append(client.get_connection_status().value)
        return user

    monkeypatch.setattr(Client, "login_with_auth_token", login)
    account = ["--app-id", sandbox.app_id, "--admin-host", sandbox.url, "--client-host", sandbox.url]
    account += ["--auth-token", sandbox.auth_token("cometchat-uid-3"), "--uid", "cometchat-uid-1"]
    assert main(["watch", "--until", "connected", *account]) == 2
    assert after_login == ["disconnected"] and capsys.readouterr().out == ""


@pytest.mark.parametrize("seconds, text", [(0.123, "0.12 s"), (-1, "0.00 s"), (61.5, "1 min 1 s"), (3700, "1 h 1 min")])
def test_durations(seconds: float, text: str) -> None:
    """Durations are short to read."""
    assert watch._duration(seconds) == text


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(signum: signal.Signals, account: List[str], sandbox: Sandbox, start: Start) -> None:
    """In a pipe each line arrives at once, with the loss and the return. Ctrl-C and SIGTERM end it with 0, silently."""
    process = start("watch", *account)
    process.line("  connected")
    sandbox.drop_connections()
    assert "error" in process.line()
    assert "disconnected" in process.line()
    assert "connecting" in process.line()
    assert "connected" in process.line()
    process.send(signum)
    assert process.end() == 0
    assert process.errors() == ""
    assert sandbox.wait_for_connections(0)


def test_a_signal_ends_a_hanging_login(account: List[str], sandbox: Sandbox, start: Start) -> None:
    """Ctrl-C works while the login waits for the network."""
    sandbox.hang_http()
    process = start("watch", *account)
    assert sandbox.wait_until(lambda: sandbox.requests, 10)
    process.send(signal.SIGINT)
    assert process.end() == 0
    assert process.errors() == ""


def test_an_output_that_is_not_read_fills_no_memory(account: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a limited number of events waits, and all are printed once the output is read again."""
    monkeypatch.setattr(watch, "_MOST_WAITING", 5)
    put_all, read = threading.Event(), threading.Event()
    early: List[bool] = []
    printed: List[int] = []

    def listen(client: object, put: Callable[[Event], None]) -> None:
        def feed() -> None:
            for number in range(20):
                put(Event("test", {"number": number}))
            put_all.set()

        def look() -> None:
            early.append(put_all.wait(0.5))
            read.set()

        for target in (feed, look):
            threading.Thread(target=target, daemon=True).start()

    def line(screen: object, text: str) -> None:
        record = json.loads(text)
        if record["event"] == "test":
            read.wait(10)
            printed.append(record["number"])
            if record["number"] == 19:
                raise KeyboardInterrupt

    monkeypatch.setattr(watch, "listen", listen)
    monkeypatch.setattr(watch.Screen, "line", line)
    assert main(["watch", "--events", "--json", *account]) == 0
    assert printed == list(range(20)) and early == [False]


def test_a_broken_pipe_is_silent(account: List[str], sandbox: Sandbox) -> None:
    """When the reader of its output has ended, it ends with 0 and prints nothing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cometchat", "watch", *account], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        assert b"connecting" in process.stdout.readline()
        assert sandbox.wait_for_connections(1)
        process.stdout.close()
        sandbox.drop_connections()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait(20)
        process.stderr.close()
