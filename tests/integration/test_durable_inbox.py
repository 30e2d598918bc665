"""The durable inbox, with processes that are killed and connections that drop. ``COMETCHAT_SOAK=1``: the long form."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from cometchat import BaseMessage, Client, FileSessionStore, MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party, eventually
from .inbox_bot import has_begun

SOAK = os.environ.get("COMETCHAT_SOAK") == "1"

#: Number of messages and drops, and the maximum time of the test in seconds.
COUNT, DROPS, LIMIT = (10_000, 200, 1500) if SOAK else (400, 8, 60)

#: Life of a bot, from and to, time between two messages, and down time, in seconds.
LIFE, PACE, DOWN = ((1.0, 4.0), 0.015, 5.0) if SOAK else ((0.6, 1.2), 0.008, 0.5)

GUID = "bots"


class Bot:
    """The program inbox_bot.py, and its log."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        program = str(Path(__file__).with_name("inbox_bot.py"))
        self._command = [sys.executable, program, sandbox.url, sandbox.app_id, str(folder)]
        self._log = folder / "log"

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command)

    def lines(self) -> List[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def runs(self) -> List[List[int]]:
        """Return the numbers that each process began with, in order."""
        runs: List[List[int]] = []
        for line in self.lines():
            word, _, number = line.partition(" ")
            if word == "run":
                runs.append([])
            elif word == "begin":
                runs[-1].append(int(number.split()[0]))
        return runs


class Background:
    """A thread for the time of a ``with`` block. It sends the messages, or drops connections."""

    def __init__(self, steps: Iterator[float]) -> None:
        self._steps = steps
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="test-background")

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        for wait in self._steps:
            if self._ended.wait(wait):
                return


def messages(sandbox: Sandbox) -> Iterator[float]:
    """Send messages from two users, to the bot and to its group."""
    for number in range(COUNT):
        if number % 5 == 0:
            sandbox.send_message("cometchat-uid-4", GUID, str(number), receiver_type="group")
        else:
            sandbox.send_message(OTHER_UID, UID, str(number))
        yield PACE


def drops(sandbox: Sandbox, dropped: List[int]) -> Iterator[float]:
    spread = random.Random(5)
    pause = COUNT * PACE / DROPS / 2
    while len(dropped) < DROPS:
        if sandbox.drop_connections():
            dropped.append(1)
        yield spread.uniform(0.2, 1.0) * pause


def answers(sandbox: Sandbox) -> List[str]:
    return [message["data"]["text"] for message in sandbox.messages if message["sender"] == UID]


def kill_again_and_again(bot: Bot, sandbox: Sandbox) -> int:
    """Start and kill bots until all messages are sent, with one down time. Returns the number of kills."""
    spread, kills = random.Random(11), 0
    while len(sandbox.messages) - len(answers(sandbox)) < COUNT or kills < 3:
        process = bot.start()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(spread.uniform(*LIFE))
        process.kill()
        process.wait(DEADLINE)
        kills += 1
        if kills == 2:
            seen = len(sandbox.messages)
            sandbox.wait_until(lambda: len(sandbox.messages) >= min(COUNT, seen + int(DOWN / PACE)), DEADLINE)
    return kills


def repeated(runs: List[List[int]]) -> Tuple[List[int], int]:
    """Return all numbers in order, without those that were in progress at a kill, and the number of those."""
    numbers: List[int] = []
    repeats = 0
    for run in runs:
        if numbers and run and run[0] == numbers[-1]:
            run, repeats = run[1:], repeats + 1
        numbers += run
    return numbers, repeats


