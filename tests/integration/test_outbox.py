"""``Client.outbox`` from outside: items that are put while offline arrive once the connection is up."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import pytest

from cometchat import (
    BaseMessage,
    Client,
    CometChat,
    CometChatException,
    CustomMessage,
    FileSessionStore,
    MessageListener,
    MessageReceipt,
    OutboxListener,
    TextMessage,
    User,
)
from cometchat._runtime.messages._sender import Sender
from cometchat._runtime.outbox import Item, OutboxDelivery, OutboxStore, _store
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, LoginRecorder, Party, eventually, finished, in_thread

Result = Tuple[str, Union[BaseMessage, MessageReceipt], Any]


class Results(OutboxListener):
    """Keeps its results."""

    def __init__(self) -> None:
        self.results: List[Result] = []
        self._changed = threading.Condition()

    def on_delivered(self, message: Union[BaseMessage, MessageReceipt]) -> None:
        self._note(("delivered", message, None))

    def on_failed(self, message: Union[BaseMessage, MessageReceipt], error: CometChatException) -> None:
        self._note(("failed", message, error))

    def _note(self, result: Result) -> None:
        with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def wait_for(self, count: int) -> List[Result]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.results) >= count, DEADLINE)
        return self.results


def text(value: str, **more: Any) -> TextMessage:
    return TextMessage(**{"receiver_id": OTHER_UID, "receiver_type": "user", "text": value, **more})


def received(**more: Any) -> TextMessage:
    """Return a message as a listener gets it, or a broken one."""
    return TextMessage(**{"id": "5", "sender": User(OTHER_UID), "receiver_id": UID, "receiver_type": "user", **more})


def stored(sandbox: Sandbox) -> List[str]:
    return [message["data"].get("text", "") for message in sandbox.messages]


def offline(sandbox: Sandbox, party: Party, **overrides: Any) -> Client:
    """Return a client that is logged in and not connected."""
    client = party.client(auto_establish_socket_connection=False, **overrides)
    client.login(UID, sandbox.auth_key)
    return client


def in_files(folder: Path) -> Dict[str, Any]:
    """Return settings with which the next client continues with this one's login and outbox."""
    return {"outbox_path": folder / "o.db", "session_store": FileSessionStore(folder / "session.json")}


def test_put_while_offline(sandbox: Sandbox, party: Party) -> None:
    """Messages wait without a connection, and arrive in order once there is one. The listener gets each result."""
    client, heard = offline(sandbox, party), Results()
    client.add_outbox_listener("heard", heard)
    muids = [client.outbox.put(text(str(number))) for number in range(5)]
    assert client.outbox.pending() == 5
    assert not client.outbox.flush(0.05)
    assert stored(sandbox) == []
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert client.outbox.pending() == 0
    assert stored(sandbox) == ["0", "1", "2", "3", "4"]
    results = heard.wait_for(5)
    assert [(what, message.muid) for what, message, _ in results if isinstance(message, TextMessage)] == [
        ("delivered", muid) for muid in muids
    ]
    assert isinstance(results[0][1], TextMessage) and results[0][1].id == sandbox.messages[0]["id"]


def test_put_while_connected(sandbox: Sandbox, party: Party) -> None:
    """With a connection a message is sent at once, also a custom message, with its data."""
    client, _ = party.connected()
    client.outbox.put(
        CustomMessage(receiver_id=OTHER_UID, receiver_type="user", type="location", custom_data={"lat": 1}, muid="m-1")
    )
    assert client.outbox.flush(DEADLINE)
    (message,) = sandbox.messages
    assert (message["category"], message["type"], message["muid"]) == ("custom", "location", "m-1")
    assert message["data"]["customData"] == {"lat": 1}


def test_any_text_is_taken(sandbox: Sandbox, party: Party) -> None:
    """The outbox accepts everything that send_message accepts, also half a surrogate pair in the metadata."""
    client, _ = party.connected()
    client.outbox.put(text("a", metadata={"\ud800": ["\udfff", "\x00"]}, tags=("\ud800",)))
    assert client.outbox.flush(DEADLINE)
    assert sandbox.messages[0]["data"]["metadata"] == {"\ud800": ["\udfff", "\x00"]}


def test_a_lost_answer_makes_no_second_message(sandbox: Sandbox, party: Party) -> None:
    """The service stores a message and its answer is lost. It is sent again with the same muid, and stored once."""
    client, _ = party.connected()
    sandbox.fail_http(503, times=2, path="/messages")
    client.outbox.put(text("once", muid="m-1"))
    client.outbox.put(text("then"))
    assert client.outbox.flush(DEADLINE)
    client.outbox.put(text("once", muid="m-1"))
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["once", "then"]


