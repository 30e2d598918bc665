"""The state on disk outlives a restart and a kill. Another sandbox is refused, and a foreign file runs no code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
import requests
from docs_blocks import block

from cometchat.sandbox import SAMPLE, Sandbox
from cometchat.sandbox._store import Store

ONE, TWO, THREE = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"


#: The parts that :func:`live` and a login with a file fill.
TRACES = (
    "users._users",
    "groups._groups",
    "history._messages",
    "history._feeds",
    "history._threads",
    "history._marks",
    "history._muids",
    "reactions._reactions",
    "messages._saved",
    "receipts._of_all",
    "streams._runs",
    "calls._sessions",
    "credentials.tokens",
    "credentials._jwts",
    "credentials._key",
    "uploads._files",
)


def live(sandbox: Sandbox) -> None:
    """Leave a trace in every part of the state."""
    sandbox.add_user("Ada", "Ada Lovelace", role="vip", avatar="https://example.com/a.png")
    sandbox.add_friends(ONE, "ada")
    sandbox.block(THREE, TWO)
    sandbox.add_group("team", "Team", members=[TWO, THREE])
    sandbox.change_scope("team", TWO, "moderator")
    sandbox.ban("team", THREE)
    first = sandbox.send_message(ONE, TWO, "Hello", muid="m1", tags=["a"])["id"]
    sandbox.send_message(TWO, ONE, "A reply", parent_id=first)
    sandbox.send_message(ONE, "team", "To all", receiver_type="group")
    sandbox.edit_message(first, "Hello again")
    sandbox.react(first, TWO, "👍")
    sandbox.save(first, TWO)
    sandbox.pin(first, TWO)
    sandbox.mark_read(first, TWO)
    sandbox.delete_message(sandbox.send_message(ONE, TWO, "Wrong")["id"])
    sandbox.accept_call(sandbox.call(ONE, TWO))
    sandbox.enhance_receipts()
    sandbox.stream(TWO, ONE, "An answer")


def plain(value: Any) -> Any:
    """Return all data of an object, down to its dicts and lists, without its collaborators."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, str, bytes, int, float, bool, type(None))):
        return value
    return (type(value).__name__, plain(vars(value)))


def state(sandbox: Sandbox) -> Dict[str, Any]:
    """Return the kept state: every plain attribute of every part of the chat, and the files."""
    parts = {**vars(sandbox._chat), "chat": sandbox._chat, "uploads": sandbox._uploads}
    data = (dict, list, set, str, bytes, int, float, bool, type(None))
    return {
        f"{name}.{attribute}": plain(value)
        for name, part in parts.items()
        if hasattr(part, "__dict__")
        for attribute, value in vars(part).items()
        if isinstance(value, data)
    }


def test_everything_outlives_a_restart(tmp_path: Path, make_client: Callable[[Sandbox], Any]) -> None:
    """Another sandbox with the folder has the same users, groups, messages, receipts, calls, tokens and files."""
    with Sandbox(data=tmp_path / "data") as sandbox:
        live(sandbox)
        client = make_client(sandbox)
        me = client.log_in(ONE)
        headers = {"authToken": me["authToken"], "Content-Type": None}
        form = {"receiver": TWO, "receiverType": "user", "category": "message", "type": "image", "data": "{}"}
        files = {"files": ("a.png", b"\x89PNG", "image/png")}
        url = sandbox.url + "/messages"
        sent = requests.post(url, headers={**client.headers, **headers}, data=form, files=files, timeout=5).json()
        kept = state(sandbox)
        assert [name for name in TRACES if not kept[name]] == []
    with Sandbox(data=tmp_path / "data") as again:
        assert state(again) == kept
        assert again.auth_key == sandbox.auth_key
        other = make_client(again)
        other.resource, other.device_id = client.resource, client.device_id
        assert other.call("GET", "/me", headers={"authToken": me["authToken"]}).json()["data"]["uid"] == ONE
        path = sent["data"]["data"]["attachments"][0]["url"].replace(sandbox.url, "")
        assert other.call("GET", path).content == b"\x89PNG"
        socket = other.open()
        other.send(socket, other.auth_frame(ONE, me["jwt"]))
        assert other.receive(socket)["body"]["code"] == "200"
        assert again.send_message(ONE, TWO, "Hello", muid="m1")["id"] == "3"
        assert again.send_message(ONE, TWO, "New")["id"] == str(len(again.messages))