@pytest.mark.timeout(LIMIT)
def test_a_bot_through_kills_and_drops(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each message is handled in order, none is skipped, and only the one in progress is repeated.

    Each has one answer.
    """
    sandbox.add_group(GUID, "Bots", members=["cometchat-uid-4"])
    seed = Client(sandbox.app_id, sandbox.settings(session_store=FileSessionStore(tmp_path / "session.json")))
    seed.login(UID, sandbox.auth_key)
    seed.close()
    bot = Bot(sandbox, tmp_path)
    dropped: List[int] = []
    first = bot.start()  # it finds its place in the history
    assert eventually(lambda: has_begun(tmp_path / "inbox.db"))
    with Background(messages(sandbox)), Background(drops(sandbox, dropped)):
        first.kill()
        first.wait(DEADLINE)
        kills = kill_again_and_again(bot, sandbox)
        last = bot.start()
        done = sandbox.wait_until(lambda: len(answers(sandbox)) >= COUNT and len(dropped) >= DROPS, LIMIT)
    last.terminate()
    last.wait(DEADLINE)
    numbers, repeats = repeated(bot.runs())
    print(f"{COUNT} messages, {kills + 1} kills, {len(dropped)} drops, {repeats} repeated")
    assert numbers == list(range(COUNT))
    assert repeats <= kills + 1
    assert done
    assert answers(sandbox) == [f"re {number}" for number in range(COUNT)]


# In one process.


class Reader(MessageListener):
    """Keeps its events. ``hook`` is called inside the callback."""

    def __init__(self, hook: Callable[[], object] = lambda: None) -> None:
        self.heard: List[str] = []
        self._hook = hook
        self._changed = threading.Condition()

    def on_text_message_received(self, message: TextMessage) -> None:
        self._note(str(message.text))

    def on_message_edited(self, message: BaseMessage) -> None:
        self._note(f"edited {message.id}")

    def on_message_deleted(self, message: BaseMessage) -> None:
        self._note(f"deleted {message.id}")

    def _note(self, what: str) -> None:
        self._hook()
        with self._changed:
            self.heard.append(what)
            self._changed.notify_all()

    def wait_for(self, *heard: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self.heard) >= len(heard), DEADLINE)
            assert self.heard == list(heard)


def listening(party: Party, sandbox: Sandbox, path: Path, reader: Reader, **settings: Any) -> Client:
    """Return a connected client that delivers from the file."""
    client = party.client(inbox_path=path, **settings)
    client.add_message_listener("reader", reader)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    return client


def begun(party: Party, sandbox: Sandbox, path: Path, reader: Reader, **settings: Any) -> Client:
    """Return the same, once the file says where to begin."""
    client = listening(party, sandbox, path, reader, **settings)
    assert eventually(lambda: has_begun(path))
    return client


def send(sandbox: Sandbox, *texts: str) -> List[str]:
    """Send messages to the bot. Returns the ids."""
    return [str(sandbox.send_message(OTHER_UID, UID, text)["id"]) for text in texts]


def test_a_logout_and_a_login(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Messages from in between are delivered, also if another user was logged in with the same file."""
    reader = Reader()
    client = begun(party, sandbox, tmp_path / "inbox.db", reader)
    send(sandbox, "one")
    reader.wait_for("one")
    client.logout()
    send(sandbox, "two")
    client.login("cometchat-uid-5", sandbox.auth_key)
    client.connect(DEADLINE)
    send(sandbox, "three")
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    send(sandbox, "four")
    reader.wait_for("one", "two", "three", "four")


def test_a_callback_that_ends_its_client(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """The message counts as handled once the callback returns. The next client continues after it."""
    clients: List[Client] = []
    first = Reader(lambda: clients[0].close())
    clients.append(begun(party, sandbox, tmp_path / "inbox.db", first))
    send(sandbox, "one", "two")
    first.wait_for("one")
    second = Reader()
    listening(party, sandbox, tmp_path / "inbox.db", second)
    second.wait_for("two")


def test_two_clients_with_one_file(
    sandbox: Sandbox, party: Party, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them delivers. The other one logs that it waits, and continues when the first one ends."""
    one, two = Reader(), Reader()
    first = begun(party, sandbox, tmp_path / "inbox.db", one)
    listening(party, sandbox, tmp_path / "inbox.db", two)
    send(sandbox, "one")
    one.wait_for("one")
    assert eventually(lambda: "This client delivers no messages" in caplog.text)
    first.close()
    send(sandbox, "two")
    two.wait_for("two")
    one.wait_for("one")


def test_edits_and_deletions_while_it_is_down(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Edits and deletions have their own places in the history. A message that was deleted is not delivered as new."""
    first, second = Reader(), Reader()
    client = begun(party, sandbox, tmp_path / "inbox.db", first)
    (edited,) = send(sandbox, "one")
    first.wait_for("one")
    client.close()
    (deleted,) = send(sandbox, "two")
    sandbox.edit_message(edited, "other")
    sandbox.delete_message(deleted)
    listening(party, sandbox, tmp_path / "inbox.db", second)
    send(sandbox, "three")
    second.wait_for(f"deleted {deleted}", f"edited {edited}", f"deleted {deleted}", "three")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_holds_nothing(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Another client takes over after the parent's has ended, while the child lives."""
    first, second = Reader(), Reader()
    client = begun(party, sandbox, tmp_path / "inbox.db", first, connect_after_fork=False)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)  # until the parent closes the other end
        os._exit(0)
    try:
        client.close()
        send(sandbox, "one")
        listening(party, sandbox, tmp_path / "inbox.db", second)
        second.wait_for("one")
    finally:
        os.close(write_end)
        os.close(read_end)
        assert os.waitpid(child, 0)[1] == 0


def test_a_bot_that_answers_itself_would_not_stop(sandbox: Sandbox, party: Party, tmp_path: Path) -> None:
    """Messages that an earlier process has sent are not delivered to the next one."""
    first, second = Reader(), Reader()
    client = begun(party, sandbox, tmp_path / "inbox.db", first)
    client.send_message(TextMessage(text="own", receiver_id=OTHER_UID, receiver_type="user"))
    client.close()
    listening(party, sandbox, tmp_path / "inbox.db", second)
    send(sandbox, "two")
    second.wait_for("two")