def test_poison_goes_to_the_dead_letters(sandbox: Sandbox, party: Party) -> None:
    """A message to an unknown user is a dead letter with its error. The others are sent, and it can be tried again."""
    client, heard = offline(sandbox, party), Results()
    client.add_outbox_listener("heard", heard)
    client.outbox.put(text("a"))
    muid = client.outbox.put(text("lost", receiver_id="nobody"))
    client.outbox.put(text("b"))
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["a", "b"]
    assert [what for what, _, _ in heard.wait_for(3)] == ["delivered", "failed", "delivered"]
    assert heard.results[1][2].code == "ERR_UID_NOT_FOUND"
    (dead,) = client.outbox.dead_letters()
    assert client.stats().dead_letters == 1
    assert (dead.muid, dead.error.code) == (muid, "ERR_UID_NOT_FOUND")
    assert isinstance(dead.message, TextMessage) and dead.message.text == "lost"
    assert dead.failed_at >= dead.put_at > 0
    sandbox.add_user("nobody", "Somebody")
    assert client.outbox.retry(muid)
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["a", "b", "lost"]
    assert client.outbox.dead_letters() == []
    assert not client.outbox.retry(muid) and not client.outbox.discard(muid)


def test_a_dead_letter_can_be_forgotten(sandbox: Sandbox, party: Party) -> None:
    """discard() removes a dead letter."""
    client, _ = party.connected()
    muid = client.outbox.put(text("lost", receiver_id="nobody"))
    assert client.outbox.flush(DEADLINE)
    assert client.outbox.discard(muid)
    assert client.outbox.dead_letters() == []


def test_full(sandbox: Sandbox, party: Party) -> None:
    """One message more than ``outbox_max_items`` is ERR_OUTBOX_FULL."""
    client = offline(sandbox, party, outbox_max_items=2)
    client.outbox.put(text("a"))
    client.outbox.put(text("b"))
    with pytest.raises(CometChatException) as caught:
        client.outbox.put(text("c"))
    assert caught.value.code == "ERR_OUTBOX_FULL"
    assert client.outbox.pending() == 2


def test_receipts(sandbox: Sandbox, party: Party) -> None:
    """A receipt put while offline reaches the sender of the message. While throttled it waits, and messages do not."""
    receipts: List[MessageReceipt] = []
    came = threading.Semaphore(0)

    class Other(MessageListener):
        def on_messages_delivered(self, message_receipt: MessageReceipt) -> None:
            receipts.append(message_receipt)
            came.release()

        def on_messages_read(self, message_receipt: MessageReceipt) -> None:
            receipts.append(message_receipt)
            came.release()

    other = party.client()
    other.add_message_listener("other", Other())
    other.login(OTHER_UID, sandbox.auth_key)
    other.connect(DEADLINE)
    message = other.send_message(text("hello", receiver_id=UID))
    client, heard = offline(sandbox, party, settings_refresh_interval=0.05), Results()
    client.add_outbox_listener("heard", heard)
    client.outbox.mark_as_delivered(message)
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert came.acquire(timeout=DEADLINE)
    assert isinstance(heard.wait_for(1)[0][1], MessageReceipt)
    sandbox.set_mode("LIMITED_TRANSIENT")
    assert client.wait_for_status("featureThrottled", DEADLINE)
    client.outbox.mark_as_read(message)
    client.outbox.put(text("goes on"))
    assert isinstance(heard.wait_for(2)[1][1], TextMessage)
    assert client.outbox.pending() == 1
    sandbox.set_mode("DEFAULT")
    assert client.outbox.flush(DEADLINE)
    assert came.acquire(timeout=DEADLINE)
    assert [(receipt.receipt_type, receipt.message_id) for receipt in receipts] == [
        ("delivered", message.id),
        ("read", message.id),
    ]


