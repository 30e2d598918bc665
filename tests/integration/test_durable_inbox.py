"""The durable inbox, with real processes: ``kill -9``, drops and down times. ``COMETCHAT_SOAK=1`` runs the long form."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from cometchat import Client, FileSessionStore
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID

SOAK = os.environ.get("COMETCHAT_SOAK") == "1"

#: Messages, drops, and what the test may take in seconds.
COUNT, DROPS, LIMIT = (10_000, 200, 1500) if SOAK else (400, 8, 60)

#: Seconds that a bot lives, from and to; seconds between two messages; seconds of the down time.
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
        """The numbers that each process began with, in order."""
        runs: List[List[int]] = []
        for line in self.lines():
            word, _, number = line.partition(" ")
            if word == "run":
                runs.append([])
            elif word == "begin":
                runs[-1].append(int(number))
        return runs


class Background:
    """A thread for the time of a ``with`` block: it sends the messages, or drops connections."""

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
    """From two users, to the bot and to its group."""
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
    """Start and kill until all messages are sent, with one down time. Returns how many were killed."""
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
    """Return all numbers in order, without those that were in progress at a kill; and how many of those were."""
    numbers: List[int] = []
    repeats = 0
    for run in runs:
        if numbers and run and run[0] == numbers[-1]:
            run, repeats = run[1:], repeats + 1
        numbers += run
    return numbers, repeats


@pytest.mark.timeout(LIMIT)
def test_a_bot_through_kills_and_drops(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every message in order, none skipped, only the one in progress repeated; every answer once."""
    sandbox.add_group(GUID, "Bots", members=["cometchat-uid-4"])
    seed = Client(sandbox.app_id, sandbox.settings(session_store=FileSessionStore(tmp_path / "session.json")))
    seed.login(UID, sandbox.auth_key)
    seed.close()
    bot = Bot(sandbox, tmp_path)
    dropped: List[int] = []
    first = bot.start()  # it learns where to begin
    assert sandbox.wait_until(lambda: _has_begun(tmp_path / "inbox.db"), DEADLINE)
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


def _has_begun(path: Path) -> bool:
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=DEADLINE)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM starts").fetchone()[0] == 1
        except sqlite3.OperationalError:  # the bot has not made the table yet
            return False