def test_actions_of_a_back_end_outlive_a_restart(tmp_path: Path, make_client: Callable[[Sandbox], Any]) -> None:
    """Deactivated users, tags, pins, reports, subscriptions and the API key are kept. The app stays one user."""
    with Sandbox(data=tmp_path) as sandbox:
        live(sandbox)
        client = make_client(sandbox)
        token = {"authToken": sandbox.auth_token(ONE)}
        key = {"apiKey": sandbox.api_key}
        asked = [
            client.call("PUT", f"/users/{TWO}/conversation", headers=token, body={"tags": ["old"]}),
            client.call("POST", f"/users/{TWO}/conversation/pin", headers=token),
            client.call("POST", "/messages/1/flagged", headers=token, body={"id": "spam"}),
            client.call("POST", "/messages/1/thread/subscription", headers=token),
            client.call("POST", "/users", headers=key, body={"uid": "bob", "name": "Bob", "metadata": {"a": 1}}),
            client.call("DELETE", "/users", headers=key, body={"uidsToDeactivate": ["bob"]}),
        ]
        assert [(answer.status_code, answer.text) for answer in asked if answer.status_code != 200] == []
        kept = state(sandbox)
    with Sandbox(data=tmp_path) as again:
        assert state(again) == kept
        assert again.api_key == sandbox.api_key
        assert again.reports == sandbox.reports != []
        assert "bob" not in again._chat.users
        other = make_client(again)
        body = {"receiver": ONE, "receiverType": "user", "category": "message", "type": "text", "data": {"text": "Hi"}}
        message = other.call("POST", "/messages", headers={"apiKey": again.api_key}, body=body).json()["data"]
        assert message["sender"] == "app_system"


