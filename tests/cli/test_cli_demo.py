"""demo: it ends with 0 only if every step was really seen."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from cometchat import Client
from cometchat.cli import _demo as demo
from cometchat.cli import main
from cometchat.sandbox import Sandbox


def test_every_step_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo logs in, connects, loses the connection, connects again, is throttled, recovers and leaves in 8 s."""
    started = time.monotonic()
    assert main(["demo"]) == 0
    assert time.monotonic() - started < 8
    captured = capsys.readouterr()
    assert captured.err == ""
    assert re.findall(r"^(\d)\.", captured.out, re.MULTILINE) == list("1234567")
    calls = re.findall(r"^ +[\d.]+ +(on_\w+)\(\)", captured.out, re.MULTILINE)
    assert calls == [
        "on_connecting",
        "on_connected",
        "on_connection_error",
        "on_disconnected",
        "on_connecting",
        "on_connected",
        "on_feature_throttled",
        "on_connected",
        "on_disconnected",
    ]
    assert "Every step was seen" in captured.out.splitlines()[-1]
    assert "eyJ" not in captured.out, "a jwt is on the screen"


def test_times_do_not_go_back(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of a step are in the order of their times."""
    assert main(["demo"]) == 0
    for step in capsys.readouterr().out.split("\n\n"):
        times = [float(moment) for moment in re.findall(r"^ +(\d+\.\d{3})  ", step, re.MULTILINE)]
        assert times == sorted(times)


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("drop_connections", "step 3: on_connection_error() was not called in time"),
        ("set_mode", "step 5: on_feature_throttled() was not called in time"),
    ],
)
def test_a_step_that_is_not_seen_fails(
    fault: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that does not happen ends the demo with 1 and one line that names the step."""
    monkeypatch.setattr(demo, "_STEP_LIMIT", 1.5)
    monkeypatch.setattr(Sandbox, fault, lambda *args, **options: 1)
    assert main(["demo"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"cometchat demo: {reason}\n"
    assert "Every step" not in captured.out


def test_another_callback_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong callback ends the demo with 1, and with the error of that callback."""

    def refuse_too(sandbox: Sandbox, **options: Any) -> int:
        sandbox.refuse_connections()
        return drop(sandbox)

    drop = Sandbox.drop_connections
    monkeypatch.setattr(Sandbox, "drop_connections", refuse_too)
    assert main(["demo"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cometchat demo: step 4: on_connection_error() was called instead of on_connected() (WS_")


def test_a_wrong_status_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo checks the status too, not only the callbacks."""
    monkeypatch.setattr(Client, "get_connection_status", lambda client: "connecting")
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "cometchat demo: step 2: the status is connecting, not connected\n"


def test_an_error_of_the_sdk_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception of the SDK ends the demo with 1 and one line."""
    login = Client.login
    monkeypatch.setattr(Client, "login", lambda client, uid, key: login(client, "nobody", key))
    assert main(["demo"]) == 1
    assert capsys.readouterr().err.startswith("cometchat demo: ERR_UID_NOT_FOUND: ")
