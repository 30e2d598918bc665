"""The docs' claims that follow from the code."""

from __future__ import annotations

import ast
import base64
import importlib.util
import inspect
import logging
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import requests
import tenacity
from docs_blocks import DOCS, block, programs
from integration.conftest import RawServer, eventually
from integration.transport_peers import ConnectProxy

from cometchat import (
    AppSettings,
    Client,
    CustomMessage,
    GroupListener,
    MessageListener,
    TextMessage,
    UserListener,
    exceptions,
)
from cometchat._environment import SERVICE, VARIABLES
from cometchat._protocol._states import CALLBACKS
from cometchat.cli import _account as account
from cometchat.cli import main
from cometchat.listeners import KINDS
from cometchat.sandbox import Sandbox


def _diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_state_diagram", DOCS / "make_state_diagram.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagram_is_drawn_from_the_table_as_it_is() -> None:
    """states.dot is the script's output for today's table, and states.svg was drawn from it."""
    diagram = _diagram()
    text = diagram.dot()
    assert (DOCS / "states.dot").read_text(encoding="utf-8") == text
    assert f"<!-- states.dot {diagram.digest(text)} -->" in (DOCS / "states.svg").read_text(encoding="utf-8")


def test_the_table_of_callbacks_is_the_code_s() -> None:
    """docs/states.rst lists exactly the status changes and callbacks of the code."""
    rows = re.findall(
        r"^``(\w+)``\s+``(\w+)``\s+``(on_\w+)``$", (DOCS / "states.rst").read_text(encoding="utf-8"), re.M
    )
    assert {(old, new, method) for old, new, method in rows} == {
        (str(old), str(new), method) for (old, new), method in CALLBACKS.items()
    }


def test_the_classes_of_the_codes_are_the_code_s() -> None:
    """docs/errors.rst lists each class with the codes of the SDK that have it."""
    text = page("errors.rst").partition("\nThe service's codes\n---")[0]
    listed = {name: re.findall(r"``([A-Z][A-Z0-9_]+)``", body) for name, body in definitions(text)}
    names = [name for name, each in vars(exceptions).items() if inspect.isclass(each) and issubclass(each, Exception)]
    codes = [name for name in dir(exceptions) if name.isupper() and name != "CLASSES"]
    assert [code for code in codes if getattr(exceptions, code) != code] == []
    classes = {code: exceptions.CLASSES.get(code, exceptions.CometChatException).__name__ for code in codes}
    expected = {name: [code for code in codes if classes[code] == name] for name in names}
    assert listed == {**expected, "CometChatException": []}, "the page says that all other codes are of the base class"


def test_each_field_of_a_docstring_begins_a_line() -> None:
    """Sphinx shows a field in the middle of a line as text of the field before it."""
    field = re.compile(r"^ +\S.* :(param|raises|returns|ivar)\b[^:`]*: ", re.MULTILINE)
    sources = {path.name: path.read_text(encoding="utf-8") for path in (DOCS.parent / "cometchat").rglob("*.py")}
    assert field.search("    :param a: one. :param b: the other.")
    assert {name: found.group() for name, text in sources.items() for found in field.finditer(text)} == {}


def definitions(text: str) -> List[Tuple[str, str]]:
    """Return the terms of a definition list, with their texts."""
    return re.findall(r"^``(\w+)``\n((?:    .*\n|\n(?=    ))+)", text, re.MULTILINE)


PAGES = sorted([*DOCS.rglob("*.rst"), *DOCS.parent.glob("*.rst"), *(DOCS.parent / "examples").rglob("*.rst")])


def test_links_lead_somewhere() -> None:
    """Every file that a page links to exists."""
    assert len(PAGES) > 40
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"`[^`]+<([^>:]+)>`_|(?:image|include|literalinclude):: (\S+)", text):
            path = page.parent / (target[0] or target[1])
            assert path.exists(), f"{page.name}: {path}"


def test_the_named_parts_of_other_pages_exist() -> None:
    """A heading or a term that a page names beside a link, as "*Two processes* in `Inbox`", is on the other page."""
    found = []
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        for names, target in re.findall(r"see ((?:\*[^*]+\*(?: and )?)+) in `[^`<]+<([^>]+)>`_", text):
            lines = (page.parent / target).read_text(encoding="utf-8").splitlines()
            for name in re.findall(r"\*([^*]+)\*", names):
                found.append(name)
                assert name in lines, f"{page.name}: {name}"
    assert {"Use asyncio", "Run for months", "Two processes"} <= set(found)


