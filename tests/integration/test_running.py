"""run_forever(): the calls and signals that end it, and the state afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from cometchat import AppSettings, Client, CometChat, CometChatException, ConnectionListener, MessageListener, api
from cometchat._runtime import _running
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party, eventually, finished, in_thread

SIGNALS = (signal.SIGINT, signal.SIGTERM)

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


def handlers() -> List[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Assert that each test leaves the handlers as it found them."""
    before = handlers()
    yield
    assert handlers() == before


def is_closed(client: Client) -> bool:
    try:
        client.connect(timeout=0)
    except CometChatException as error:
        return error.code == "ERR_CLIENT_CLOSED"
    return False


def once_running(client: Client, act: Callable[[], object]) -> None:
    """Call a function on another thread when the client is connected and the main thread handles signals."""
    before = handlers()

    def run() -> None:
        assert client.wait_for_status("connected", DEADLINE)
        assert eventually(lambda: all(new is not old for new, old in zip(handlers(), before)))
        act()

    threading.Thread(target=run, daemon=True).start()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it(number: int, party: Party, sandbox: Sandbox) -> None:
    """In the main thread either signal closes the client with a close frame, and raises nothing."""
    client, recorder = party.joined()
    once_running(client, lambda: os.kill(os.getpid(), number))
    client.run_forever()
    assert is_closed(client)
    assert recorder.names == ["on_connecting", "on_connected", "on_disconnected"]
    assert sandbox.wait_until(lambda: sandbox.close_codes == [1000])


@pytest.mark.parametrize("ignored", [False, True], ids=["handled", "ignored"])
def test_it_handles_the_signals_while_it_runs(party: Party, sandbox: Sandbox, ignored: bool) -> None:
    """During the call, the program's own handlers are replaced, and are not called. An ignored signal ends it too."""
    heard: List[int] = []
    own = signal.SIG_IGN if ignored else lambda number, frame: heard.append(number)
    before = signal.signal(signal.SIGTERM, own)
    try:
        mine = handlers()
        client, _ = party.joined()
        during: List[List[Any]] = []

        def end() -> None:
            during.append(handlers())
            os.kill(os.getpid(), signal.SIGTERM)

        once_running(client, end)
        client.run_forever()
        assert handlers() == mine and heard == []
        assert all(new is not old for new, old in zip(during[0], mine))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_close_on_another_thread_ends_it(party: Party, sandbox: Sandbox) -> None:
    """``close()`` ends it, and it returns once the client is closed."""
    client, _ = party.joined()
    once_running(client, client.close)
    client.run_forever()
    assert is_closed(client)


def test_close_in_a_callback_ends_it(party: Party, sandbox: Sandbox) -> None:
    """A bot may end itself in a callback."""
    client, _ = party.joined()
    client.add_message_listener(MessageListener(on_text_message_received=lambda message: client.close()))
    once_running(client, lambda: sandbox.send_message(OTHER_UID, UID, "stop"))
    client.run_forever()
    assert is_closed(client)


def test_close_before_it_ends_it_at_once(party: Party, sandbox: Sandbox) -> None:
    """The callback that closes may be quicker than the main thread. A second call also returns at once."""
    client, _ = party.joined()
    client.close()
    client.run_forever()
    client.run_forever()
    assert is_closed(client)


