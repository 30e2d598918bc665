"""The programs of the docs' front page, tutorial and how-tos run, and have the effect that their pages describe."""

from __future__ import annotations

import code
import importlib.util
import json
import logging
import os
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import requests
from docs_blocks import DOCS, blocks, programs
from faults.programs.running import idle_workers
from integration.conftest import eventually
from processes import Lines, plain

from cometchat import Client, CometChat, CometChatException, api, exceptions
from cometchat.sandbox import Sandbox

ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"

#: Maximum wait for a printed line and the like, in seconds.
DEADLINE = 20.0


def with_stand_ins(program: str, *others: Tuple[str, str]) -> str:
    """Return the program with the sandbox's account in place of the reader's."""
    account = [('"APP_ID"', "sandbox.app_id"), ('"AUTH_KEY"', "sandbox.auth_key")]
    for old, new in [*account, *others]:
        assert old in program, old
        program = program.replace(old, new)
    return program


def poll(sandbox: Sandbox) -> bool:
    """Change the sandbox in a way that no test waits for, so that a waiting test looks again."""
    sandbox.typing(OTHER, ME)
    return False


class Printed:
    """Replaces ``print`` on every thread, and lets a test wait for the lines."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: List[str] = []
        self._last = ""

    def __call__(self, *words: object) -> None:
        line = " ".join(map(str, words))
        with self._changed:
            # The number of attempts that fail during the loss is random, and not on the page.
            if not (line.startswith("because of") and self._last.startswith(("yellow", "because of"))):
                self._lines.append(line)
            self._last = line
            self._changed.notify_all()

    def take(self, count: int) -> List[str]:
        """Return the lines printed since the last call, as soon as there are this many."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._lines) >= count, DEADLINE)
            lines, self._lines = self._lines, []
        return lines


class Shell(code.InteractiveConsole):
    """Python's own shell. The reader pastes a block into it. A mistake in the block ends the test."""

    def write(self, data: str) -> None:
        raise AssertionError(data)

    def showtraceback(self) -> None:
        raise AssertionError("the block raised") from sys.exc_info()[1]

    def paste(self, block: str) -> None:
        wanted = False
        for line in [*block.splitlines(), ""]:
            wanted = self.push(line)
        assert not wanted, block


def account_of_the_tutorial() -> str:
    """Return the block with the reader's account.

    The part above the account is for the shell, the part below is a file.
    """
    (program,) = (block for block in programs("tutorial.rst") if '"APP_ID"' in block)
    return program


def test_the_tutorial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block, pasted into Python's shell, prints the lines below it on the page, and no others."""
    monkeypatch.setattr(sys, "displayhook", lambda value: None)
    page = blocks("tutorial.rst")
    page = page[: page.index(("python", account_of_the_tutorial()))]
    assert len(page) >= 20
    printed = Printed()
    shell = Shell({"print": printed, "__name__": "__console__"})
    try:
        for number, (language, block) in enumerate(page):
            if language != "python":
                continue
            shell.paste(block)
            following = page[number + 1] if number + 1 < len(page) else ("", "")
            expected = following[1].splitlines() if following[0] == "text" else []
            assert printed.take(len(expected)) == expected, block
        assert not shell.locals["sandbox"].running
    finally:
        for name in ("client", "sandbox"):
            if name in shell.locals:
                getattr(shell.locals[name], "close" if name == "client" else "stop")()


def test_the_account_of_the_tutorial(sandbox: Sandbox) -> None:
    """With an account's names in it, the block connects."""
    names: Dict[str, Any] = {"sandbox": sandbox}
    exec(with_stand_ins(account_of_the_tutorial(), ('AppSettings(region="us")', "sandbox.settings()")), names)
    assert names["client"].get_connection_status() == "connected"
    names["client"].close()