def test_the_map_of_the_code_is_the_code_s() -> None:
    """Each file and folder in the map of docs/contributing.rst exists, and the map leads to each large module."""
    table = page("contributing.rst").partition("Map of the code\n---")[2].partition("How it works\n---")[0]
    package = DOCS.parent / "cometchat"
    named = re.findall(r"``(?!docs/)([\w/]+(?:\.py|/))``", table)
    assert len(named) > 30
    assert [name for name in named if not (package / name).exists() and not [*package.rglob(name)]] == []
    large = [path.relative_to(package).as_posix() for path in package.rglob("[!_]*.py")]
    large += [path.relative_to(package).as_posix() for path in package.rglob("_[!_]*.py")]
    large = [name for name in large if (package / name).read_text(encoding="utf-8").count("\n") >= 80]
    folders = [name for name in named if name.endswith("/")]
    large = [path for path in large if not path.startswith("sandbox/") and not any(name in path for name in folders)]
    assert len(large) > 40
    assert [path for path in large if path.rpartition("/")[2] not in {name.rpartition("/")[2] for name in named}] == []


def test_the_locks_are_the_code_s() -> None:
    """docs/contributing.rst names each class of the core that makes a lock, and no other."""
    section = page("contributing.rst").partition("Locks\n~~~~~")[2].partition("Forks\n~~~~~")[0]
    package, makers = DOCS.parent / "cometchat", set()
    for path in package.rglob("*.py"):
        if not {"sandbox", "contrib"} & {*path.relative_to(package).parts}:
            for cls in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(cls, ast.ClassDef) and re.search(r"threading\.R?Lock\(\)", ast.unparse(cls)):
                    makers.add(cls.name)
    makers.remove("_ForkOfCometChat")  # replaces the lock of CometChat
    named = set(re.findall(r"``([A-Z]\w+)", section)) - {"FileLock", "RLock"}
    assert named == makers


ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def program(name: str, **stand_ins: str) -> str:
    """Return the first Python program of a page, with the sandbox's account in place of the reader's."""
    text = programs(name)[0]
    for old, new in {'"APP_ID"': "sandbox.app_id", '"AUTH_KEY"': "sandbox.auth_key", **stand_ins}.items():
        assert old in text
        text = text.replace(old, new)
    return text


#: Page -> number of its Python programs. A test runs each of them.
PROGRAMS = {
    "django.rst": 7,
    "flask.rst": 4,
    "howto/celery.rst": 3,
    "howto/gunicorn_uwsgi.rst": 1,
    "howto/scripts.rst": 9,
    "howto/testing.rst": 6,
    "inbox.rst": 1,
    "index.rst": 1,
    "indicator.rst": 2,
    "logging.rst": 2,
    "messages.rst": 3,
    "metrics.rst": 3,
    "outbox.rst": 1,
    "redis.rst": 1,
    "redis_operators.rst": 1,
    "redis_stream.rst": 1,
    "sandbox.rst": 5,
    "troubleshooting.rst": 1,
    "tutorial.rst": 15,
}


def test_each_program_has_a_test() -> None:
    """A new program needs a test. Then count it above."""
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.rst"))
    assert {name: len(programs(name)) for name in pages if programs(name)} == PROGRAMS


def test_the_table_of_listeners_is_the_code_s() -> None:
    """docs/messages.rst lists exactly the callbacks of each listener, with the names of their arguments."""
    listed: Dict[str, Dict[str, List[str]]] = {}
    callbacks: Dict[str, List[str]] = {}
    table = page("messages.rst").partition("**MessageListener**")
    for line in f"{table[1]}{table[2].partition('=====')[0]}".splitlines():
        heading = re.match(r"\*\*(\w+)\*\*", line)
        row = re.match(r"(``(on_\w+)``| {37}) +.*?((?:``\w+``(?:, )?)*),?(?:, as .*)?$", line)
        if heading:
            callbacks = listed.setdefault(heading[1], {})
        elif row and listed and row[3]:
            name = row[2] or list(callbacks)[-1]
            callbacks.setdefault(name, []).extend(re.findall(r"``(\w+)``", row[3]))
        elif row and row[2]:
            callbacks[row[2]] = []
    assert listed == {
        cls.__name__: {
            name: list(inspect.signature(method).parameters)[1:]
            for name, method in vars(cls).items()
            if name.startswith("on_")
        }
        for kind, cls in KINDS.items()
        if kind not in ("connection", "login")
    }