def test_it_warns_without_a_user(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that forgot ``login()`` would wait for nothing, so a warning says so. After a login it does not."""
    monkeypatch.setattr(_running, "_CHECK_AFTER", 0.001)
    with Client(sandbox.app_id, sandbox.settings()) as client:
        thread, outcome = in_thread(client.run_forever)
        assert eventually(lambda: bool(caplog.messages))
        client.close()
        assert finished(thread, outcome) is None
    (text,) = caplog.messages
    assert "No user is logged in" in text and "login()" in text
    caplog.clear()
    client, _ = party.joined()
    client._core._warn_of_no_connection()
    assert not [text for text in caplog.messages if "run_forever" in text]


def test_it_warns_in_manual_mode(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``connect()`` a bot never gets a message. Once the program has called it, no warning is logged."""
    monkeypatch.setattr(_running, "_CHECK_AFTER", 0.001)
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    thread, outcome = in_thread(client.run_forever)
    assert eventually(lambda: bool(caplog.messages))
    assert "run_forever() waits without a connection. Call connect()" in caplog.messages[0]
    caplog.clear()
    client.connect(DEADLINE)
    client._core._warn_of_no_connection()
    client.close()
    assert finished(thread, outcome) is None
    assert not [text for text in caplog.messages if "run_forever" in text]


def test_in_another_thread_it_handles_no_signal(party: Party, sandbox: Sandbox) -> None:
    """On another thread only ``close()`` ends it. Several threads may wait, and each returns."""
    client, _ = party.joined()
    waits = [in_thread(client.run_forever) for _ in range(3)]
    assert client.wait_for_status("connected", DEADLINE)
    before = handlers()
    assert signal.default_int_handler in before
    client.close()
    for thread, outcome in waits:
        assert finished(thread, outcome) is None


def test_a_handler_from_outside_of_python_stays(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python could not restore such a handler."""
    client, _ = party.joined()
    installed: List[int] = []
    threading.Timer(0.05, client.close).start()
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        patch.setattr(signal, "signal", lambda number, handler: installed.append(number))
        client.run_forever()
    assert installed == []


def test_an_interpreter_without_signals(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sub-interpreter no handler can be installed, and ``close()`` still ends it."""

    def refuse(number: int, handler: object) -> None:
        raise ValueError("signal only works in main thread of the main interpreter")

    client, _ = party.joined()
    threading.Timer(0.05, client.close).start()
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", refuse)
        client.run_forever()
    assert is_closed(client)


@pytest.mark.parametrize("change", [CometChat.close, lambda: CometChat.init("another-app", AppSettings(region="us"))])
def test_the_shared_client(change: Callable[[], None], sandbox: Sandbox, facade: None) -> None:
    """``CometChat.run_forever`` ends when its client is closed, by ``close`` or another ``init``."""
    CometChat.init(sandbox.app_id, sandbox.settings())
    CometChat.login(UID, sandbox.auth_key)
    client = api._client
    assert client is not None
    once_running(client, change)
    CometChat.run_forever()
    assert is_closed(client)


# As programs, for their output.

HEAD = """
import os, signal, sys, threading, time
from cometchat import AppSettings, Client, ConnectionListener, MessageListener

client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())

def say(*words):
    # Past sys.stdout: if another thread holds its lock at a fork, the child would wait for that lock forever.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

BEFORE = signal.getsignal(signal.SIGTERM)

def wait_until_running():
    while signal.getsignal(signal.SIGTERM) is BEFORE:
        time.sleep(0.001)

def say_when_running(word):
    def run():
        wait_until_running()
        say(word)
    threading.Thread(target=run, daemon=True).start()

def log_in():
    client.login("cometchat-uid-1", os.environ["COMETCHAT_AUTH_KEY"])

"""


class Bot:
    """A program in a separate process."""

    def __init__(self, program: str, sandbox: Sandbox, folder: Path) -> None:
        env = {
            **os.environ,
            "COMETCHAT_APP_ID": sandbox.app_id,
            "COMETCHAT_AUTH_KEY": sandbox.auth_key,
            "COMETCHAT_ADMIN_HOST": sandbox.url,
            "COMETCHAT_CLIENT_HOST": sandbox.url,
        }
        path = folder / "bot.py"
        path.write_text(HEAD + program, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Wait for its end, and return its standard error."""
        out, error = self.process.communicate(timeout=DEADLINE)
        assert out == "", out
        return error


@pytest.fixture
def start(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[[str], Bot]]:
    started: List[Bot] = []

    def starter(program: str) -> Bot:
        started.append(Bot(program, sandbox, tmp_path))
        return started[-1]

    yield starter
    for bot in started:
        bot.process.kill()
        with bot.process:
            bot.process.wait(DEADLINE)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_bot_ends_with_0(number: int, start: Callable[[str], Bot], sandbox: Sandbox) -> None:
    """Ctrl-C and SIGTERM end a script after run_forever(), silently, with exit code 0 and a close frame."""
    bot = start("log_in()\nclient.connect()\nsay_when_running('up')\nclient.run_forever()\n")
    assert bot.line() == "up"
    bot.process.send_signal(number)
    assert bot.end() == "" and bot.process.returncode == 0
    assert sandbox.close_codes == [1000]


def test_a_signal_while_a_callback_runs(start: Callable[[str], Bot], sandbox: Sandbox) -> None:
    """A callback that hangs does not keep the process alive."""
    bot = start("""
client.add_connection_listener(
    ConnectionListener(on_connected=lambda: (say_when_running("hangs"), threading.Event().wait()))
)
log_in()
client.run_forever()
""")
    assert bot.line() == "hangs"
    bot.process.send_signal(signal.SIGTERM)
    assert bot.end() == "" and bot.process.returncode == 0


def test_many_signals_at_once(start: Callable[[str], Bot]) -> None:
    """Several signals from an impatient user or service manager end it as well."""
    bot = start("""
log_in()
client.connect()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: None)  # for those that come when it has ended
BEFORE = signal.getsignal(signal.SIGTERM)
def press():
    wait_until_running()
    for number in [2, 15] * 20:
        os.kill(os.getpid(), number)
threading.Thread(target=press, daemon=True).start()
client.run_forever()
say("ended")
""")
    assert bot.line() == "ended"
    assert bot.end() == "" and bot.process.returncode == 0


@forks
@pytest.mark.skipif(
    getattr(sys, "pypy_version_info", (8,)) < (8,),
    reason="in a child that another thread forked, PyPy 7.3.11 refuses to change a signal's handler",
)
def test_a_child_of_another_thread_can_be_terminated(start: Callable[[str], Bot], sandbox: Sandbox) -> None:
    """A worker that a thread forks has no wait: it has the earlier handlers, SIGTERM ends it, and the bot continues."""
    bot = start("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)

def work():
    client.wait_for_status("connected", 10)
    wait_until_running()
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        say("child", signal.getsignal(signal.SIGTERM) == BEFORE)
        os.write(into, b"x")
        while True:
            time.sleep(60)
    os.read(out, 1)
    os.kill(child, signal.SIGTERM)
    say("child ended by", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.get_connection_status())

threading.Thread(target=work, daemon=True).start()
log_in()
client.run_forever()
""")
    assert [bot.line(), bot.line()] == ["child True", "child ended by -15 connected"]
    bot.process.send_signal(signal.SIGTERM)
    assert bot.end() == "" and bot.process.returncode == 0


@forks
@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy runs the hooks of a fork with its import lock held: a thread of the child that imports then hangs",
)
def test_a_child_of_the_thread_that_waits(start: Callable[[str], Bot], sandbox: Sandbox) -> None:
    """If a signal handler forks on the main thread, parent and child both continue to wait, each with a connection."""
    bot = start("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
me = os.getpid()

def fork(number, frame):
    child = os.fork()
    if child:
        say(child)

signal.signal(signal.SIGUSR1, fork)
log_in()
client.connect()
say_when_running("up")
client.run_forever()
say("parent ends" if os.getpid() == me else "child ends")
""")
    assert bot.line() == "up"
    bot.process.send_signal(signal.SIGUSR1)
    child = int(bot.line())
    assert sandbox.wait_for_connections(2, DEADLINE)
    os.kill(child, signal.SIGTERM)
    assert bot.line() == "child ends"
    assert sandbox.wait_for_connections(1, DEADLINE)
    bot.process.send_signal(signal.SIGTERM)
    assert bot.line() == "parent ends"
    assert bot.end() == "" and bot.process.returncode == 0


def test_it_uses_no_processor(start: Callable[[str], Bot], sandbox: Sandbox) -> None:
    """During the wait, the main thread runs no code: its processor time does not grow."""
    bot = start("""
log_in()
client.connect()
def count():
    wait_until_running()
    before = time.process_time()
    client.wait_for_status("disconnected", 0.5)
    say(f"{time.process_time() - before:.3f}")
threading.Thread(target=count, daemon=True).start()
client.run_forever()
""")
    assert float(bot.line()) < 0.1
    bot.process.send_signal(signal.SIGTERM)
    assert bot.end() == ""


def test_a_listener_gets_the_last_callbacks(party: Party, sandbox: Sandbox) -> None:
    """run_forever() returns after the client's last callbacks."""
    client, _ = party.joined()
    heard: List[str] = []
    client.add_connection_listener(ConnectionListener(on_disconnected=lambda: heard.append("red")))
    once_running(client, lambda: os.kill(os.getpid(), signal.SIGTERM))
    client.run_forever()
    assert heard == ["red"]