class Terminal:
    """A shell in a separate process.

    The reader pastes blocks into it, and a test can wait for the lines of its programs.
    """

    def __init__(self, directory: Path, env: Dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # for the shell's own messages about killed processes
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout)
        self.line = self._lines.next

    def paste(self, block: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(block.replace(".venv/bin/python", shlex.quote(sys.executable)))
        self._process.stdin.flush()

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        self._lines.close()
        assert self._process.stdin is not None
        self._process.stdin.close()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a shell")
def test_the_bot_of_the_tutorial(sandbox: Sandbox, tmp_path: Path) -> None:
    """After a kill and its next start, a bot prints the messages from in between, and each message has one answer."""
    (tmp_path / "bot.py").write_text(programs("tutorial.rst")[-1], encoding="utf-8")
    page = blocks("tutorial.rst")
    commands = page[page.index(("python", programs("tutorial.rst")[-1])) + 1 :]
    assert [language for language, _ in commands] == ["sh", "text", "sh", "text", "sh", "sh", "text"]
    # Like the lines that the sandbox prints. The developer's own account and outbox are not used.
    account = {"APP_ID": sandbox.app_id, "UID": ME, "AUTH_KEY": sandbox.auth_key}
    account.update(ADMIN_HOST=sandbox.url, CLIENT_HOST=sandbox.url)
    env = plain(**{f"COMETCHAT_{name}": value for name, value in account.items()})
    env.update(XDG_STATE_HOME=str(tmp_path / "state"), PYTHONPATH=str(DOCS.parent))
    terminal = Terminal(tmp_path, env)
    printed: List[str] = []
    try:
        for number, (language, block) in enumerate(commands):
            if language == "text":
                continue
            terminal.paste(block)
            following = commands[number + 1] if number + 1 < len(commands) else ("", "")
            expected = following[1].splitlines() if following[0] == "text" else []
            sends = block.count(" send ")
            lines = [terminal.line() for _ in range(len(expected) + sends)]
            # There is a moment between the print of the first message and its record. After a kill in that moment, the
            # bot repeats it.
            if f"{OTHER} says Hello" in lines and f"{OTHER} says Hello" in printed:
                lines = [*(line for line in lines if line != f"{OTHER} says Hello"), terminal.line()]
            assert [line for line in lines if not line.startswith("id ")] == expected, lines
            printed += lines
        answers = ["Hello", "Are you there?"]
        assert sandbox.wait_until(lambda: [each["data"]["text"] for each in of_bot(sandbox)] == answers, DEADLINE)
        connections = sandbox.connections
        terminal.paste("kill $!\n")
        assert connections == 1 and sandbox.wait_until(lambda: sandbox.close_codes[-1:] == [1000], DEADLINE)
    finally:
        terminal.close()


def of_bot(sandbox: Sandbox) -> List[Dict[str, Any]]:
    return [message for message in sandbox.messages if message["sender"] == ME]


def test_the_front_page(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of docs/index.rst is green, and red at the end."""
    (program,) = programs("index.rst")
    try:
        exec(with_stand_ins(program, ('AppSettings(region="us")', "sandbox.settings()")), {"sandbox": sandbox})
        CometChat.disconnect()
        CometChat.close()
    finally:
        CometChat.remove_connection_listener("light")
        api._client = None
    assert capsys.readouterr().out.splitlines() == ["green", "red"]


# Sandbox


def test_the_programs_of_the_sandbox_page() -> None:
    """The first program runs alone, the others against a sandbox. The webhooks have a test beside their receiver."""
    first, *others = programs("sandbox.rst")
    exec(first, {})
    assert len(others) == 4
    for program in others:
        if "deliveries" not in program:
            with Sandbox() as running:
                exec(program, {"sandbox": running, "requests": requests})


def test_the_faults_of_the_sandbox_page() -> None:
    """Each call that the page names as a fault is a method of the sandbox."""
    section = (DOCS / "sandbox.rst").read_text(encoding="utf-8").partition("Faults\n------\n")[2].partition("\n---")[0]
    names = re.findall(r"``([a-z_]+)\(.*?\)``", section)
    assert len(names) >= 15 and [name for name in names if not hasattr(Sandbox, name)] == []


# Scripts


SETTINGS = ('AppSettings(region="us"', "sandbox.settings(region=None")


def texts(sandbox: Sandbox) -> List[str]:
    return [message["data"]["text"] for message in sandbox.messages]


def logins(sandbox: Sandbox) -> int:
    return sum(request.path.endswith("/auth_tokens") for request in sandbox.requests)


def test_a_script_that_sends(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The first program of the scripts' page sends one message, and opens no WebSocket."""
    exec(with_stand_ins(programs("howto/scripts.rst")[0], SETTINGS), {"sandbox": sandbox})
    (message,) = sandbox.messages
    assert message["data"]["text"] == "Backup done"
    assert capsys.readouterr().out == f"message {message['id']}\n"
    assert sandbox.attempts == []


def test_a_script_that_sends_for_sure(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next run sends a message that one run could not send, without its own login. Another uid logs in."""
    monkeypatch.chdir(tmp_path)
    program = programs("howto/scripts.rst")[1]
    run = with_stand_ins(program, SETTINGS)
    exec(run, {"sandbox": sandbox})
    assert texts(sandbox) == ["Backup done"]
    sandbox.refuse_connections()
    exec(with_stand_ins(program, SETTINGS, ("timeout=30", "timeout=0.2")), {"sandbox": sandbox})
    assert "it waits, and goes out with the next run" in capsys.readouterr().err
    sandbox.accept_connections()
    exec(run, {"sandbox": sandbox})
    assert texts(sandbox) == ["Backup done"] * 3 and logins(sandbox) == 1
    exec(run.replace(ME, "cometchat-uid-3"), {"sandbox": sandbox})
    assert [message["sender"] for message in sandbox.messages] == [ME] * 3 + ["cometchat-uid-3"]


def test_a_script_that_runs_for_months(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script logs its events. SIGTERM ends it with a close frame."""
    set_account(monkeypatch, sandbox)
    before = signal.getsignal(signal.SIGTERM)

    def others() -> None:
        assert sandbox.wait_for_connections(1, DEADLINE)
        sandbox.send_message(OTHER, ME, "Hello")
        assert sandbox.wait_until(lambda: f"{OTHER} says Hello" in caplog.messages or poll(sandbox), DEADLINE)
        assert sandbox.wait_until(lambda: signal.getsignal(signal.SIGTERM) is not before or poll(sandbox), DEADLINE)
        os.kill(os.getpid(), signal.SIGTERM)

    other_side = threading.Thread(target=others, name="test-others", daemon=True)
    with caplog.at_level(logging.INFO):
        other_side.start()
        exec(programs("howto/scripts.rst")[2], {})
    other_side.join(DEADLINE)
    assert signal.getsignal(signal.SIGTERM) is before
    assert sandbox.wait_until(lambda: sandbox.close_codes == [1000], DEADLINE)


def set_account(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Set the variables that ``python -m cometchat sandbox`` prints."""
    for name, value in (("APP_ID", sandbox.app_id), ("UID", ME), ("AUTH_KEY", sandbox.auth_key)):
        monkeypatch.setenv(f"COMETCHAT_{name}", value)
    for name in ("ADMIN_HOST", "CLIENT_HOST"):
        monkeypatch.setenv(f"COMETCHAT_{name}", sandbox.url)


def test_a_script_that_ends_after_a_refusal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss does not end the script. A revoked token does, with the reason and the exit code 1."""
    set_account(monkeypatch, sandbox)

    def others() -> None:
        for _ in range(2):
            assert sandbox.wait_for_connections(1, DEADLINE)
            sandbox.drop_connections()
        assert sandbox.wait_for_connections(1, DEADLINE)
        sandbox.revoke_tokens()
        sandbox.expire_jwts()
        sandbox.drop_connections()

    other_side = threading.Thread(target=others, name="test-others", daemon=True)
    other_side.start()
    with pytest.raises(SystemExit, match="AUTH_ERR_AUTH_TOKEN_NOT_FOUND"):
        exec(programs("howto/scripts.rst")[3], {})
    other_side.join(DEADLINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_with_asyncio(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    """The script answers from its event loop, also after a loss or an error. Each signal ends it with a close frame."""
    set_account(monkeypatch, sandbox)

    def asked(method: str, status: int) -> bool:
        answers = [(each.method, each.path, each.status) for each in sandbox.requests]
        return (method, "/messages", status) in answers

    def others() -> None:
        assert sandbox.wait_for_connections(1, DEADLINE)
        # Until then, the newest message does not count as missed.
        assert sandbox.wait_until(lambda: asked("GET", 200), DEADLINE)
        for text in ("Hello", "Still there?"):
            sandbox.drop_connections()
            sandbox.send_message(ME, OTHER, "From a phone")
            sandbox.send_message(OTHER, ME, text)
            sandbox.expect_message(text=f"You said {text}", receiver=OTHER, timeout=DEADLINE)
        sandbox.fail_http(403, code="ERR_PLAN_RESTRICTION")
        sandbox.send_message(OTHER, ME, "Not answered")
        assert sandbox.wait_until(lambda: asked("POST", 403), DEADLINE)
        sandbox.heal()
        sandbox.send_message(OTHER, ME, "And now?")
        sandbox.expect_message(text="You said And now?", receiver=OTHER, timeout=DEADLINE)
        os.kill(os.getpid(), number)

    other_side = threading.Thread(target=others, name="test-others", daemon=True)
    other_side.start()
    exec(programs("howto/scripts.rst")[4], {})
    other_side.join(DEADLINE)
    assert sandbox.wait_until(lambda: sandbox.close_codes[-1:] == [1000], DEADLINE)
    assert "no answer to 7: ERR_PLAN_RESTRICTION" in caplog.text
    assert all(message["receiver"] != ME for message in of_bot(sandbox))


class Window:
    """Replaces ``tkinter.Tk`` and its texts. Every method must be called on the thread that made the window."""

    def __init__(self, *parent: Any) -> None:
        self.texts: List[str] = parent[0].texts if parent else []
        self._title = ""
        self._later: "queue.Queue[Any]" = queue.Queue()
        self._thread = threading.current_thread()

    def pack(self) -> None:
        pass

    def title(self, text: str) -> None:
        assert threading.current_thread() is self._thread
        self._title = f"{text}"

    def insert(self, place: str, text: str) -> None:
        assert threading.current_thread() is self._thread
        self.texts.append(text)

    def after(self, milliseconds: int, show: Any) -> None:
        self._later.put(show)

    def mainloop(self) -> None:
        """Run until the window has shown a message. Like a user, this closes the window then."""
        limit = time.monotonic() + DEADLINE
        while not (self.texts and self._title == "connected"):
            assert time.monotonic() < limit
            self._later.get(timeout=DEADLINE)()


def test_a_script_with_a_window(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window shows the status and the message, and its end closes the connection. Or it shows a failed login."""
    set_account(monkeypatch, sandbox)
    toolkit = types.SimpleNamespace(Tk=Window, Text=Window)
    monkeypatch.setitem(sys.modules, "tkinter", toolkit)

    def others() -> None:
        assert sandbox.wait_for_connections(1, DEADLINE)
        sandbox.send_message(OTHER, ME, "Hello")

    other_side = threading.Thread(target=others, name="test-others", daemon=True)
    other_side.start()
    names: Dict[str, Any] = {}
    exec(programs("howto/scripts.rst")[5], names)
    other_side.join(DEADLINE)
    assert names["window"].texts == ["George Alan: Hello\n"]
    assert sandbox.wait_until(lambda: sandbox.close_codes == [1000], DEADLINE)
    monkeypatch.setenv("COMETCHAT_AUTH_KEY", "wrong")
    monkeypatch.setattr(Window, "mainloop", lambda self: eventually(lambda: names["show"]() or self.texts))
    exec(programs("howto/scripts.rst")[5], names)
    assert names["window"].texts[0].startswith("AUTH_ERR_APIKEY_NOT_FOUND: ")


def test_the_exit_codes_of_a_script() -> None:
    """A temporary error is 75 for every class, a wrong credential 77, a mistake 64, and the service's own error 70."""
    names: Dict[str, Any] = {}
    exec(programs("howto/scripts.rst")[6], names)
    codes = {
        "FAILED_TO_FETCH": 75,
        "ERR_CONNECT_TIMEOUT": 75,
        "ERR_TOO_MANY_REQUESTS": 75,
        "WS_AUTH_FAIL": 77,
        "MISSING_PARAMETERS": 64,
        "ERR_UID_NOT_FOUND": 70,
    }
    assert {code: names["exit_code"](exceptions.exception_for(code, "")) for code in codes} == codes


def test_auth_tokens_in_a_script(sandbox: Sandbox) -> None:
    """The program asks the server for a token at the login, and again after the service has refused the old one."""
    given: List[str] = []

    def ask_my_server(timeout: float) -> str:
        given.append(sandbox.auth_token(ME))
        return given[-1]

    names: Dict[str, Any] = {"sandbox": sandbox, "ask_my_server": ask_my_server}
    program = programs("howto/scripts.rst")[7].replace('"APP_ID"', "sandbox.app_id").replace(*SETTINGS)
    exec(program, names)
    try:
        names["client"].connect(timeout=DEADLINE)
        assert len(given) == 1
        sandbox.revoke_tokens()
        sandbox.expire_jwts()
        sandbox.drop_connections()
        assert sandbox.wait_until(lambda: len(given) == 2, DEADLINE)
        assert sandbox.wait_for_connections(1, DEADLINE)
    finally:
        names["client"].close()


def test_the_status_in_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """The listener of the scripts' page writes each status into the file that monitoring reads."""
    names: Dict[str, Any] = {}
    exec(programs("howto/scripts.rst")[8], names)
    file = tmp_path / "status"
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.add_connection_listener("file", names["StatusFile"](file))
        client.login(ME, sandbox.auth_key)
        client.connect(timeout=DEADLINE)
        # A busy machine may need longer for the callbacks than connect() and close() wait for them.
        assert sandbox.wait_until(lambda: file.exists() and file.read_text() == "connected", DEADLINE)
    assert sandbox.wait_until(lambda: file.read_text() == "disconnected", DEADLINE)


def test_each_block_of_the_scripts_page_is_run() -> None:
    """The tests above name each block."""
    assert len(programs("howto/scripts.rst")) == 9


# Testing


#: A site around the page's view, for the parts that the reader already has.
SITE = """
import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["cometchat.contrib.django"],
    ROOT_URLCONF="site_urls",
    SECRET_KEY="of-the-tests",
)
django.setup()
"""
URLS = """
from django.urls import path
from views import ship

urlpatterns = [path("ship/<uid>", ship)]
"""


def run_tests_of_the_page(directory: Path, *changes: Tuple[str, str]) -> "subprocess.CompletedProcess[str]":
    """Write each block, with the changes, to the file that its first line names, and run all tests.

    The tests of a framework that is not installed are left out.
    """
    for program in programs("howto/testing.rst"):
        for old, new in changes:
            program = program.replace(old, new)
        (directory / program.splitlines()[0][2:]).write_text(program, encoding="utf-8")
    if "test_views.py" in count_of_tests():
        (directory / "conftest.py").write_text(SITE, encoding="utf-8")
        (directory / "site_urls.py").write_text(URLS, encoding="utf-8")
    # Without the other plugins, pytest starts in half the time.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "cometchat.pytest_plugin"]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("COMETCHAT_", "DJANGO_"))}
    return subprocess.run(
        [*command, "--rootdir", str(directory), *count_of_tests()],
        cwd=directory,
        env={**env, "PYTHONPATH": str(DOCS.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=6 * DEADLINE,
    )


TESTED = {"test_bot.py": (None, 2), "test_views.py": ("django", 1), "test_app.py": ("flask", 1)}


def count_of_tests() -> Dict[str, int]:
    """Return the number of tests in each file whose framework is installed."""
    found = TESTED.items()
    return {name: count for name, (package, count) in found if package is None or importlib.util.find_spec(package)}


def test_the_tests_of_the_page(tmp_path: Path) -> None:
    """The page's tests pass.

    They fail, with the stored messages in the report, after the program says something else.
    """
    done = run_tests_of_the_page(tmp_path)
    assert done.returncode == 0 and f"{sum(count_of_tests().values())} passed" in done.stdout, done.stdout + done.stderr
    mistakes = [('(f"You said', '(f"You say'), ('send_text("Your', 'send_text("Her')]
    hasty = ('receiver="cometchat-uid-2")', 'receiver="cometchat-uid-2", timeout=0.3)')
    done = run_tests_of_the_page(tmp_path, *mistakes, hasty)
    shown = re.findall(r"^E +AssertionError: no message \(text='You", done.stdout, re.MULTILINE)
    assert len(shown) == sum(count_of_tests().values()), done.stdout + done.stderr
    assert f"{len(shown)} failed" in done.stdout


def test_pytest_and_an_unclosed_client(tmp_path: Path) -> None:
    """docs/troubleshooting.rst says with which option the warning about a client without ``close()`` appears."""
    (tmp_path / "test_unclosed.py").write_text(
        """if True:
        from cometchat import Client
        def test_it(cometchat_sandbox):
            client = Client(cometchat_sandbox.app_id, cometchat_sandbox.settings())
            client.login("cometchat-uid-1", cometchat_sandbox.auth_key)
        """
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "cometchat.pytest_plugin"]
    env = {**os.environ, "PYTHONPATH": str(DOCS.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    shown = []
    for options in ([], ["-W", "default"]):
        done = subprocess.run(
            [*command, "--rootdir", str(tmp_path), *options, "test_unclosed.py"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=6 * DEADLINE,
        )
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        shown.append("ResourceWarning: unclosed <Client" in done.stdout)
    assert shown == [False, True]
    assert "and pytest with ``-W default``." in (DOCS / "troubleshooting.rst").read_text(encoding="utf-8")


def test_each_file_of_the_testing_page_is_run() -> None:
    """The test above names each file with tests, and the page has their programs."""
    files = {program.splitlines()[0] for program in programs("howto/testing.rst")}
    assert files == {"# bot.py", "# views.py", "# app.py", *(f"# {name}" for name in TESTED)}


# Celery


@pytest.fixture
def tasks(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dict[str, Any]]:
    """Return the names in the Celery page's blocks, which run one after the other."""
    pytest.importorskip("celery")
    monkeypatch.chdir(tmp_path)
    names: Dict[str, Any] = {"sandbox": sandbox, "__name__": "tasks"}
    try:
        yield names
    finally:
        if api._client is not None:
            CometChat.close()
        api._client = None


def test_celery_s_tasks_send(sandbox: Sandbox, tasks: Dict[str, Any]) -> None:
    """The start of a process logs in. A task sends and tries again, and sends nothing twice under the same muid."""
    from celery.signals import worker_process_init, worker_process_shutdown

    exec(with_stand_ins(programs("howto/celery.rst")[0], SETTINGS), tasks)
    worker_process_init.send(sender=None)
    notify = tasks["notify"]
    sandbox.fail_http(503, times=1, path="/messages")
    first = notify.apply(args=(OTHER, "Hello", "muid-1")).get()
    assert notify.apply(args=(OTHER, "Hello", "muid-1")).get() == first
    assert texts(sandbox) == ["Hello"] and sandbox.attempts == []
    worker_process_shutdown.send(sender=None)
    with pytest.raises(CometChatException) as caught:
        CometChat.connect()
    assert caught.value.code == "ERR_CLIENT_CLOSED"


def test_celery_s_outbox_and_listener(sandbox: Sandbox, tasks: Dict[str, Any]) -> None:
    """An item that is put is sent, and a message becomes a task."""
    exec(with_stand_ins(programs("howto/celery.rst")[1], SETTINGS), tasks)
    tasks["notify_some_time"](OTHER, "Hello")
    assert sandbox.wait_until(lambda: texts(sandbox) == ["Hello"], DEADLINE)
    handed: "queue.SimpleQueue[Tuple[Any, ...]]" = queue.SimpleQueue()
    tasks["handle"] = types.SimpleNamespace(delay=lambda *arguments: handed.put(arguments))
    exec(programs("howto/celery.rst")[2], tasks)
    CometChat.add_message_listener("to tasks", tasks["ToTasks"]())
    try:
        CometChat.connect(timeout=DEADLINE)
        sent = sandbox.send_message(OTHER, ME, "Hello back")
        assert handed.get(timeout=DEADLINE) == (str(sent["id"]), OTHER, "Hello back")
    finally:
        CometChat.remove_message_listener("to tasks")


# gunicorn and uWSGI


COMMANDS = re.findall(
    r"^    ((?:gunicorn|uwsgi) .*)$", (DOCS / "howto/gunicorn_uwsgi.rst").read_text(encoding="utf-8"), re.MULTILINE
)
STARTS = {
    "gunicorn": [sys.executable, "-m", "gunicorn"],
    "uwsgi": [sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--die-on-term", "--need-app"],
}


def ask(path: str) -> Dict[str, Any]:
    """Send one request over a server's socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        connection.connect(path)
        connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    body: Dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


#: The other worker class that works according to the page.
GREEN = [command.replace("gthread --threads 8", "gevent") for command in COMMANDS if "gthread" in command]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "command", COMMANDS + GREEN, ids=[*(command.split()[0] for command in COMMANDS), "gunicorn-gevent"]
)
def test_the_servers(sandbox: Sandbox, tmp_path: Path, command: str) -> None:
    """The page's application runs under the page's command.

    Each of four workers is connected, and ends its connection.
    """
    server = command.split()[0]
    pytest.importorskip({"uwsgi": "pyuwsgi"}.get(server, server))
    if command in GREEN:
        pytest.importorskip("gevent")
    hosts = f"AppSettings(admin_host={sandbox.url!r}, client_host={sandbox.url!r}"
    program = programs("howto/gunicorn_uwsgi.rst")[0].replace('AppSettings(region="us"', hosts)
    program = program.replace('"APP_ID"', repr(sandbox.app_id)).replace('"AUTH_KEY"', repr(sandbox.auth_key))
    # The service knows of a connection before its client does. Without this line a client may end before it knows.
    program += f"\nclient.wait_for_status('connected', {DEADLINE})\n"
    (tmp_path / "myapp.py").write_text(program, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="docs-") as short:  # the path of a socket has at most about 100 characters
        path = os.path.join(short, "socket")
        arguments = [path if argument == ":8000" else argument for argument in command.split()[1:]]
        numbers = os.path.join(short, "stats")
        bind = ["--bind", f"unix:{path}"] if server == "gunicorn" else ["--stats", numbers]
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        with open(tmp_path / "log", "wb") as log:
            process = subprocess.Popen(
                [*STARTS[server], *bind, *arguments],
                cwd=tmp_path,
                env={**env, "HOME": short},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            assert sandbox.wait_for_connections(4, 2 * DEADLINE), (tmp_path / "log").read_text()
            assert sandbox.wait_until(lambda: ask(path) == {"status": "connected"} or poll(sandbox), DEADLINE)
            assert server == "gunicorn" or eventually(lambda: idle_workers(numbers) == 4, DEADLINE)
            process.terminate()
            process.wait(DEADLINE)
            assert sandbox.wait_until(lambda: len(sandbox.close_codes) == 4, DEADLINE)
            assert set(sandbox.close_codes) == {1000}, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait(DEADLINE)


def test_both_servers_are_on_the_page() -> None:
    """The test above runs one command for each server."""
    assert sorted(command.split()[0] for command in COMMANDS) == ["gunicorn", "uwsgi"]
