"""The examples run as a reader runs them: against a sandbox of their own, and with an account from the environment."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from cometchat.sandbox import Sandbox

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))

#: Seconds: the longest wait for a line or an end.
DEADLINE = 20.0


def environment(**more: str) -> Dict[str, str]:
    """This process's, without an account and proxies of the developer's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COMETCHAT_") and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONIOENCODING": "utf-8", **more}


def run_alone(name: str) -> "subprocess.CompletedProcess[str]":
    """Run an example against its own sandbox; it has to end well, and say nothing on standard error but its log."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    ended = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment(), timeout=DEADLINE
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


class Running:
    """An example in a process of its own, whose lines can be waited for."""

    def __init__(self, name: str, env: Dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=env,
        )
        self._lines: "queue.SimpleQueue[str]" = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, containing: str) -> str:
        while True:
            line = self._lines.get(timeout=DEADLINE)
            if containing in line:
                return line

    def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        return self._process.wait(DEADLINE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def start(sandbox: Sandbox, tmp_path: Path) -> Iterator[object]:
    """Starts an example with the sandbox's account in its environment."""
    started: List[Running] = []

    def starter(name: str) -> Running:
        account = {
            "COMETCHAT_APP_ID": sandbox.app_id,
            "COMETCHAT_UID": "cometchat-uid-1",
            "COMETCHAT_AUTH_KEY": sandbox.auth_key,
            "COMETCHAT_ADMIN_HOST": sandbox.url,
            "COMETCHAT_CLIENT_HOST": sandbox.url,
            "HOME": str(tmp_path),
        }
        started.append(Running(name, environment(**account)))
        return started[-1]

    yield starter
    for running in started:
        running.close()


def test_each_example_is_tested_and_listed() -> None:
    """There are these three, and their README has a line for each."""
    assert NAMES == ["echo_bot.py", "offline_queue.py", "status_logger.py"]
    listed = re.findall(r"^``(\w+\.py)``", (EXAMPLES / "README.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == NAMES


def test_each_example_says_how_to_run_it() -> None:
    """The docstring has the command, and names every variable that the program reads."""
    for name in NAMES:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        docstring = text.split('"""')[1]
        assert f"python examples/{name}" in docstring
        read = set(re.findall(r'"(COMETCHAT_\w+)"', text)) - {"COMETCHAT_ADMIN_HOST", "COMETCHAT_CLIENT_HOST"}
        assert read == set(re.findall(r"COMETCHAT_\w+", docstring)), name


def test_the_echo_bot_has_20_lines() -> None:
    """The bot itself, imports included, is 20 lines of code."""
    text = (EXAMPLES / "echo_bot.py").read_text(encoding="utf-8")
    bot = text.split('"""')[2].partition("# The bot ends here")[0]
    assert len([line for line in bot.splitlines() if line.strip() and not line.strip().startswith("#")]) == 20


def test_echo_bot_alone() -> None:
    """Alone it gets two messages, answers each with its text, and ends."""
    texts = ("Hello", "Is anybody there?")
    lines = run_alone("echo_bot.py").stdout.splitlines()
    said = [[f"cometchat-uid-2 says {text!r}", f"cometchat-uid-2 got {text!r} back"] for text in texts]
    assert lines == ["listening", *said[0], *said[1]]


def test_echo_bot_with_an_account(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """With an account it answers users and groups, not itself, also after a loss, and ends with 0 on Ctrl-C."""
    sandbox.add_group("chat", "Chat", owner="cometchat-uid-2", members=["cometchat-uid-1"])
    bot = start("echo_bot.py")
    bot.line("listening")
    assert sandbox.wait_for_connections(1)
    sandbox.send_message("cometchat-uid-1", "cometchat-uid-2", "my own, from elsewhere")
    sandbox.send_message("cometchat-uid-2", "chat", "to all", receiver_type="group")
    bot.line("says 'to all'")
    sandbox.drop_connections()
    sandbox.send_message("cometchat-uid-3", "cometchat-uid-1", "while it was away")
    bot.line("says 'while it was away'")

    def answers() -> List[object]:
        sent = [message for message in sandbox.messages if message["sender"] == "cometchat-uid-1"]
        return [(message["receiver"], message["data"]["text"]) for message in sent]

    expected = [
        ("cometchat-uid-2", "my own, from elsewhere"),
        ("chat", "to all"),
        ("cometchat-uid-3", "while it was away"),
    ]
    assert sandbox.wait_until(lambda: answers() == expected, DEADLINE), answers()
    assert bot.interrupt() == 0


def test_offline_queue_alone() -> None:
    """Alone it cuts the network after three messages; four wait, and in the end all ten are stored once, in order."""
    # Behind the time, which is two words.
    lines = [line.split(" ", 2)[2] for line in run_alone("offline_queue.py").stdout.splitlines()]
    cut, back = lines.index("--- the network is cut"), lines.index("--- the network is back")
    assert [line for line in lines[cut:back] if line.startswith("put")] == [
        f"put {number}; {number - 3} wait" for number in (4, 5, 6, 7)
    ]
    delivered = [line.split("'")[1] for line in lines if line.startswith("delivered")]
    assert delivered == [f"message {number}" for number in range(1, 11)]
    assert lines[-1] == "the service has all 10, once each, in order"


def test_offline_queue_with_an_account(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """With an account, and a network that is really cut, it ends with 0 once all messages are stored in order."""
    queueing = start("offline_queue.py")
    queueing.line("delivered 'message 2'")
    sandbox.refuse_connections()
    sandbox.drop_connections()
    queueing.line("put 5;")
    sandbox.accept_connections()
    queueing.line("all delivered")
    assert queueing.end() == 0
    assert [message["data"]["text"] for message in sandbox.messages] == [f"message {n}" for n in range(1, 11)]


def test_status_logger_alone() -> None:
    """Alone it shows a loss, a refused attempt, throttling and the end, each error before what it causes."""
    words = [line.split()[3].rstrip(":") for line in run_alone("status_logger.py").stderr.splitlines()]
    loss = ["WS_CONNECTION_FAIL", "disconnected", "connecting", "WS_CONNECTION_FAIL"]
    assert words[:6] == ["connecting", "connected", *loss]
    # The second attempt may be refused as well, before the sandbox is healed.
    rest = [word for word in words[6:] if word != "WS_CONNECTION_FAIL"]
    assert rest == ["connected", "featureThrottled", "connected", "disconnected"]


def test_status_logger_with_an_account(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """With an account it logs until Ctrl-C, which is a disconnect, and 0."""
    logger = start("status_logger.py")
    logger.line("INFO    connected")
    sandbox.drop_connections()
    assert "caused by ConnectionResetError" in logger.line("ERROR   WS_CONNECTION_FAIL")
    logger.line("WARNING disconnected")
    logger.line("INFO    connected")
    assert logger.interrupt() == 0
    logger.line("WARNING disconnected")