SERVE = """
import sys
from cometchat.sandbox import Sandbox
with Sandbox(data=sys.argv[1], auth_key="key") as sandbox:
    print(sandbox.url, flush=True)
    sandbox.serve_forever()
"""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Make processes that serve the folder until they are killed."""
    started = []

    def start() -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", SERVE, str(tmp_path)]
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_answered_messages_outlive_a_kill(
    tmp_path: Path, killed: Callable[[], Any], sandbox: Sandbox, make_client: Callable[[Sandbox], Any]
) -> None:
    """After kill -9 right after an answer, each answered message exists."""
    client = make_client(sandbox)  # for its headers
    process = killed()
    url = process.stdout.readline().strip()

    def post(method: str, path: str, headers: Dict[str, str], body: Any) -> Any:
        return requests.request(method, url + path, headers={**client.headers, **headers}, json=body, timeout=5).json()

    token = post("POST", f"/users/{ONE}/auth_tokens", {"apiKey": "key"}, client.device)["data"]["authToken"]
    for number in range(20):
        body = {"receiver": TWO, "receiverType": "user", "category": "message", "type": "text"}
        message = post("POST", "/messages", {"authToken": token}, {**body, "data": {"text": str(number)}})
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert message["data"]["id"] == "20"
    with Sandbox(data=tmp_path) as again:
        assert [each["data"]["text"] for each in again.messages] == [str(number) for number in range(20)]
        assert again._chat.credentials.token(token) is not None


def test_a_frame_outlives_a_kill(tmp_path: Path, make_client: Callable[[Sandbox], Any]) -> None:
    """A receipt over the socket is written at once: a copy of the file has it."""
    with Sandbox(data=tmp_path / "data") as sandbox:
        sandbox.send_message(ONE, TWO, "Hi")
        client = make_client(sandbox)
        socket = client.connect(TWO)
        body = {"action": "read", "messageId": "1"}
        client.send(socket, client.frame("receipts", TWO, ONE, body, messageSender=ONE))
        client.send(socket, {"action": "ping", "ack": "true"})
        assert client.receive(socket) == {"action": "pong"}
        (tmp_path / "copy").mkdir()
        for file in (tmp_path / "data").iterdir():
            (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    with Sandbox(data=tmp_path / "copy") as again:
        assert again.messages[0]["readAt"]


def test_a_token_without_http_outlives_a_kill(tmp_path: Path) -> None:
    """An auth token and a jwt are written when the call returns: a copy of the file has both."""
    with Sandbox(data=tmp_path / "data") as sandbox:
        token, jwt = sandbox.auth_token(ONE), sandbox.jwt(ONE)
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
    credentials = Sandbox(data=tmp_path / "copy")._chat.credentials
    assert credentials.token(token) is not None and credentials.read_jwt(jwt).uid == ONE


def test_the_order_of_auth_tokens_outlives_a_restart(tmp_path: Path) -> None:
    """limit_tokens() voids the older ones, also among the tokens of one second."""
    with Sandbox(data=tmp_path) as sandbox:
        tokens = [sandbox.auth_token(ONE) for _ in range(9)]
    credentials = Sandbox(data=tmp_path)._chat.credentials
    assert [token for token in tokens if credentials.token(token, newest=3)] == tokens[-3:]


def test_a_fault_does_not_outlive_a_restart(tmp_path: Path) -> None:
    """The lifetime of jwts is a fault, too."""
    with Sandbox(data=tmp_path) as sandbox:
        sandbox.jwt_lifetime = -1
        sandbox.send_message(ONE, TWO, "Hello")
    with Sandbox(data=tmp_path) as again:
        assert again.jwt_lifetime == 60 * 24 * 3600


def test_only_changes_are_written(tmp_path: Path) -> None:
    """A message writes a few rows, for any length of the history. A look writes no row."""
    with Sandbox(data=tmp_path) as sandbox:
        for number in range(50):
            sandbox.send_message(ONE, TWO, str(number))
        assert sandbox._store is not None and sandbox._store._database is not None
        database = sandbox._store._database
        before = database.total_changes
        sandbox.send_message(ONE, TWO, "one more")
        after = database.total_changes
        sandbox.heal()
        assert (after - before, database.total_changes - after) == (2, 0)  # the message, and the history's feeds


def test_a_login_does_not_write_the_earlier_ones(tmp_path: Path) -> None:
    """A sandbox of a team gets thousands of logins, and each would take longer than the one before."""
    with Sandbox(data=tmp_path) as sandbox:
        tokens = [sandbox.auth_token(ONE) for _ in range(50)]
        jwts = [sandbox.jwt(ONE) for _ in range(50)]
        assert sandbox._store is not None and sandbox._store._database is not None
        query = "SELECT length(value) FROM state WHERE name = 'credentials'"
        (row,) = sandbox._store._database.execute(query).fetchall()
        assert row[0] < 1000
        sandbox.revoke_tokens(ONE)
        sandbox.expire_jwts()
    with Sandbox(data=tmp_path) as again:
        credentials = again._chat.credentials
        assert all(credentials.tokens[text].void for text in tokens)
        assert len(credentials._jwts) == len(jwts) and all(jwt.void for jwt in credentials._jwts.values())


def test_a_second_sandbox_is_refused(tmp_path: Path) -> None:
    """While one runs, another one with its folder cannot be made, and a stale one cannot start."""
    stale = Sandbox(data=tmp_path)
    with Sandbox(data=tmp_path):
        with pytest.raises(OSError, match="another sandbox may be using it"):
            Sandbox(data=tmp_path)
        with pytest.raises(OSError, match="another sandbox may be using it"):
            stale.start()
    with pytest.raises(OSError, match="another sandbox has changed it"):
        stale.start()
    assert not stale.running


def test_a_file_that_can_not_be_opened(tmp_path: Path) -> None:
    """It is an OSError with the path and the reason, such as for a folder that this user may not write to."""
    (tmp_path / "sandbox.db").mkdir()
    with pytest.raises(OSError, match="sandbox.db: unable to open database file$"):
        Sandbox(data=tmp_path)


#: Forks inside of a running sandbox, whose child leaves it and ends like any program. Then kills itself.
FORKING = f"""
import os, signal, sys
from cometchat.sandbox import Sandbox
with Sandbox(tls=True, data=sys.argv[1]) as sandbox:
    sandbox.send_message("{ONE}", "{TWO}", "before")
    child = os.fork()
    if child == 0:
        try:
            sandbox.send_message("{ONE}", "{TWO}", "of the child")
        except RuntimeError as error:
            assert "another process" in str(error), error
            sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os.path.exists(sandbox.ca_certs) and sandbox.running
    sandbox.send_message("{ONE}", "{TWO}", "after")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_ends_without_an_effect(tmp_path: Path) -> None:
    """It leaves the sandbox, its state and its certificate to the parent, also when the parent is killed later."""
    done = subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [message["data"]["text"] for message in Sandbox(data=tmp_path).messages] == ["before", "after"]


