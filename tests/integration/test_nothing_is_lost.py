"""Messages through drops and kills arrive all, once each, in order. ``COMETCHAT_SOAK=1`` runs the long form."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import List

import pytest

from cometchat import Client, FileSessionStore, MessageListener, TextMessage
from cometchat.listeners import KINDS
from cometchat.sandbox import Sandbox
from cometchat.sandbox.chat import _history as sandbox_history

from .conftest import DEADLINE, OTHER_UID, UID, Party

SOAK = os.environ.get("COMETCHAT_SOAK") == "1"

#: Number of messages and drops, and the maximum time of a test in seconds.
COUNT, DROPS, LIMIT = (10_000, 200, 900) if SOAK else (600, 12, 60)
KILLS = 20 if SOAK else 3

pytestmark = pytest.mark.timeout(LIMIT)


class Dropper:
    """Drops every connection now and then, a number of times, during the test."""

    def __init__(self, sandbox: Sandbox, drops: int, interval: float) -> None:
        self._sandbox = sandbox
        self._left = drops
        self._interval = interval
        self._ended = threading.Event()
        self._random = random.Random(5)
        self._thread = threading.Thread(target=self._run, name="test-dropper")
        self._changed = threading.Condition()
        self.dropped = 0

    def __enter__(self) -> Dropper:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        while self.dropped < self._left:
            if self._ended.wait(self._random.uniform(0.5, 1.5) * self._interval):
                return
            if self._sandbox.drop_connections():
                with self._changed:
                    self.dropped += 1
                    self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.dropped >= count, LIMIT)


def numbers(sandbox: Sandbox) -> List[int]:
    return [int(message["data"]["text"]) for message in sandbox.messages]


def test_the_outbox_through_drops_and_kills(sandbox: Sandbox, tmp_path: Path) -> None:
    """A sender is killed several times, over connections that drop. Every message arrives once, in order."""
    seed = Client(sandbox.app_id, sandbox.settings(session_store=FileSessionStore(tmp_path / "session.json")))
    seed.login(UID, sandbox.auth_key)
    seed.close()
    program = str(Path(__file__).with_name("outbox_sender.py"))
    command = [sys.executable, program, sandbox.url, sandbox.app_id, str(tmp_path), str(COUNT)]
    spread = random.Random(7)
    with Dropper(sandbox, DROPS, 0.05) as dropper:
        for kill in range(KILLS):
            # Killed after some messages were stored, at any point of its work.
            stored = len(sandbox.messages) + spread.randint(10, COUNT // (KILLS + 2))
            process = subprocess.Popen(command)
            assert sandbox.wait_until(lambda: len(sandbox.messages) >= min(stored, COUNT), LIMIT)
            process.kill()
            process.wait(DEADLINE)
        result = subprocess.run(command, timeout=LIMIT, check=False, stdout=subprocess.PIPE, text=True)
        assert (result.returncode, result.stdout) == (0, "done\n")
    assert dropper.dropped >= DROPS // 4
    assert numbers(sandbox) == list(range(COUNT))
    sent = [request for request in sandbox.requests if (request.method, request.path) == ("POST", "/messages")]
    assert len(sent) <= COUNT + KILLS  # after a kill, at most the one item in progress is sent again


class Reader(MessageListener):
    """Keeps the numbers of its messages, and lets a test wait for a number of them."""

    def __init__(self) -> None:
        self.numbers: List[int] = []
        self.changed = threading.Condition()

    def on_text_message_received(self, message: TextMessage) -> None:
        with self.changed:
            self.numbers.append(int(message.text or ""))
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.numbers) >= count, LIMIT), f"{len(self.numbers)} came"


def test_received_through_drops(sandbox: Sandbox, party: Party) -> None:
    """Two listeners get every message once and in order, over a connection that drops meanwhile."""
    one, two = Reader(), Reader()
    client = party.client()
    client.add_message_listener("one", one)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    with Dropper(sandbox, DROPS, 0.05) as dropper:
        for number in range(COUNT):
            sandbox.send_message(OTHER_UID, UID, str(number))
            if number == 0:
                client.add_message_listener("two", two)
            if number % (COUNT // DROPS) == 0:
                dropper.wait_for(number // (COUNT // DROPS))
        dropper.wait_for(DROPS)
    one.wait_for(COUNT)
    assert one.numbers == list(range(COUNT))
    assert two.numbers == one.numbers[-len(two.numbers) :]


def test_received_after_a_disconnect(sandbox: Sandbox, party: Party) -> None:
    """Messages between disconnect() and connect(), and messages that disconnect() cut from the queue, arrive."""
    reader = Reader()
    client, _ = party.connected()
    client.add_message_listener("reader", reader)
    for round_number in range(6):
        for number in range(50):
            sandbox.send_message(OTHER_UID, UID, str(round_number * 50 + number))
            if number == 20:
                client.disconnect()
            if number == 40:
                client.connect(DEADLINE)
    reader.wait_for(300)
    assert reader.numbers == list(range(300))


def test_a_drop_before_the_newest_message_is_known(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history answers only after a drop. Messages stored meanwhile were missed, and older ones were not."""
    with monkeypatch.context() as clock:
        a_minute_ago = SimpleNamespace(time=lambda: time.time() - 60)
        clock.setattr(sandbox_history, "time", a_minute_ago)
        sandbox.send_message(OTHER_UID, UID, "-1")
    reader = Reader()
    client, recorder = party.connected()
    sandbox.fail_http(503, path="/messages")
    client.add_message_listener("reader", reader)
    assert sandbox.wait_until(lambda: [r for r in sandbox.requests if r.path == "/messages"], DEADLINE)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    recorder.wait_for("on_disconnected")
    sandbox.send_message(OTHER_UID, UID, "1")
    sandbox.heal()
    client.connect(DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "2")
    reader.wait_for(2)
    assert reader.numbers == [1, 2]


