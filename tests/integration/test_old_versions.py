"""Files that earlier versions have written, and files of a newer one, are read: a deploy loses and repeats nothing."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import List

import old_versions
import pytest

from cometchat import FileSessionStore, MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party, eventually


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """The outbox of version 0.1.0."""
    return database(tmp_path / "outbox.db", old_versions.OUTBOX.replace("TIME", str(time.time())))


def database(path: Path, content: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(content)
    return path


def texts(sandbox: Sandbox) -> List[str]:
    return [message["data"].get("text", message["type"]) for message in sandbox.messages]


def test_the_login_and_the_outbox_of_version_0_1_0(
    sandbox: Sandbox, party: Party, tmp_path: Path, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The session is taken up, without the token for media files. Every item is sent, in order."""
    sandbox.send_message(OTHER_UID, UID, "parent")
    session = tmp_path / "session.json"
    session.write_text(old_versions.SESSION.replace("TOKEN", sandbox.auth_token(UID)), encoding="utf-8")
    session.chmod(0o600)
    client = party.client(session_store=FileSessionStore(session), outbox_path=outbox)
    user = client.get_logged_in_user()
    assert user is not None and (user.uid, user.name) == (UID, "Andrew Joseph") and "fat" not in user.raw
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert texts(sandbox) == ["parent", "first", "order", "reply"]
    order, reply = sandbox.messages[2:]
    assert order["data"]["customData"] == {"items": [1]} and order["data"]["metadata"] == {"k": ["v"]}
    assert order["muid"] == "muid-2" and order["tags"] == ["t"] and str(reply["parentId"]) == "1"
    receipt = f"/users/{OTHER_UID}/conversation/read"
    assert [request.status for request in sandbox.requests if request.path == receipt] == [200]
    (dead,) = client.outbox.dead_letters()
    assert isinstance(dead.message, TextMessage) and (dead.message.text, dead.error.code) == (
        "refused",
        "ERR_UID_NOT_FOUND",
    )
    assert client.outbox.retry(dead.muid)
    assert not [record for record in caplog.records if record.name == "cometchat.session"]


def test_a_session_of_a_newer_version(
    sandbox: Sandbox, party: Party, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a deploy that is taken back, unknown fields do no harm. An unknown format is a warning, and a new login."""
    session = tmp_path / "session.json"
    content = old_versions.SESSION.replace("TOKEN", sandbox.auth_token(UID)).replace("{", '{"more": [1], ', 1)
    for written, user in ((content, UID), (content.replace('"format": 1', '"format": 2'), None)):
        session.write_text(written, encoding="utf-8")
        session.chmod(0o600)
        client = party.client(session_store=FileSessionStore(session), auto_establish_socket_connection=False)
        resumed = client.get_logged_in_user()
        assert (resumed and resumed.uid) == user
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "cometchat.session"]
    assert "no session of app sandbox-app that this version can read" in warning
    client.login(UID, sandbox.auth_key)
    assert FileSessionStore(session).load()["format"] == 1  # type: ignore[index]


@pytest.mark.skipif(sys.platform == "win32", reason="the lock is another one there")
def test_a_process_of_version_0_1_0_keeps_its_turn(sandbox: Sandbox, party: Party, outbox: Path) -> None:
    """In a deploy both versions use one outbox: one of them sends, and the other one follows."""
    import fcntl

    with open(f"{outbox}{old_versions.OUTBOX_LOCK}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client, _ = party.connected(outbox_path=outbox)
        client.outbox.put(TextMessage(text="last", receiver_id=OTHER_UID, receiver_type="user"))
        assert not client.outbox.flush(0.5) and texts(sandbox) == []
    assert client.outbox.flush(DEADLINE)
    assert texts(sandbox)[-1] == "last"


def test_an_outbox_of_a_newer_version(sandbox: Sandbox, party: Party, outbox: Path) -> None:
    """After a deploy that is taken back, an item of an unknown kind is a dead letter. The others are sent."""
    database(
        outbox,
        "ALTER TABLE items ADD COLUMN more TEXT;"
        "INSERT INTO items (app_id, uid, kind, muid, body, put_at)"
        " VALUES ('sandbox-app', 'cometchat-uid-1', 'later', 'muid-9', '{\"receiver\": \"x\"}', 1.0);",
    )
    client, _ = party.connected(outbox_path=outbox)
    assert client.outbox.flush(DEADLINE)
    assert texts(sandbox)[:2] == ["first", "order"]
    assert "muid-9" in [dead.muid for dead in client.outbox.dead_letters()]


def test_the_first_inbox(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Messages 3 and 4 were handled. The client delivers those after them."""
    inbox = database(tmp_path / "inbox.db", old_versions.INBOX)
    for number in range(1, 7):
        sandbox.send_message(OTHER_UID, UID, f"message {number}")
    got: List[str] = []
    client = party.client(inbox_path=inbox)
    client.add_message_listener(MessageListener(on_text_message_received=lambda message: got.append(message.text)))
    client.login(UID, sandbox.auth_key)
    assert eventually(lambda: len(got) == 2, DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "message 7")
    assert eventually(lambda: len(got) == 3, DEADLINE)
    assert got == ["message 5", "message 6", "message 7"]
