"""send: delivered, waiting or refused, and the items left in the file."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from processes import Start

from cometchat import Client, CometChatException, FileSessionStore, OutboxListener, TextMessage
from cometchat.cli import _send as send
from cometchat.cli import main
from cometchat.sandbox import Sandbox

ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default file of these tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "cometchat" / "outbox.db"


@pytest.fixture
def to_other(account: List[str], outbox: Path) -> List[str]:
    """Return the command ``send`` with the sandbox's account and a receiver, without the message."""
    return ["send", "--to", OTHER, *account]


def texts(sandbox: Sandbox) -> List[Any]:
    return [message["data"].get("text") for message in sandbox.messages]


def waiting(sandbox: Sandbox, outbox: Path) -> int:
    """Return the number of the user's items in the file."""
    settings = sandbox.settings(outbox_path=outbox, auto_establish_socket_connection=False)
    with Client(sandbox.app_id, settings) as client:
        client.login_with_auth_token(sandbox.auth_token(ME))
        return client.outbox.pending() + len(client.outbox.dead_letters())


def one_line(text: str) -> str:
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text


def test_a_text_is_delivered(to_other: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the stored message's id and muid, and ends with 0."""
    assert main([*to_other, "--text", "Hello"]) == 0
    captured = capsys.readouterr()
    (stored,) = sandbox.messages
    assert captured.out == f"id {stored['id']}, muid {stored['muid']}\n"
    assert captured.err == ""
    assert (stored["receiver"], stored["receiverType"], stored["data"]["text"]) == (OTHER, "user", "Hello")


def test_delivered_is_0_without_a_reader(
    to_other: List[str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that closed the output's pipe must not send the message again."""
    for _ in range(2):  # the second one also reports an item that waited
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as output, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            assert main([*to_other, "--text", "Hello"]) == 0
        assert texts(sandbox)[-1] == "Hello"
        sandbox.refuse_upgrades(503)
        assert main([*to_other, "--text", "first", "--timeout", "0"]) == 1
        sandbox.heal()


def test_a_custom_message_to_a_group(
    account: List[str], outbox: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """--to-group, --custom-type and --data; --json prints one object."""
    sandbox.add_group("chat", "Chat", owner=ME)
    custom = ["--custom-type", "location", "--data", '{"lat": 1.5}']
    assert main(["send", "--to-group", "chat", *custom, "--json", *account]) == 0
    (stored,) = sandbox.messages
    assert (stored["receiver"], stored["receiverType"], stored["category"], stored["type"]) == (
        "chat",
        "group",
        "custom",
        "location",
    )
    assert stored["data"]["customData"] == {"lat": 1.5}
    assert json.loads(capsys.readouterr().out) == {
        "id": stored["id"],
        "muid": stored["muid"],
        "delivered_before": 0,
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed, text", [("a\nb\n", "a\nb"), ("no end", "no end")])
def test_the_text_comes_from_standard_input(
    typed: str,
    text: str,
    to_other: List[str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without --text, it reads standard input to the end. The last line break is not a part of the text."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert main(to_other) == 0
    assert texts(sandbox) == [text]
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_how_to_end_the_text(
    to_other: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal, it prints how to end the text."""
    monkeypatch.setattr(sys, "stdin", Terminal("typed\n"))
    assert main(to_other) == 0
    assert capsys.readouterr().err == "The text, then Ctrl-D:\n"


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--text", " "], "missing text"),
        ([], "missing text"),
        (["--text", "a\udcffb"], "not text in this terminal's encoding"),
        (["--text", "a", "--custom-type", "b"], "--text and --custom-type"),
        (["--custom-type", "b"], "--custom-type TYPE and --data JSON"),
        (["--data", "{}"], "--custom-type TYPE and --data JSON"),
        (["--custom-type", "", "--data", "{}"], "--custom-type is empty"),
        (["--custom-type", "b", "--data", "{"], "--data is not JSON"),
        (["--custom-type", "b", "--data", "[1]"], "must be a JSON object"),
        (["--custom-type", "b", "--data", '{"a": "\\ud800"}'], "not text in this terminal's encoding"),
        (["--custom-type", "b", "--data", "[" * 100_000], "--data is not JSON"),
        (["--text", "a", "--timeout", "-1"], "--timeout"),
        (["--text", "a", "--timeout", "nan"], "--timeout"),
    ],
)
def test_wrong_usage(
    options: List[str],
    reason: str,
    to_other: List[str],
    sandbox: Sandbox,
    outbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong message ends it with 2 and one line, before any request and any write."""
    monkeypatch.setattr(sys, "stdin", None)
    assert main([*to_other, *options]) == 2
    assert reason in one_line(capsys.readouterr().err)
    assert sandbox.requests == []
    assert not outbox.parent.exists()


def test_an_input_that_is_not_text(
    to_other: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard input that cannot be decoded ends it with 2 and one line."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    assert main(to_other) == 2
    assert "standard input is not text in utf-8" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("receiver", [[], ["--to", "a", "--to-group", "b"], ["--to", ""], ["--to-group", ""]])
def test_one_receiver(receiver: List[str], account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The command line must name exactly one receiver."""
    assert main(["send", *receiver, "--text", "a", *account]) == 2
    assert "--to" in one_line(capsys.readouterr().err)


def test_offline_it_waits_and_the_next_send_delivers_it(
    to_other: List[str], sandbox: Sandbox, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a stored login it accepts a message while the service is away, and ends with 1 and the place of the message.

    The next send delivers it.
    """
    assert main([*to_other, "--text", "first"]) == 0
    sandbox.stop()
    capsys.readouterr()
    for text, limit in (("second", "0.4"), ("third", "2")):
        started = time.monotonic()
        assert main([*to_other, "--text", text, "--timeout", limit]) == 1
        assert time.monotonic() - started < 5
        error = one_line(capsys.readouterr().err)
        assert error.startswith(f"cometchat send: not delivered within {limit} s")
        assert " s (FAILED_TO_FETCH: " in error or limit == "0.4"  # in which a busy machine makes no attempt
        assert f"waits in {outbox}: the next send, or a client with this outbox, delivers it" in error
    sandbox.start()
    assert texts(sandbox) == ["first"]
    assert main([*to_other, "--text", "fourth"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "delivered before it: 2"
    assert captured.out.splitlines()[1].startswith("id 4, muid ")
    assert captured.err == ""
    assert texts(sandbox) == ["first", "second", "third", "fourth"]
    assert waiting(sandbox, outbox) == 0


@pytest.mark.parametrize("status, code", [(500, None), (429, None), (402, "ERR_PLAN_RESTRICTION")])
def test_the_reason_is_the_services(
    to_other: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str], status: int, code: Optional[str]
) -> None:
    """The connection is up, but the service does not take the message. The error says why it still waits."""
    sandbox.fail_http(status, path="/messages", **({} if code is None else {"code": code}))
    assert main([*to_other, "--text", "Hello", "--timeout", "2"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith(f"cometchat send: not delivered within 2 s ({code or 'ERR_'}"), error
    assert "; the message waits in" in error


def test_timeout_0_does_not_wait(
    to_other: List[str], sandbox: Sandbox, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--timeout 0 accepts the message, and leaves the delivery to the next send. It ends with 1."""
    assert main([*to_other, "--text", "first"]) == 0
    sandbox.stop()
    assert main([*to_other, "--text", "second", "--timeout", "0"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("cometchat send: not delivered yet") and f"; the message waits in {outbox}: " in error
    sandbox.start()
    assert waiting(sandbox, outbox) == 1


def test_a_client_with_that_outbox_delivers_it(
    account: List[str], to_other: List[str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """--outbox names the file. A client of the same user with that file delivers the waiting items."""
    path = tmp_path / "own" / "file.db"
    assert main([*to_other, "--text", "first", "--outbox", str(path)]) == 0
    sandbox.stop()
    assert main([*to_other, "--text", "second", "--outbox", str(path), "--timeout", "0.2"]) == 1
    sandbox.start()
    with Client(sandbox.app_id, sandbox.settings(outbox_path=path)) as client:
        client.login(ME, sandbox.auth_key)
        client.connect()
        assert client.outbox.flush(timeout=10)
    assert texts(sandbox) == ["first", "second"]


@pytest.mark.parametrize(
    "break_service, code",
    [
        (Sandbox.stop, "FAILED_TO_FETCH"),
        (lambda sandbox: sandbox.fail_http(429, retry_after=7), "ERR_TOO_MANY_REQUESTS"),
        (lambda sandbox: sandbox.fail_http(403, code="ERR_SUBSCRIPTION_EXPIRED"), "ERR_SUBSCRIPTION_EXPIRED"),
    ],
)
def test_the_first_login_needs_the_service(
    to_other: List[str],
    sandbox: Sandbox,
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    break_service: Callable[[Sandbox], None],
    code: str,
) -> None:
    """Without a login it accepts nothing, and prints one line that says so."""
    break_service(sandbox)
    assert main([*to_other, "--text", "Hello", "--timeout", "1"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith(f"cometchat send: the first login failed, the message was not taken: {code}: ")
    assert not outbox.exists()


def test_a_refused_login(to_other: List[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong key ends it with 1 and one line with the service's code. The key is not shown."""
    secret = "s3cr3t-of-a-user"
    to_other[to_other.index("--auth-key") + 1] = secret
    assert main([*to_other, "--text", "Hello"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("cometchat send: the first login failed, the message was not taken: AUTH_ERR_")
    assert secret not in error


@pytest.mark.parametrize(
    "receiver, code", [(["--to", "nobody"], "ERR_UID_NOT_FOUND"), (["--to-group", "none"], "ERR_GUID_NOT_FOUND")]
)
def test_refused_for_good(
    receiver: List[str],
    code: str,
    account: List[str],
    sandbox: Sandbox,
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A message that the service will never accept ends it with 1 and the service's code.

    It does not stay in the file.
    """
    assert main(["send", *receiver, "--text", "Hello", *account]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("cometchat send: refused for good: ") and code in error
    assert waiting(sandbox, outbox) == 0


def test_something_that_waited_is_refused(
    account: List[str], to_other: List[str], sandbox: Sandbox, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A waiting item that is now refused is reported on standard error.

    It stays as a dead letter, and does not stop the new one.
    """
    assert main([*to_other, "--text", "first"]) == 0
    sandbox.stop()
    assert main(["send", "--to", "nobody", "--text", "lost", "--timeout", "0", *account]) == 1
    sandbox.start()
    capsys.readouterr()
    assert main([*to_other, "--text", "second"]) == 0
    captured = capsys.readouterr()
    error = one_line(captured.err)
    assert error.startswith("cometchat send: something that waited was refused for good: ERR_UID_NOT_FOUND: ")
    assert captured.out.startswith("id 2, muid ")
    assert waiting(sandbox, outbox) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk, as Linux imitates it")
def test_a_refusal_that_can_not_be_reported_stops_no_message(
    account: List[str], to_other: List[str], sandbox: Sandbox, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new message is delivered although a full disk is under standard error."""
    assert main([*to_other, "--text", "first"]) == 0
    sandbox.refuse_connections()
    assert main(["send", "--to", "nobody", "--text", "lost", "--timeout", "0", *account]) == 1
    sandbox.accept_connections()
    with open("/dev/full", "w", buffering=1) as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", full)
        assert main([*to_other, "--text", "second"]) == 0
    assert texts(sandbox) == ["first", "second"]


def test_the_kept_login_is_used(account: List[str], to_other: List[str], sandbox: Sandbox) -> None:
    """A second send logs in with the stored session, without a new auth token. Another user has another session."""
    assert main([*to_other, "--text", "first"]) == 0
    assert main([*to_other, "--text", "second", "--uid", ME.upper()]) == 0
    logins = [request.path for request in sandbox.requests if "auth_tokens" in request.path]
    assert logins == [f"/users/{ME}/auth_tokens"]
    assert main([*to_other, "--text", "third", "--uid", "cometchat-uid-3"]) == 0
    assert [message["sender"] for message in sandbox.messages] == [ME, ME, "cometchat-uid-3"]


def test_a_kept_login_that_is_void_is_replaced(to_other: List[str], sandbox: Sandbox) -> None:
    """If the service no longer knows the stored login, the key logs in again, and the message is sent."""
    assert main([*to_other, "--text", "first"]) == 0
    assert sandbox.revoke_tokens() == 1
    assert main([*to_other, "--text", "second"]) == 0
    assert texts(sandbox) == ["first", "second"]


def test_a_kept_login_and_the_credential_are_void(
    to_other: List[str], sandbox: Sandbox, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the new login fails too, the message is kept, and the line has the service's code."""
    assert main([*to_other, "--text", "first"]) == 0
    sandbox.revoke_tokens()
    to_other[to_other.index("--auth-key") + 1] = "another-key"
    capsys.readouterr()
    assert main([*to_other, "--text", "second"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("cometchat send: the login failed (AUTH_ERR_")
    assert f"the message waits in {outbox}" in error


def test_a_refused_jwt_leaves_it_waiting(
    to_other: List[str], sandbox: Sandbox, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the SDK stops trying right after a login, send stops at once. The message is kept."""
    sandbox.refuse_auth()
    started = time.monotonic()
    assert main([*to_other, "--text", "first", "--timeout", "30"]) == 1
    assert time.monotonic() - started < 15
    error = one_line(capsys.readouterr().err)
    assert error.startswith("cometchat send: the client stopped trying (WS_AUTH_FAIL: ")
    sandbox.heal()
    assert waiting(sandbox, outbox) == 1


def test_a_loss_while_it_waits(to_other: List[str], sandbox: Sandbox, start: Start) -> None:
    """If the connection is lost and comes back before the service has accepted the message, it is still delivered."""
    sandbox.fail_http(503, path="/messages")
    process = start(*to_other, "--text", "Hello", "--timeout", "20", "--debug")
    assert sandbox.wait_until(lambda: [r for r in sandbox.requests if r.path.startswith("/messages")], 10)
    sandbox.drop_connections()
    assert sandbox.wait_for_attempts(2, 10)
    sandbox.heal()
    assert process.line().startswith("id 1, muid ")
    assert process.end() == 0


def test_an_interrupt_keeps_the_message(to_other: List[str], sandbox: Sandbox, outbox: Path, start: Start) -> None:
    """Ctrl-C during the wait ends it with 1, and the line says where the message is."""
    sandbox.refuse_upgrades(503)
    process = start(*to_other, "--text", "Hello", "--timeout", "600")
    # The first attempt runs while the message is still being put.
    assert sandbox.wait_until(lambda: waiting(sandbox, outbox) == 1 and len(sandbox.attempts) > 1, 20)
    process.send(signal.SIGINT)
    assert process.end() == 1
    assert one_line(process.errors()).startswith("cometchat send: interrupted")
    sandbox.heal()
    assert waiting(sandbox, outbox) == 1


def test_an_interrupt_right_after_it_was_taken(
    to_other: List[str], outbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C between the outbox and the wait also says where the message is. Before, it was not taken."""

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Client, "connect", interrupted)
        assert main([*to_other, "--text", "Hello"]) == 1
    assert f"interrupted; the message waits in {outbox}" in one_line(capsys.readouterr().err)
    monkeypatch.setattr(Client, "get_logged_in_user", lambda client: None)
    monkeypatch.setattr(Client, "login", interrupted)
    assert main([*to_other, "--text", "Hello"]) == 1
    assert capsys.readouterr().err == ""


def test_a_file_that_can_not_be_used(to_other: List[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not an outbox, or cannot be created, ends it with 1 and one line. A folder is wrong usage."""
    nothing = tmp_path / "nothing.db"
    nothing.write_text("not a database " * 100)
    assert main([*to_other, "--text", "a", "--outbox", str(nothing)]) == 1
    assert "ERR_OUTBOX_STORE" in one_line(capsys.readouterr().err)
    assert main([*to_other, "--text", "a", "--outbox", str(nothing / "below")]) == 1
    assert "ERR_OUTBOX_STORE" in one_line(capsys.readouterr().err)
    assert main([*to_other, "--text", "a", "--outbox", str(tmp_path)]) == 2
    assert "outbox_path" in one_line(capsys.readouterr().err)


def test_a_file_that_breaks_while_it_waits(
    to_other: List[str], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """An outbox that fails after it has accepted the message ends send at once, with its error."""

    def broken(outbox: object, timeout: object = None) -> bool:
        raise CometChatException("ERR_OUTBOX_STORE", "disk I/O error")

    sandbox.refuse_upgrades(503)
    monkeypatch.setattr("cometchat.Outbox.flush", broken)
    assert main([*to_other, "--text", "a", "--timeout", "30"]) == 1
    assert one_line(capsys.readouterr().err) == "cometchat send: ERR_OUTBOX_STORE: disk I/O error\n"


def deliver_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process get no result, as if another process with the same outbox delivered the items."""
    monkeypatch.setattr(send, "OutboxListener", lambda **callbacks: OutboxListener())


def test_another_process_delivers_it(
    to_other: List[str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If another process that shares the file has sent it, send prints the muid and ends with 0."""
    deliver_elsewhere(monkeypatch)
    assert main([*to_other, "--text", "Hello"]) == 0
    (stored,) = sandbox.messages
    assert capsys.readouterr().out == f"another process has delivered it, muid {stored['muid']}\n"
    assert main([*to_other, "--text", "Hello", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] is None


def test_another_process_is_refused(
    account: List[str], outbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If another process got the refusal, send finds the item among the dead letters."""
    deliver_elsewhere(monkeypatch)
    assert main(["send", "--to", "nobody", "--text", "Hello", *account]) == 1
    assert one_line(capsys.readouterr().err).startswith("cometchat send: refused for good: ERR_UID_NOT_FOUND: ")


def test_files_are_the_user_s_own(to_other: List[str], outbox: Path) -> None:
    """The folder is for the user alone, and so is each file in it: outbox, locks, login."""
    assert main([*to_other, "--text", "Hello"]) == 0
    assert stat.S_IMODE(outbox.parent.stat().st_mode) == 0o700
    modes: Dict[str, int] = {path.name: stat.S_IMODE(path.stat().st_mode) for path in outbox.parent.iterdir()}
    assert len([name for name in modes if name.endswith(".session")]) == 1
    assert set(modes.values()) == {0o600}


def test_the_file_may_be_in_the_home_folder(
    to_other: List[str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A ``~`` that the shell has left in --outbox is expanded, as in ``watch``. The login is kept beside the file."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main([*to_other, "--text", "Hello", "--outbox=~/outbox.db"]) == 0
    assert (tmp_path / "home" / "outbox.db").exists() and not (tmp_path / "~").exists()
    assert len(list((tmp_path / "home").glob("*.session"))) == 1
    sandbox.refuse_connections()
    assert main([*to_other, "--text", "b", "--outbox=~/outbox.db", "--timeout", "0"]) == 1
    assert f"waits in {tmp_path / 'home' / 'outbox.db'}:" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("home, folder", [("/state", "/state"), ("relative", None), ("", None)])
def test_the_default_file(home: str, folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file is in $XDG_STATE_HOME if that is an absolute path, or else in ~/.local/state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", home)
    expected = folder or str(tmp_path / ".local" / "state")
    assert send.default_outbox() == os.path.join(expected, "cometchat", "outbox.db")


def test_another_service_has_another_login(sandbox: Sandbox, outbox: Path, account: List[str]) -> None:
    """The login of one service is not used for another service with the same app id."""
    assert main(["send", "--to", OTHER, "--text", "a", *account]) == 0
    with Sandbox() as second:
        at_second = ["--app-id", second.app_id, "--uid", ME, "--auth-key", second.auth_key]
        at_second += ["--admin-host", second.url, "--client-host", second.url]
        assert main(["send", "--to", OTHER, "--text", "b", *at_second]) == 0
        assert texts(second) == ["b"]
    assert len(list(outbox.parent.glob("*.session"))) == 2
    assert all(FileSessionStore(path).load() for path in outbox.parent.glob("*.session"))


def test_two_at_once(to_other: List[str], sandbox: Sandbox, outbox: Path, start: Start) -> None:
    """Several sends at once share the file, and each message is stored once."""
    assert main([*to_other, "--text", "0"]) == 0
    processes = [start(*to_other, "--text", str(number), "--timeout", "30") for number in range(1, 5)]
    assert [process.end() for process in processes] == [0, 0, 0, 0]
    assert sorted(texts(sandbox)) == ["0", "1", "2", "3", "4"]
    assert waiting(sandbox, outbox) == 0


def test_a_message_of_a_client_goes_first(to_other: List[str], sandbox: Sandbox, outbox: Path) -> None:
    """Items that a client has left in the file are delivered before the new message."""
    settings = sandbox.settings(outbox_path=outbox, auto_establish_socket_connection=False)
    with Client(sandbox.app_id, settings) as client:
        client.login(ME, sandbox.auth_key)
        client.outbox.put(TextMessage(text="left", receiver_id=OTHER, receiver_type="user"))
    assert main([*to_other, "--text", "new"]) == 0
    assert texts(sandbox) == ["left", "new"]