#: Frames that the service does not store -> the kind of listener, and the callback.
KEPT = {
    "streamed_message": (("ai_assistant", "on_ai_assistant_event_received"), {"type": "text_message_content"}),
    "conversation_pinned": (("conversation", "on_conversation_pinned"), {"conversationId": "c"}),
    "message_pinned": (("message", "on_message_pinned"), {"id": "1", "category": "message", "type": "text"}),
    "interaction_completed": (("message", "on_interaction_goal_completed"), {"messageId": "1", "user": {"uid": "u"}}),
    "notification_feed_item": (("event", "on_event"), {"action": "sent"}),
    "a_new_type": (("event", "on_event"), {}),
}


@pytest.mark.parametrize("frame_type", KEPT)
def test_a_slow_listener_loses_only_ephemeral_events(sandbox: Sandbox, party: Party, frame_type: str) -> None:
    """Only typing, presence, receipts, reactions and transient messages may be dropped."""
    (kind, callback), body = KEPT[frame_type]
    received: List[object] = []
    waits, everything = threading.Event(), threading.Event()

    def receive(*args: object) -> None:
        assert waits.wait(DEADLINE)
        received.append(args)
        if len(received) == 300:
            everything.set()

    client = party.client(max_queued_events=100)
    getattr(client, f"add_{kind}_listener")(KINDS[kind](**{callback: receive}))
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    for _ in range(300):
        sandbox.send_frame({"type": frame_type, "body": body})
    client.ping(DEADLINE)  # all have arrived
    waits.set()
    assert everything.wait(DEADLINE)
    assert client.stats().events_dropped == 0


def test_a_history_without_usable_ids(sandbox: Sandbox, party: Party) -> None:
    """The newest message has no id. The client asks for nothing with it, and delivers no old message as missed."""
    sandbox.send_message(OTHER_UID, UID, "old")
    sandbox.fail_http(200, path="/messages", body={"data": [{"id": 1.5}, None, {"text": "no id"}]})
    reader = Reader()
    client = party.client()
    client.add_message_listener("reader", reader)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    assert sandbox.wait_until(lambda: [r for r in sandbox.requests if r.path == "/messages"], DEADLINE)
    sandbox.heal()
    client.connect(DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "7")
    reader.wait_for(1)
    assert reader.numbers == [7]
    questions = [request.query for request in sandbox.requests if request.path == "/messages"]
    assert {"id"} & {key for query in questions for key in query} == set()