def test_a_state_with_the_earlier_journal_is_read(tmp_path: Path) -> None:
    """Earlier versions used SQLite's WAL, and a killed process leaves that file behind."""
    with Sandbox(data=tmp_path / "old") as sandbox:
        sandbox.send_message(ONE, TWO, "in the file")
    database = sqlite3.connect(tmp_path / "old" / "sandbox.db")
    database.execute("PRAGMA journal_mode=WAL")
    with database:
        (row,) = database.execute("SELECT value FROM state WHERE name = 'history._messages/0'").fetchone()
        message = {**pickle.loads(row), "id": "2"}
        database.execute("INSERT INTO state VALUES ('history._messages/1', ?)", [pickle.dumps(message)])
    shutil.copytree(tmp_path / "old", tmp_path / "killed")
    database.close()
    assert (tmp_path / "killed" / "sandbox.db-wal").exists()
    with Sandbox(data=tmp_path / "killed") as again:
        assert len(again.messages) == 2
    assert len(Sandbox(data=tmp_path / "killed").messages) == 2


def _fail_to_write(store: Store) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_full_disk_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """stop() raises, but ends the sandbox and serve_forever(), and releases the file."""
    sandbox = Sandbox(data=tmp_path).start()
    serving = threading.Thread(target=sandbox.serve_forever)
    serving.start()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", _fail_to_write)
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            sandbox.stop()
    serving.join(20)
    assert not serving.is_alive() and not sandbox.running
    sandbox.stop()
    with Sandbox(data=tmp_path):
        pass