def test_the_program_of_messages(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of docs/messages.rst prints each sender with the text."""

    class Printed(threading.Event):
        def show(self, *words: str) -> None:
            print(*words)
            self.set()

    printed = Printed()

    def run(client: Client) -> None:
        with client:
            client.connect(10)
            sandbox.send_message(OTHER, ME, "Hello")
            assert printed.wait(10)

    own = {'AppSettings(region="us")': "sandbox.settings()", "client.run_forever()": "run(client)"}
    exec(program("messages.rst", **own), {"sandbox": sandbox, "run": run, "print": printed.show})
    assert capsys.readouterr().out == f"{OTHER} Hello\n"


def test_the_verbs_of_messages(sandbox: Sandbox) -> None:
    """The second program of docs/messages.rst answers in a thread, reacts, reads the history, and edits its answer."""
    first, second = (sandbox.send_message(OTHER, ME, text) for text in ("Hi", "What is up?"))
    (_, program, _) = programs("messages.rst")
    with Client(sandbox.app_id, sandbox.settings()) as client:
        names: Dict[str, Any] = {"client": client, "MessageListener": MessageListener}
        exec(program, names)
        client.login(ME, sandbox.auth_key)
        question = next(client.get_messages(uid=OTHER))
        names["on_text"](question)
    asked, answered = sandbox.messages[1:3]
    assert asked["data"]["reactions"][0]["reaction"] == "👍" and asked["id"] == second["id"] != first["id"]
    assert answered["parentId"] == second["id"]
    assert answered["data"]["text"] == "There are 1 messages before this one"


def test_the_strategies_of_the_settings() -> None:
    """The settings with strategies of tenacity in docs/states.rst are accepted."""
    (code,) = re.findall(r"^    (AppSettings\(\n.+?^    \))$", page("states.rst"), re.MULTILINE | re.DOTALL)
    settings = eval(code, {"AppSettings": AppSettings, "tenacity": tenacity})
    assert isinstance(settings.reconnect_wait, tenacity.wait_random_exponential)
    assert isinstance(settings.reconnect_stop, tenacity.stop_after_attempt)


def test_an_answer_to_a_message_of_a_group(sandbox: Sandbox) -> None:
    """Of the two calls in docs/messages.rst one answers in the group, the other in private."""
    calls = re.findall(r"``(send_text\(text, g?uid=message\.[a-z_.]+\))``", page("messages.rst"))
    sandbox.add_group("team", "Team", owner=OTHER, members=[ME])
    sandbox.send_message(OTHER, "team", "Hello", receiver_type="group")
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(ME, sandbox.auth_key)
        message = next(client.get_messages(guid="team"))
        assert (message.receiver_type, message.receiver_id) == ("group", "team")
        answers = [eval(f"client.{call}", {"client": client, "message": message, "text": "Hi"}) for call in calls]
    assert [(answer.receiver_type, answer.receiver_id) for answer in answers] == [("group", "team"), ("user", OTHER)]


def test_messages_made_by_name(sandbox: Sandbox) -> None:
    """The two messages that docs/messages.rst makes can be sent. Its fields of files and custom messages exist."""
    classes = {"TextMessage": TextMessage, "CustomMessage": CustomMessage}
    made = re.findall(r"^    ((?:Text|Custom)Message\(.*\))$", page("messages.rst"), re.MULTILINE)
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(ME, sandbox.auth_key)
        text, custom = [client.send_message(eval(code, classes)) for code in made]
        media = client.send_media_message(b"abc", uid=OTHER, caption="Look")
    assert (text.text, custom.type, custom.custom_data) == ("Hello", "location", {"lat": 52.5})
    (attachment,) = media.attachments
    named = re.findall(r"\nFiles\n((?:    .*\n)+)", page("messages.rst"))[0]
    assert re.findall(r"``(\w+)``", named) == ["url", "name", "mime_type", "size"]
    assert attachment.url and attachment.name and attachment.mime_type
    assert (attachment.size, media.caption) == (3, "Look")


def test_typing_and_receipts(sandbox: Sandbox) -> None:
    """The SDK sends neither by itself. The third program of docs/messages.rst sends both, if it can, and answers."""
    (_, _, program) = programs("messages.rst")
    sent = threading.Event()
    listener = MessageListener(on_typing_started=lambda indicator: sent.set())
    with Client(sandbox.app_id, sandbox.settings()) as client, Client(sandbox.app_id, sandbox.settings()) as other:
        other.add_message_listener(listener)
        other.login(OTHER, sandbox.auth_key)
        other.connect(10)
        client.add_message_listener("plain", MessageListener())
        client.login(ME, sandbox.auth_key)
        client.connect(10)
        unread = other.send_text("Hi", uid=ME)
        client.ping()
        (stored,) = sandbox.messages
        assert "deliveredAt" not in stored and "readAt" not in stored and not sent.is_set()
        names: Dict[str, Any] = {"client": client, "look_up": str.upper}
        exec(program, names)
        names["on_text"](unread)
        assert sent.wait(10)
        assert eventually(lambda: sandbox.messages[0].get("readAt"))
        client.disconnect()
        names["on_text"](unread)
        assert [message["data"]["text"] for message in sandbox.messages] == ["Hi", "HI", "HI"]


def test_the_program_of_the_inbox(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of docs/inbox.rst answers messages from before its second start, and each message once."""
    monkeypatch.chdir(tmp_path)
    texts: List[str] = []

    def answers() -> List[str]:
        sent = [message for message in sandbox.messages if message["sender"] == ME]
        return [message["data"]["text"] for message in sent if message["receiver"] != "cometchat-uid-3"]

    def run(client: Client) -> None:
        with client:
            client.connect(10)
            if not texts:
                assert eventually(lambda: client._core.inbox._position.floor is not None)
            texts.append(f"during {len(texts)}")
            sandbox.send_message(ME, "cometchat-uid-3", "from a phone")
            sandbox.send_message(OTHER, ME, texts[-1])
            assert sandbox.wait_until(lambda: len(answers()) == len(texts), 10)
            assert client.outbox.flush(10)

    names: Dict[str, Any] = {"sandbox": sandbox, "run": run}
    own = {'region="us"': "admin_host=sandbox.url, client_host=sandbox.url", "client.run_forever()": "run(client)"}
    text = program("inbox.rst", **own)
    exec(text, names)
    texts.append("between")
    sandbox.send_message(OTHER, ME, "between")
    exec(text, names)
    assert texts == ["during 0", "between", "during 2"]
    assert answers() == [f"You said {each}" for each in texts]


def test_an_inbox_with_a_group_listener_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    """A message that no listener has a callback for counts as handled, as docs/inbox.rst says."""
    settings = sandbox.settings(inbox_path=tmp_path / "inbox.db")
    sandbox.add_group("team", "Team", owner=OTHER, members=[ME])
    joined, heard, texts = threading.Event(), threading.Event(), []

    def on_text(message: TextMessage) -> None:
        texts.append(message.text)
        heard.set()

    with Client(sandbox.app_id, settings) as client:
        client.add_group_listener(GroupListener(on_group_member_joined=lambda *_: joined.set()))
        client.login(ME, sandbox.auth_key)
        client.connect()
        assert eventually(lambda: client._core.inbox._position.floor is not None)
        sandbox.send_message(OTHER, ME, "without a callback")
        sandbox.join("team", "cometchat-uid-3")
        assert joined.wait(10)
    with Client(sandbox.app_id, settings) as client:
        client.add_message_listener(MessageListener(on_text_message_received=on_text))
        client.login(ME, sandbox.auth_key)
        client.connect()
        sandbox.send_message(OTHER, ME, "with a callback")
        assert heard.wait(10) and texts == ["with a callback"]


def test_the_program_of_the_outbox(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program of docs/outbox.rst delivers its message, and gets the result."""
    monkeypatch.chdir(tmp_path)
    exec(program("outbox.rst", **{'AppSettings(region="us", ': "sandbox.settings("}), {"sandbox": sandbox})
    (stored,) = sandbox.messages
    assert stored["data"]["text"] == "Hello"
    assert capsys.readouterr().out == f"delivered {stored['muid']} as {stored['id']}\n"
    assert (tmp_path / "outbox.db").exists()


def test_the_table_of_account_options_is_the_code_s() -> None:
    """docs/cli.rst names each option of the account, with the environment variable that the code reads for it."""
    listed = dict(re.findall(r"^``--([a-z-]+)`` +``(COMETCHAT_\w+)``", page("cli.rst"), re.MULTILINE))
    assert listed == {name: f"COMETCHAT_{name.upper().replace('-', '_')}" for name in listed}
    read = set(re.findall(r'"(COMETCHAT_\w+)"', inspect.getsource(account))) | {f"COMETCHAT_{name}" for name in SERVICE}
    timeouts = {f"COMETCHAT_{name}" for name in SERVICE if name.endswith(("_TIMEOUT", "_INTERVAL"))}
    assert set(listed.values()) == read - timeouts and len(listed) == 8
    named = set(re.findall(r"``COMETCHAT_(\w+)``", page("cli.rst")))
    assert named >= set(VARIABLES)


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/cli.rst has each command of --help with the same words, and each of its options."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["--help"]) == 0
    commands = re.findall(r"^    (\w+) {2,}\S", capsys.readouterr().out, re.MULTILINE)
    listed = dict(re.findall(r"^``(\w+)`` {2,}(.+)", page("cli.rst"), re.MULTILINE))
    assert list(listed) == commands
    for command, action in listed.items():
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        # The page has the words of --help, and each option in the command's section or in a section for all commands.
        assert action.replace("`", "") in " ".join(text.split()), command
        section = page("cli.rst").partition("\ndoctor\n------\n")[0] + section_of(command)
        options = set(re.findall(r"--[a-z-]+", text)) - {"--help"}
        assert [option for option in options if not re.search(rf"(?<!-){option}\b", section)] == [], command


def section_of(command: str) -> str:
    """Return the section of a command in docs/cli.rst, or "" for a command without a section."""
    found = re.search(rf"^{command}\n-+\n((?:.*\n)*?)(?=^\w+\n-+\n|\Z)", page("cli.rst"), re.MULTILINE)
    return found[1] if found else ""


def message(text: str) -> TextMessage:
    return TextMessage(text=text, receiver_id=OTHER, receiver_type="user")


@pytest.fixture
def offline(sandbox: Sandbox) -> Iterator[Client]:
    """A client that is logged in and not connected."""
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as client:
        client.login(ME, sandbox.auth_key)
        yield client


def test_the_table_of_calls_that_send(offline: Client) -> None:
    """Each call in the table of docs/messages.rst exists, and those over the socket raise without a connection."""
    table = page("messages.rst").partition("\nSend messages\n")[2].partition("This listener of a bot")[0]
    rows = re.findall(r"^``([\w.]+)\(.*  (HTTP|socket)  +(.+)$", table, re.MULTILINE)
    assert len(rows) == 12
    for name, way, without in rows:
        owner = offline.outbox if name.startswith("outbox.") else offline
        assert callable(getattr(owner, name.rpartition(".")[2])), name
        assert (way == "socket") == (without == "``NO_WEBSOCKET_CONNECTION``"), name
    calls = [lambda: offline.start_typing(OTHER), lambda: offline.send_transient_message(OTHER, "user", {"x": 1})]
    for call in calls:
        with pytest.raises(exceptions.ConnectionException) as raised:
            call()
        assert raised.value.code == "NO_WEBSOCKET_CONNECTION"


def test_flush_does_not_connect(sandbox: Sandbox, offline: Client) -> None:
    """flush() waits, and does not connect by itself."""
    offline.outbox.put(message("waits"))
    assert offline.outbox.flush(timeout=0.2) is False
    assert sandbox.attempts == [] and offline.outbox.pending() == 1
    offline.connect()
    assert offline.outbox.flush(timeout=10) is True


def test_send_message_goes_past_the_outbox(sandbox: Sandbox, offline: Client) -> None:
    """send_message does not wait for items in the outbox."""
    offline.outbox.put(message("put first"))
    offline.send_message(message("sent second"))
    offline.connect()
    assert offline.outbox.flush(timeout=10)
    assert [stored["data"]["text"] for stored in sandbox.messages] == ["sent second", "put first"]


def test_put_does_not_wait_for_the_network(sandbox: Sandbox, offline: Client, tmp_path: Path) -> None:
    """put() returns while a delivery hangs in the network, both in memory and with a file."""
    for settings in ({}, {"outbox_path": tmp_path / "outbox.db"}):
        with Client(sandbox.app_id, sandbox.settings(**settings)) as client:
            client.login(ME, sandbox.auth_key)
            client.connect()
            sandbox.clear_records()
            sandbox.hang_http()
            client.outbox.put(message("hangs"))
            assert sandbox.wait_until(lambda: any(request.method == "POST" for request in sandbox.requests), 10)
            started = time.monotonic()
            client.outbox.put(message("does not"))
            assert time.monotonic() - started < 2
            sandbox.heal()
            assert client.outbox.flush(timeout=10)


def test_items_that_end_are_logged(sandbox: Sandbox, offline: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The logger cometchat.client warns of items that end with a client whose outbox is in memory."""
    offline.outbox.put(message("ends here"))
    with caplog.at_level(logging.WARNING, "cometchat"):
        offline.close()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cometchat.client", "WARNING")
    assert "of the outbox end" in record.getMessage()


def test_the_set_up_of_logging(sandbox: Sandbox) -> None:
    """The first program of docs/logging.rst shows the page's line, and hides all after its last line."""
    *shown, hides = programs("logging.rst")[0].splitlines()
    assert "CRITICAL" in hides
    program = [
        *("import threading", "from cometchat import Client, ConnectionListener"),
        *("from cometchat.sandbox import Sandbox", *shown, "lost = threading.Event()"),
        "with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings()) as client:",
        "    client.add_connection_listener(ConnectionListener(on_disconnected=lost.set))",
        f"    client.login({ME!r}, sandbox.auth_key)",
        *("    client.connect()", f"    {hides}", "    sandbox.drop_connections()"),
        "    assert lost.wait(10)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    time_of_line, words = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "INFO cometchat.connection: "
    (line,) = re.findall(rf"^    {time_of_line[1:]}({words}.*)$", page("logging.rst"), re.MULTILINE)
    lines = [each for each in done.stderr.splitlines() if " cometchat." in each]
    assert [each for each in lines if re.match(time_of_line + re.escape(line), each)] == lines[-1:], done.stderr


def test_the_filter_of_logging(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The second program of docs/logging.rst keeps a secret out of another library's records."""
    names: Dict[str, Any] = {}
    exec(programs("logging.rst")[1], names)
    try:
        with Client(sandbox.app_id, sandbox.settings()) as client:
            client.login(ME, sandbox.auth_key)
            logging.getLogger("another library").error("the key is %s", sandbox.auth_key)
    finally:
        logging.getLogger().removeHandler(names["handler"])
    shown = capsys.readouterr().err
    assert "the key is" in shown and sandbox.auth_key not in shown


def test_the_figures_of_logging(offline: Client) -> None:
    """The session of docs/logging.rst shows a value for each figure."""
    entered, _, shown = block("logging.rst", "pycon", "stats").rpartition("\n(")
    first, second = (line[len(">>> ") :] for line in entered.splitlines())
    names: Dict[str, Any] = {"client": offline}
    exec(first, names)
    values = eval(second, names)
    assert list(map(type, values)) == [int, dict, type(None)] and len(eval(f"({shown}")) == len(values)


def test_the_program_for_a_proxy() -> None:
    """With the program of docs/troubleshooting.rst, HTTP and the WebSocket go through the proxy, with its password."""
    script = ConnectProxy()
    proxy = RawServer(script)
    with Sandbox(tls=True) as sandbox:
        own = [
            ('region="us"', "admin_host=sandbox.url, client_host=sandbox.url"),
            ("proxy.example.com:3128", f"127.0.0.1:{proxy.port}"),
            ('"company.pem"', "sandbox.ca_certs"),
        ]
        names: Dict[str, Any] = {"AppSettings": AppSettings, "sandbox": sandbox}
        exec(block("troubleshooting.rst", "python", "proxies=", *own), names)
        with Client(sandbox.app_id, names["settings"]) as client:
            client.login(ME, sandbox.auth_key)
            client.connect(10)
            assert len(script.targets) == 2 and set(script.targets) == {sandbox.url.partition("//")[2]}
            assert script.header("Proxy-Authorization") == f"Basic {base64.b64encode(b'user:password').decode()}"
    proxy.close()
    proxy.check()


def test_a_listener_of_functions(offline: Client) -> None:
    """The line of docs/messages.rst with a listener made from a function works."""
    (line,) = re.findall(r"^    (client\.add_message_listener\(.+=print\)\))$", page("messages.rst"), re.MULTILINE)
    exec(line, {"client": offline, "MessageListener": MessageListener})


def test_presence_has_changes_only(sandbox: Sandbox) -> None:
    """Who was online before, or came during a gap, is in the answer of the REST call that docs/messages.rst names."""
    (path,) = re.findall(r"``GET\s+(/users\?\S+)``", page("messages.rst"))
    online: List[str] = []

    def asked() -> List[str]:
        answer = requests.get(f"{sandbox.url}/v3{path}", headers={"apiKey": sandbox.api_key}, timeout=10)
        return [user["uid"] for user in answer.json()["data"]]

    with Client(sandbox.app_id, sandbox.settings()) as other, Client(
        sandbox.app_id, sandbox.settings(subscription_type="ALL_USERS")
    ) as client:
        client.add_user_listener(UserListener(on_user_online=lambda user: online.append(user.uid)))
        other.login(OTHER, sandbox.auth_key)
        other.connect(10)
        client.login(ME, sandbox.auth_key)
        client.connect(10)
        assert set(asked()) == {ME, OTHER}
        client.disconnect()
        other.disconnect()
        other.connect(10)
        client.connect(10)
        sandbox.presence("cometchat-uid-3", True)
        assert eventually(lambda: online == ["cometchat-uid-3"])


def test_the_loggers_are_the_code_s() -> None:
    """docs/logging.rst names every logger of the SDK, and no other."""
    import cometchat

    sources = Path(cometchat.__file__).parent.rglob("*.py")
    found = {name for path in sources for name in re.findall(r'getLogger\("(cometchat\.\w+)"\)', path.read_text())}
    found = {name for name in found if not name.startswith("cometchat.sandbox")}
    assert set(re.findall(r"^``(cometchat\.\w+)``", page("logging.rst"), re.MULTILINE)) == found


def test_loggers_that_dict_config_switches_off() -> None:
    """By default ``dictConfig`` switches the loggers off, and docs/logging.rst says that a ``Client`` then warns."""
    program = """if True:
        import logging.config
        from cometchat import AppSettings, Client
        logging.config.dictConfig({"version": 1, **OPTIONS})
        Client("app", AppSettings(region="us")).close()
    """
    warned = []
    for options in ("{}", '{"disable_existing_loggers": False}'):
        command = [sys.executable, "-c", program.replace("OPTIONS", options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        warned.append("RuntimeWarning: logging.config has switched off the loggers" in done.stderr)
    assert warned == [True, False]


def test_the_log_of_frames(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The logger cometchat.frames shows the opening of the socket, and each frame, as docs/logging.rst says."""
    caplog.set_level(logging.DEBUG, "cometchat.frames")
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(ME, sandbox.auth_key)
        client.connect(10)
        client.ping()
        client.start_typing(OTHER, metadata={"why": client.get_logged_in_user().auth_token})
        client.send_transient_message(OTHER, "user", {"like": True})
        client.mark_as_read(client.send_text("Hello", uid=OTHER))
    text = "\n".join(record.getMessage().partition("] ")[2] for record in caplog.records)
    marks = ["= open ws://", "> auth of ", '< {"type": "auth"', '> {"action":"ping"', "< .*pong"]
    marks += ['> .*"typing_indicator"', '> .*"transient_message"', '> .*"receipts"']
    assert [mark for mark in marks if not re.search(f"^{mark}", text, re.MULTILINE)] == []
    assert '"why":"***' in text and sandbox.auth_key not in text


def test_a_catch_up_is_not_kept_for_the_next_process(sandbox: Sandbox) -> None:
    """A client delivers no event from before its first connection, even if an earlier client was connected."""
    from cometchat import MessageListener

    heard: List[Tuple[int, Any]] = []

    class Reader(MessageListener):
        def __init__(self, number: int) -> None:
            self.number = number
            self.heard = threading.Event()

        def on_text_message_received(self, message: TextMessage) -> None:
            heard.append((self.number, message.text))
            self.heard.set()

    for number in (1, 2):
        sandbox.send_message(OTHER, ME, f"before {number}")
        with Client(sandbox.app_id, sandbox.settings()) as client:
            reader = Reader(number)
            client.add_message_listener("reader", reader)
            client.login(ME, sandbox.auth_key)
            client.connect()
            sandbox.send_message(OTHER, ME, f"during {number}")
            assert reader.heard.wait(10)
        assert sandbox.wait_for_connections(0)
    assert heard == [(1, "during 1"), (2, "during 2")]