def test_each_user_has_an_outbox(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """The items of one user wait for that user, even if another user logs in with the same file."""
    client = offline(sandbox, party, outbox_path=tmp_path / "o.db")
    client.outbox.put(text("of the first"))
    client.logout()
    client.login(OTHER_UID, sandbox.auth_key)
    assert client.outbox.pending() == 0
    client.outbox.put(text("of the second", receiver_id=UID))
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["of the second"]
    client.login(UID, sandbox.auth_key)
    assert client.outbox.pending() == 1
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert [(message["sender"], message["data"]["text"]) for message in sandbox.messages] == [
        (OTHER_UID, "of the second"),
        (UID, "of the first"),
    ]


def test_it_survives_the_client(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """A client that ends offline leaves its messages in the file. The next one sends them, without another put()."""
    settings = in_files(tmp_path)
    first = offline(sandbox, party, **settings)
    first.outbox.put(text("kept"))
    first.close()
    second = party.client(**settings)
    second.connect(DEADLINE)
    assert second.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["kept"]


def test_two_clients_share_a_file(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Two connected clients of one user put into one file at once. Everything arrives once, in each client's order."""
    clients = [party.connected(outbox_path=tmp_path / "o.db")[0] for _ in range(2)]

    def work(client: Client, name: str) -> None:
        for number in range(40):
            client.outbox.put(text(f"{name}{number}"))

    threads = [threading.Thread(target=work, args=pair, name="test-putter") for pair in zip(clients, "ab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    for client in clients:
        assert client.outbox.flush(DEADLINE)
    texts = stored(sandbox)
    assert len(texts) == 80
    for name in "ab":
        assert [value for value in texts if value[0] == name] == [f"{name}{number}" for number in range(40)]


def test_a_revoked_token_keeps_the_items(sandbox: Sandbox, party: Party) -> None:
    """A void auth token ends the login, and makes no dead letters. After a new login everything arrives."""
    client, _ = party.connected()
    logins = LoginRecorder()
    client.add_login_listener("logins", logins)
    sandbox.revoke_tokens()
    client.outbox.put(text("kept"))
    logins.wait_for("logout_success")
    client.login(UID, sandbox.auth_key)
    assert client.outbox.dead_letters() == []
    client.connect(DEADLINE)
    client.outbox.put(text("more"))
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["kept", "more"]


def test_a_login_with_a_new_token_continues_the_outbox(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """The service refuses the auth token of a connection that stays up. The next login sends the items at once."""
    client, _ = party.connected()
    sandbox.fail_http(401, code="ERR_AUTHTOKEN_UNAVAILABLE")
    client.outbox.put(text("kept"))
    assert eventually(lambda: "stops until the next login" in caplog.text)
    sandbox.heal()
    client.login(UID, sandbox.auth_key)
    assert eventually(lambda: stored(sandbox) == ["kept"])
    assert len(sandbox.attempts) == 1


def test_from_inside_a_callback(sandbox: Sandbox, party: Party) -> None:
    """put() and pending() may be called from inside a callback."""
    client, heard = offline(sandbox, party), Results()
    counts: List[int] = []

    class Answering(OutboxListener):
        def on_delivered(self, message: Union[BaseMessage, MessageReceipt]) -> None:
            if len(counts) < 3:
                client.outbox.put(text(f"answer {len(counts)}"))
                counts.append(client.outbox.pending())

    client.add_outbox_listener("answering", Answering())
    client.add_outbox_listener("heard", heard)
    client.outbox.put(text("first"))
    client.connect(DEADLINE)
    heard.wait_for(4)
    assert stored(sandbox) == ["first", "answer 0", "answer 1", "answer 2"]


def test_the_facade_has_it_too(sandbox: Sandbox, facade: None) -> None:
    """``CometChat.outbox`` is the shared client's. Before init it raises like every call."""
    with pytest.raises(CometChatException) as caught:
        CometChat.outbox.pending()
    assert caught.value.code == "COMETCHAT_INITIALIZATION_NOT_DONE"
    heard = Results()
    CometChat.add_outbox_listener("heard", heard)
    CometChat.init(sandbox.app_id, sandbox.settings())
    CometChat.login(UID, sandbox.auth_key)
    CometChat.outbox.put(text("hello"))
    CometChat.connect(DEADLINE)
    assert CometChat.outbox.flush(DEADLINE)
    heard.wait_for(1)
    CometChat.remove_outbox_listener("heard")
    CometChat.outbox.put(text("unheard"))
    assert CometChat.outbox.flush(DEADLINE)
    assert len(heard.results) == 1


def test_items_in_memory_that_end_are_logged(sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture) -> None:
    """The close of a client with items in memory logs a warning that says how to keep them. A second close does not."""
    client = offline(sandbox, party)
    client.outbox.put(text("lost"))
    client.close()
    client.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "outbox_path" in warnings[0] and "1 item" in warnings[0]
    with pytest.raises(CometChatException) as caught:
        client.outbox.put(text("late"))
    assert caught.value.code == "ERR_CLIENT_CLOSED"


CALLS: List[Callable[[Client], Any]] = [
    lambda client: client.outbox.put(text("a")),
    lambda client: client.outbox.mark_as_read(TextMessage(id="1")),
    lambda client: client.outbox.pending(),
    lambda client: client.outbox.flush(1),
    lambda client: client.outbox.dead_letters(),
    lambda client: client.outbox.retry("m"),
    lambda client: client.outbox.discard("m"),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_before_the_login(party: Party, number: int) -> None:
    """Without a logged-in user the outbox has no owner."""
    with pytest.raises(CometChatException) as caught:
        CALLS[number](party.client())
    assert caught.value.code == "USER_NOT_LOGGED_IN"


@pytest.mark.parametrize(
    "call, code, name",
    [
        (lambda outbox: outbox.put(None), "MISSING_PARAMETERS", "message"),
        (lambda outbox: outbox.put("text"), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.put(BaseMessage()), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.put(text("")), "MISSING_PARAMETERS", "text"),
        (lambda outbox: outbox.put(text("a", receiver_id=None)), "MISSING_PARAMETERS", "receiver_id"),
        (lambda outbox: outbox.put(text("a", receiver_type="crowd")), "INVALID_RECEIVER_TYPE", "receiver_type"),
        (lambda outbox: outbox.put(text("a", metadata={"a": object()})), "INVALID_METADATA", "metadata"),
        (lambda outbox: outbox.mark_as_read("1"), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(TextMessage()), "MISSING_PARAMETERS", "message"),
        (lambda outbox: outbox.mark_as_read(received(id="\ud800")), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(received(id={1})), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(received(sender={"uid": "u"})), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(received(sender=User(5))), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(received(sender="..")), "INVALID_MESSAGE", "message"),
        (lambda outbox: outbox.mark_as_read(received(receiver_type=["user"])), "MISSING_PARAMETERS", "message"),
        (lambda outbox: outbox.flush(-1), "INVALID_TIMEOUT", "timeout"),
        (lambda outbox: outbox.flush("1"), "INVALID_TIMEOUT", "timeout"),
        (lambda outbox: outbox.retry(""), "MISSING_PARAMETERS", "muid"),
        (lambda outbox: outbox.discard(5), "INVALID_MUID", "muid"),
    ],
)
def test_wrong_arguments(sandbox: Sandbox, party: Party, call: Callable[[Any], Any], code: str, name: str) -> None:
    """A wrong argument names itself, and nothing is put."""
    client = offline(sandbox, party)
    with pytest.raises(CometChatException) as caught:
        call(client.outbox)
    assert (caught.value.code, caught.value.name) == (code, name)
    assert client.outbox.pending() == 0


def test_no_thread_without_need(sandbox: Sandbox, party: Party) -> None:
    """A client that never puts an item has no outbox thread."""
    party.connected()
    assert not any(thread.name.startswith("cometchat-outbox") for thread in threading.enumerate())


# Between one call and another.


def posts(sandbox: Sandbox) -> int:
    return len([request for request in sandbox.requests if (request.method, request.path) == ("POST", "/messages")])


def test_close_reports_a_sent_item(sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is closed while the answer is on its way. on_delivered has been called when close() returns."""
    stored_there, closing = threading.Event(), threading.Event()
    post, close = Sender.send_message, OutboxDelivery.close

    def post_slowly(sender: Sender, body: Dict[str, Any], uid: str) -> BaseMessage:
        answer = post(sender, body, uid)
        stored_there.set()
        closing.wait(DEADLINE)
        threading.Event().wait(0.1)  # the answer arrives during close()
        return answer

    def note(delivery: OutboxDelivery) -> None:
        close(delivery)
        closing.set()

    monkeypatch.setattr(Sender, "send_message", post_slowly)
    monkeypatch.setattr(OutboxDelivery, "close", note)
    client, heard = party.connected()[0], Results()
    client.add_outbox_listener("heard", heard)
    client.outbox.put(text("sent"))
    assert stored_there.wait(DEADLINE)
    client.close()
    heard.wait_for(1)
    assert (stored(sandbox), [what for what, _, _ in heard.results]) == (["sent"], ["delivered"])


def test_an_answer_that_comes_after_close(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """close() does not wait for a slow answer.

    Once the answer arrives, the item is recorded as sent, and is not sent again.
    """
    settings = in_files(tmp_path)
    client, _ = party.connected(**settings)
    sandbox.set_latency(1.0)
    client.outbox.put(text("slow"))
    assert sandbox.wait_until(lambda: sandbox.messages, DEADLINE)
    client.close()
    sandbox.heal()
    assert eventually(lambda: not any(thread.name.startswith("cometchat-outbox") for thread in threading.enumerate()))
    second = party.client(**settings)
    assert second.outbox.pending() == 0
    assert posts(sandbox) == 1


def test_a_file_that_is_locked_after_the_send(
    sandbox: Sandbox, party: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program locks the file for long, while a sent item must be removed. The item is sent once."""
    monkeypatch.setattr(_store, "_BUSY", 0.02)
    client, heard = party.connected(outbox_path=tmp_path / "o.db")[0], Results()
    client.add_outbox_listener("heard", heard)
    other = sqlite3.connect(tmp_path / "o.db", isolation_level=None, timeout=DEADLINE, check_same_thread=False)
    real, tries = OutboxStore.remove, []

    def remove(store: OutboxStore, item: Item) -> None:
        if not tries:
            other.execute("BEGIN IMMEDIATE")
        tries.append(item)
        real(store, item)

    monkeypatch.setattr(OutboxStore, "remove", remove)
    client.outbox.put(text("once"))
    heard.wait_for(1)
    assert eventually(lambda: len(tries) >= 3)
    assert client.outbox.pending() == 0  # it is sent, though its row is still there
    other.execute("ROLLBACK")
    other.close()
    assert client.outbox.flush(DEADLINE)
    assert (posts(sandbox), len(heard.results)) == (1, 1)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no signals for threads")
def test_a_call_in_a_signal_handler(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """A handler calls put() during put() on the main thread. Each call accepts or raises, and neither hangs."""
    client, _ = party.connected(outbox_path=tmp_path / "o.db")
    taken, refused = [], []

    def handle(*_: object) -> None:
        try:
            taken.append(client.outbox.put(text("of the handler")))
        except CometChatException as error:
            refused.append(error)

    main, ended = threading.main_thread().ident, threading.Event()
    assert main is not None

    def interrupt() -> None:
        while not ended.wait(0.002):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    thread, outcome = in_thread(interrupt)
    try:
        for number in range(200):
            client.outbox.put(text(str(number)))
            client.outbox.pending()
    finally:
        ended.set()
        finished(thread, outcome)
        signal.signal(signal.SIGUSR1, before)
    assert client.outbox.flush(DEADLINE)
    assert {error.code for error in refused} <= {"ERR_OUTBOX_STORE"}
    texts = stored(sandbox)
    assert len(texts) == 200 + len(taken)
    assert taken or refused
    assert [value for value in texts if value.isdigit()] == [str(number) for number in range(200)]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no signals for threads")
@pytest.mark.parametrize("with_file", [True, False])
def test_close_in_a_signal_handler(sandbox: Sandbox, party: Party, tmp_path: Path, with_file: bool) -> None:
    """A handler closes the client during put() on the main thread. Neither hangs, and put() returns or raises."""
    for number in range(5):
        client, _ = party.connected(outbox_path=tmp_path / f"{number}.db" if with_file else None)
        before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
        main, begun = threading.main_thread().ident, threading.Event()
        assert main is not None
        thread, outcome = in_thread(lambda: begun.wait(DEADLINE) and signal.pthread_kill(main, signal.SIGUSR1))
        try:
            with pytest.raises(CometChatException) as caught:
                while True:
                    client.outbox.put(text("a"))
                    client.outbox.pending()
                    begun.set()
        finally:
            finished(thread, outcome)
            signal.signal(signal.SIGUSR1, before)
        assert caught.value.code == "ERR_CLIENT_CLOSED"


# Disks and processes.


_LEAVING = """
import os, sys
from cometchat import AppSettings, Client, FileSessionStore, TextMessage
url, app_id, folder = sys.argv[1:]
client = Client(app_id, AppSettings(
    admin_host=url, client_host=url, auto_establish_socket_connection=False,
    session_store=FileSessionStore(os.path.join(folder, "session.json")), outbox_path=os.path.join(folder, "o.db"),
))
client.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="left behind"))
os._exit(9)
"""


def test_a_process_that_puts_and_dies(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """A process puts items and dies. Another one, idle and connected, sends them within a few seconds."""
    party.connected(**in_files(tmp_path))
    command = [sys.executable, "-c", _LEAVING, sandbox.url, sandbox.app_id, str(tmp_path)]
    assert subprocess.run(command, timeout=DEADLINE * 3, check=False).returncode == 9
    assert sandbox.wait_until(lambda: stored(sandbox) == ["left behind"], DEADLINE)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
def test_a_file_that_is_removed_while_the_client_runs(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """The next process finds the items that are put afterwards."""
    settings = {**in_files(tmp_path), "outbox_path": tmp_path / "outbox" / "o.db"}
    first = offline(sandbox, party, **settings)
    first.outbox.put(text("lost with its file"))
    for file in (tmp_path / "outbox").iterdir():
        file.unlink()
    first.outbox.put(text("kept"))
    first.close()
    second = party.client(**settings)
    second.connect(DEADLINE)
    assert second.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["kept"]


@pytest.mark.parametrize(
    "field, value", [("data", None), ("parentId", "\ud800"), ("parentId", "..")], ids=["no data", "surrogate", "dots"]
)
def test_a_damaged_item_does_not_stop_the_rest(
    sandbox: Sandbox, party: Party, tmp_path: Path, field: str, value: Optional[str]
) -> None:
    """A damaged item at the head becomes a dead letter, and the listener is notified.

    The id of the message that it replies to is a part of the address, where not every text is possible.
    """
    client, heard = offline(sandbox, party, outbox_path=tmp_path / "o.db"), Results()
    client.add_outbox_listener("heard", heard)
    damaged = client.outbox.put(text("damaged"))
    client.outbox.put(text("whole"))
    with sqlite3.connect(tmp_path / "o.db", timeout=DEADLINE) as other:
        ((body,),) = other.execute("SELECT body FROM items WHERE muid = ?", (damaged,)).fetchall()
        changed = json.dumps({**json.loads(body), field: value})
        other.execute("UPDATE items SET body = ? WHERE muid = ?", (changed, damaged))
    other.close()
    client.connect(DEADLINE)
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["whole"]
    assert [what for what, _, _ in heard.wait_for(2)] == ["failed", "delivered"]
    assert [(dead.muid, dead.error.code) for dead in client.outbox.dead_letters()] == [(damaged, "ERR_OUTBOX_STORE")]


def test_dead_letters_are_bounded(sandbox: Sandbox, party: Party) -> None:
    """The maximum number of dead letters is that of waiting items."""
    client, _ = party.connected(outbox_max_items=5)
    for number in range(12):
        client.outbox.put(text(str(number), receiver_id="nobody"))
        assert client.outbox.flush(DEADLINE)
    dead = client.outbox.dead_letters()
    assert [letter.message.text for letter in dead if isinstance(letter.message, TextMessage)] == list("78") + [
        "9",
        "10",
        "11",
    ]


def test_data_nested_too_deeply(sandbox: Sandbox, party: Party) -> None:
    """put() raises an exception of the SDK for data that JSON cannot express. It sends all data that it accepts."""
    client, _ = party.connected()
    taken = 0
    for depth in (100, 490, *range(900, 1010, 3), 5000):
        metadata: Dict[str, Any] = {}
        for _ in range(depth):
            metadata = {"a": metadata}
        try:
            client.outbox.put(text("deep", metadata=metadata))
            taken += 1
        except CometChatException as error:
            assert error.code in ("INVALID_MESSAGE", "INVALID_METADATA")
    client.outbox.put(text("after"))
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["deep"] * taken + ["after"] and taken == 2


# Errors of the app or the plan.


@pytest.mark.parametrize("code, status", [("ERR_SUBSCRIPTION_EXPIRED", 403), ("ERR_PLAN_RESTRICTION", 400)])
def test_an_error_of_the_plan_keeps_the_items(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, code: str, status: int
) -> None:
    """All items wait, with one warning and without dead letters. The next connection tries again."""
    client, _ = party.connected()
    sandbox.fail_http(status, path="/messages", body={"error": {"code": code, "message": "expired"}})
    for number in range(3):
        client.outbox.put(text(str(number)))
    assert sandbox.wait_until(lambda: posts(sandbox), DEADLINE)
    assert not client.outbox.flush(0.3)
    assert (client.outbox.dead_letters(), client.outbox.pending(), posts(sandbox)) == ([], 3, 1)
    warnings = [record.getMessage() for record in caplog.records if record.name == "cometchat.outbox"]
    assert len(warnings) == 1 and code in warnings[0] and "dashboard" in warnings[0]
    sandbox.heal()
    assert sandbox.drop_connections()
    assert client.outbox.flush(DEADLINE)
    assert stored(sandbox) == ["0", "1", "2"]