def test_a_full_disk_in_between(
    tmp_path: Path,
    make_client: Callable[[Sandbox], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A change that can't be saved is refused with the service's envelope, and sockets stay open. Then all is saved."""
    with Sandbox(data=tmp_path) as sandbox:
        client = make_client(sandbox)
        token = client.log_in()["authToken"]
        socket = client.connect()
        body = {"receiver": TWO, "receiverType": "user", "category": "message", "type": "text", "muid": "m"}
        message = {**body, "data": {"text": "Hello"}}
        headers = {"authToken": token, "Origin": "http://localhost"}
        with monkeypatch.context() as patch:
            patch.setattr(Store, "save", _fail_to_write)
            refused = client.call("POST", "/messages", headers=headers, body=message)
            assert (refused.status_code, refused.json()["error"]["code"]) == (500, "ERR_MISSION_FAILED")
            assert refused.headers["Access-Control-Allow-Origin"] == "http://localhost"
            assert sandbox.requests[-1].status == 500
            assert client.call("OPTIONS", "/messages", headers=headers).status_code == 204
            client.send(socket, {"action": "ping", "ack": "true"})
            assert client.receive(socket) == {"action": "pong"}
        assert "database or disk is full" in caplog.text
        assert client.call("POST", "/messages", headers=headers, body=message).json()["data"]["id"] == "1"
        assert sandbox.connections == 1
    assert [message["data"]["text"] for message in Sandbox(data=tmp_path).messages] == ["Hello"]


def test_a_full_disk_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """start() raises OSError, and keeps neither the file nor the port."""
    sandbox = Sandbox(data=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", _fail_to_write)
        with pytest.raises(OSError, match="sandbox.db: database or disk is full$"):
            sandbox.start()
    assert sandbox._listener._bound is None
    with Sandbox(data=tmp_path), pytest.raises(OSError, match="another sandbox may be using it"):
        sandbox.start()


def test_it_starts_again_on_its_own_state(tmp_path: Path) -> None:
    """stop() and start() of one object keep the state. Changes in between are kept from the start on."""
    sandbox = Sandbox(data=tmp_path)
    sandbox.send_message(ONE, TWO, "before")
    with sandbox:
        sandbox.send_message(ONE, TWO, "one")
    sandbox.send_message(ONE, TWO, "stopped")
    sandbox.restart()
    sandbox.stop()
    assert [each["data"]["text"] for each in Sandbox(data=tmp_path).messages] == ["before", "one", "stopped"]


def _text(path: Path) -> None:
    path.write_text("not a database, but a text that is longer than the header of one" * 20)


def _row(value: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
        database.execute("INSERT INTO state VALUES ('format', ?)", (value,))
        database.commit()
        database.close()

    return write


class Call:
    """In pickled form, it is a call of a function."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self._path),))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Text, rubbish, another version's state and a pickle with code are a ValueError with the path, and run no code."""
    trap = tmp_path / "trap"
    writers = [_text, _row(b"rubbish"), _row(pickle.dumps(99)), _row(pickle.dumps(Call(trap)))]
    for number, write in enumerate(writers):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder / "sandbox.db")
        with pytest.raises(ValueError, match="sandbox.db: it"):
            Sandbox(data=folder)
    assert not trap.exists()


def test_a_seed_fills_a_new_folder_alone(tmp_path: Path) -> None:
    """The sample fills in users, groups and history once. A folder with a state does not change."""
    with Sandbox(data=tmp_path) as sandbox:
        assert sandbox.fill(SAMPLE)
        assert sandbox.fill(json.loads(block("sandbox.rst", "json", "users")))
        count = len(sandbox.messages)
        assert count == len(SAMPLE["messages"]) + 1
    with Sandbox(data=tmp_path) as again:
        assert not again.fill(SAMPLE)
        assert len(again.messages) == count
        assert again.play("ada").uid == "ada"


@pytest.mark.parametrize(
    "seed, error",
    [
        ({"users": [{"uid": "ada"}]}, ValueError),
        ({"messages": [{"sender": "nobody-here", "receiver": ONE, "text": "Hi"}]}, KeyError),
        ({"groups": [{"guid": "g", "name": "G", "typ": "private"}]}, ValueError),
        ({"users": 5}, ValueError),
        ({"users": None}, ValueError),
        ({"users": ["ada"]}, ValueError),
        ({"users": [{"uid": "ada", "name": 5}]}, ValueError),
        ({"users": [{"uid": 5, "name": "Ada"}]}, ValueError),
        ({"users": [{"uid": "ada", "name": "Ada", "role": ""}]}, ValueError),
        ({"users": [{"uid": "ada", "name": "Ada", "avatar": []}]}, ValueError),
    ],
)
def test_a_seed_that_is_wrong(sandbox: Sandbox, seed: Any, error: Any) -> None:
    """A missing or an unknown field, a value of another type and an unknown user are refused, as in the call."""
    with pytest.raises(error):
        sandbox.fill(seed)


def test_without_a_folder_nothing_is_loaded_or_written(tmp_path: Path) -> None:
    """sqlite3 and pickle's file are only for sandboxes that keep their state."""
    code = (
        "import sys\n"
        "from cometchat.sandbox import Sandbox\n"
        "with Sandbox() as sandbox: sandbox.send_message('cometchat-uid-1', 'cometchat-uid-2', 'Hi')\n"
        "print('sqlite3' in sys.modules, 'cometchat.sandbox._store' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.stdout == "False False\n", done.stderr
    assert list(tmp_path.iterdir()) == []
