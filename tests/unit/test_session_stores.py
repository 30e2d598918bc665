"""The session stores, and the check of a session."""

from __future__ import annotations

import copy
import errno
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import AppSettings, Client, FileSessionStore, InvalidArgumentException, MemorySessionStore, SessionStore
from cometchat import session_store as session_module
from cometchat._log import SafeLog
from cometchat._runtime.account import _session as runtime_module
from cometchat._runtime.account._session import CarefulStore, Session

TOKEN = "s3cret-auth-token-0123456789"
STORED: Dict[str, Any] = {
    "format": 1,
    "app_id": "app",
    "uid": "uid1",
    "auth_token": TOKEN,
    "device_id": "app_0_1",
    "user": {"uid": "uid1", "name": "Andrew"},
}

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "session.json"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Give all permissions to all users, unless a file has other ones."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


def client(store: SessionStore, app_id: str = "app") -> Client:
    return Client(app_id, AppSettings(region="us", session_store=store, auto_establish_socket_connection=False))


def who(store: SessionStore, app_id: str = "app") -> Any:
    """Return the uid that a client with this store is logged in as."""
    with client(store, app_id) as made:
        user = made.get_logged_in_user()
        return None if user is None else user.uid


# Both stores.


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, path: Path) -> Any:
    return MemorySessionStore() if request.param == "memory" else FileSessionStore(path)


def test_a_session_comes_back_as_it_was_saved(store: Any) -> None:
    """At first there is no session, then the last saved one, then no session again. A second clear() is a no-op."""
    assert store.load() is None
    store.save(STORED)
    store.save({**STORED, "uid": "Zo\u00eb \U0001f4ac"})
    assert store.load() == {**STORED, "uid": "Zo\u00eb \U0001f4ac"}
    store.clear()
    store.clear()
    assert store.load() is None


def test_a_client_takes_the_session_up(store: Any) -> None:
    """The user is logged in from the start, with the stored fields."""
    store.save(STORED)
    with client(store) as made:
        user = made.get_logged_in_user()
    assert user is not None
    assert (user.uid, user.name, user.auth_token) == ("uid1", "Andrew", TOKEN)


def test_the_session_of_another_app_is_not_taken_up(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A warning says so, and the session stays: its own app may still want it."""
    store.save(STORED)
    with caplog.at_level(logging.WARNING, "cometchat"):
        assert who(store, "app2") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "app2" in caplog.text and TOKEN not in caplog.text
    assert store.load() == STORED


def test_no_repr_shows_the_token(store: Any) -> None:
    """Neither a store's nor a settings' nor a session's repr has the token."""
    store.save(STORED)
    session = Session.from_store(STORED, "app")
    with client(store) as made:
        shown = [repr(store), str(store), repr(made.settings), repr(made), repr(session), f"{session}"]
    assert session is not None and session.auth_token == TOKEN
    assert [text for text in shown if TOKEN in text] == []


def test_a_store_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A client of a store that raises is made, without a user. The log has the error's name and not its text."""

    class Broken(MemorySessionStore):
        def load(self) -> Any:
            raise KeyError(TOKEN)

    with caplog.at_level(logging.WARNING, "cometchat"):
        assert who(Broken()) is None
    assert "KeyError" in caplog.records[0].getMessage() and TOKEN not in caplog.records[0].getMessage()


# The file.


@posix
def test_the_file_is_the_users_alone(path: Path, open_umask: None) -> None:
    """The file has mode 0600 in a folder of mode 0700, for any umask."""
    FileSessionStore(path).save(STORED)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


@posix
def test_every_folder_that_is_made_is_the_users_alone(tmp_path: Path, open_umask: None) -> None:
    """Of several missing folders each gets mode 0700: no other user can rename their content."""
    path = tmp_path / "a" / "b" / "c" / "session.json"
    FileSessionStore(path).save(STORED)
    assert [mode(tmp_path.joinpath(*parts)) for parts in ("a", "ab", "abc")] == [0o700] * 3
    assert FileSessionStore(path).load() == STORED


@posix
def test_a_folder_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    """The store changes no folder that it has not made. A file that all may read is private after the next save."""
    (tmp_path / "mine").mkdir(mode=0o755)
    path = tmp_path / "mine" / "session.json"
    write(path, b"{}")
    path.chmod(0o666)
    FileSessionStore(path).save(STORED)
    assert (mode(path), mode(path.parent)) == (0o600, 0o755)


def test_loading_makes_no_folder(path: Path) -> None:
    """A missing folder means no session, and is not made by a read."""
    store = FileSessionStore(path)
    assert store.load() is None
    store.clear()
    assert not path.parent.exists()


@pytest.fixture
def another_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give a file, or a link, to another user."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345, follow_symlinks=False)
        else:
            monkeypatch.setattr("cometchat.session_store.os.geteuid", lambda: 12345)

    return give


@posix
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_is_followed(path: Path, tmp_path: Path, there: bool) -> None:
    """The link stays a link: its target is written, read and removed."""
    target, link = tmp_path / "real.json", path
    link.parent.mkdir()
    link.symlink_to(target)
    if there:
        write(target, json.dumps({**STORED, "uid": "old"}).encode())
    store = FileSessionStore(link)
    assert (store.load() or {}).get("uid") == ("old" if there else None)
    store.save(STORED)
    assert link.is_symlink() and json.loads(target.read_text()) == STORED and mode(target) == 0o600
    assert store.load() == STORED
    write(target, b"{")
    assert store.load() is None
    assert link.is_symlink() and target.read_bytes() == b"{"
    store.save(STORED)
    store.clear()
    assert link.is_symlink() and not target.exists()
    assert [entry.name for entry in link.parent.iterdir()] == [link.name]


@posix
def test_a_link_to_itself_is_not_replaced(path: Path) -> None:
    """The error says that it is a link to itself."""
    path.parent.mkdir()
    path.symlink_to(path.name)
    with pytest.raises(OSError):
        FileSessionStore(path).save(STORED)
    assert path.is_symlink() and len(list(path.parent.iterdir())) == 1


@posix
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "to a link"])
def test_what_is_not_a_file_is_not_replaced(path: Path, tmp_path: Path, linked: bool) -> None:
    """A device or a pipe is neither replaced nor removed. Root could take /dev/null from all programs."""
    path.parent.mkdir()
    pipe = tmp_path / "pipe" if linked else path
    os.mkfifo(pipe)
    if linked:
        path.symlink_to(pipe)
    store = FileSessionStore(path)
    for call in (store.load, store.clear, lambda: store.save(STORED)):
        with pytest.raises(OSError, match="not a file"):
            call()
    assert stat.S_ISFIFO(os.stat(path).st_mode) and os.path.islink(path) == linked


@posix
def test_a_link_of_another_user_is_not_followed(
    path: Path, tmp_path: Path, another_user: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """In a shared folder it may lead to any file of this user, which is neither read, nor replaced, nor removed."""
    path.parent.mkdir()
    path.symlink_to(tmp_path / "precious")
    write(tmp_path / "precious", json.dumps(STORED).encode())
    another_user(path)
    store = FileSessionStore(path)
    assert store.load() is None
    assert "a link that belongs to another user" in caplog.text and TOKEN not in caplog.text
    for act in (lambda: store.save({**STORED, "uid": "other"}), store.clear):
        with pytest.raises(PermissionError):
            act()
    assert json.loads((tmp_path / "precious").read_text()) == STORED and path.is_symlink()


@posix
def test_a_file_of_another_user_is_not_loaded(
    path: Path, another_user: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A planted session would log this user in as the attacker. The next save replaces it."""
    write(path, json.dumps(STORED).encode())
    another_user(path)
    store = FileSessionStore(path)
    assert store.load() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "belongs to another user" in caplog.text and TOKEN not in caplog.text
    assert json.loads(path.read_text()) == STORED
    if os.geteuid() == 0:
        store.save(STORED)
        assert store.load() == STORED


@posix
@pytest.mark.parametrize("wide", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_loaded(path: Path, wide: int, caplog: pytest.LogCaptureFixture) -> None:
    """The content may be another user's. A file that others may read is loaded."""
    store = FileSessionStore(path)
    store.save(STORED)
    path.chmod(wide)
    assert store.load() is None
    assert "other users may write to it" in caplog.text and path.exists()
    path.chmod(0o644)
    assert store.load() == STORED


@posix
def test_a_link_that_takes_the_files_place_is_not_opened(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link may appear between the check and the opening: only a plain file is opened."""
    store = FileSessionStore(path)
    store.save(STORED)
    os.rename(path, tmp_path / "moved")
    monkeypatch.setattr(FileSessionStore, "_target", lambda self: self.path)
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError):
        store.load()


class Crash(BaseException):
    """Ends the running code, like Ctrl-C."""


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "json.dump"])
@pytest.mark.parametrize("error", [Crash, OSError], ids=lambda error: error.__name__)
def test_a_save_that_breaks_off_leaves_the_old_session(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Any
) -> None:
    """At any step, the old file is whole, the error is raised, and no temporary file is left."""
    store = FileSessionStore(path)
    store.save(STORED)

    def crash(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"cometchat.session_store.{step}", crash)
        with pytest.raises(error):
            store.save({**STORED, "uid": "other"})
    assert store.load() == STORED
    assert [entry.name for entry in path.parent.iterdir()] == ["session.json"]


def test_a_signal_handler_that_raises_right_after_a_save(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception passes, and the new session is there."""
    replace = os.replace

    def interrupted(*args: Any) -> None:
        replace(*args)
        raise Crash

    monkeypatch.setattr("cometchat.session_store.os.replace", interrupted)
    with pytest.raises(Crash):
        FileSessionStore(path).save(STORED)
    assert FileSessionStore(path).load() == STORED


def test_a_value_outside_of_json_leaves_the_old_session(path: Path) -> None:
    """For a value that JSON cannot express, the old file is whole."""
    store = FileSessionStore(path)
    store.save(STORED)
    with pytest.raises(TypeError):
        store.save({**STORED, "user": {"a": 1, "b": object()}})
    assert store.load() == STORED
    assert [entry.name for entry in path.parent.iterdir()] == ["session.json"]


_KILLED = """
import json, os, sys
from cometchat import FileSessionStore
from cometchat import session_store as session

class Killing(dict):
    def items(self):
        yield "format", 1
        yield "auth_token", "x" * 100_000
        os._exit(9)

FileSessionStore(sys.argv[1]).save(Killing(format=1))
"""


def test_a_process_that_is_killed_while_it_saves_leaves_the_old_session(path: Path) -> None:
    """Half of the new file is written when the process ends. The old one is read as before."""
    store = FileSessionStore(path)
    store.save(STORED)
    environment = {**os.environ, "PYTHONPATH": str(Path(session_module.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(path)], env=environment, timeout=50)
    assert ended.returncode == 9
    assert store.load() == STORED


DAMAGED = {
    "empty": b"",
    "one byte": b"{",
    "half of it": json.dumps(STORED).encode()[:40],
    "two of them": json.dumps(STORED).encode() * 2,
    "not UTF-8": b'{"uid": "\xff\xfe"}',
    "zeros": b"\0" * 4096,
    "deep objects": b'{"a":' * 200_000,
}

FOREIGN = {
    "white space": b"\n \n",
    "UTF-16": json.dumps(STORED).encode("utf-16"),
    "a list": b"[1, 2]",
    "a string": b'"session"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "deep": b"[" * 200_000,
    "a number of 10,000 digits": b"9" * 10_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
    "megabytes of text": b"session " * 500_000,
}


@pytest.mark.parametrize("content", {**DAMAGED, **FOREIGN}.values(), ids={**DAMAGED, **FOREIGN}.keys())
def test_a_file_that_is_not_a_session(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """No user is logged in, one warning names the file, and it stays as it is."""
    write(path, content)
    with caplog.at_level(logging.WARNING, "cometchat"):
        assert FileSessionStore(path).load() is None
    (record,) = caplog.records
    assert record.levelname == "WARNING" and f"{path} is not a session" in record.getMessage()
    assert path.read_bytes() == content and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_session_is_replaced(path: Path, content: bytes) -> None:
    """It begins like a session, or is empty: the next login takes its place."""
    write(path, content)
    store = FileSessionStore(path)
    store.save(STORED)
    assert store.load() == STORED and mode(path) == 0o600
    write(path, content)
    store.clear()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_of_another_program_is_not_replaced(path: Path, content: bytes) -> None:
    """save() raises, and clear() does nothing: the file stays as it is."""
    write(path, content)
    store = FileSessionStore(path)
    with pytest.raises(FileExistsError, match="not a session"):
        store.save(STORED)
    store.clear()
    assert path.read_bytes() == content and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("content", [b'{"a": 1}', b"{}", b'{"format": 2}', b'{"uid": "uid1", "auth_token": "t"}'])
def test_a_file_of_something_else_stays_where_it_is(path: Path, content: bytes) -> None:
    """A JSON object that is not a session may be another program's: no user is logged in, and the file stays."""
    write(path, content)
    assert who(FileSessionStore(path)) is None
    assert path.read_bytes() == content


def test_settings_of_another_program_are_not_replaced(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """People and tools write JSON with line breaks. This SDK does not."""
    content = json.dumps({"name": "bot", "version": "1.0.0"}, indent=2).encode()
    write(path, content)
    store = FileSessionStore(path)
    assert who(store) is None
    with pytest.raises(FileExistsError, match="not a session"):
        store.save(STORED)
    store.clear()
    assert path.read_bytes() == content


def test_a_folder_in_the_files_place(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client is made, without a user and with a warning. The folder and its content stay."""
    path.mkdir(parents=True)
    (path / "inside").write_bytes(b"x")
    with caplog.at_level(logging.WARNING, "cometchat"):
        assert who(FileSessionStore(path)) is None
    assert "IsADirectoryError" in caplog.text or "PermissionError" in caplog.text
    assert (path / "inside").read_bytes() == b"x"
    with pytest.raises(OSError):
        FileSessionStore(path).save(STORED)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_can_not_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is made, without a user and with a warning, and the file is neither moved nor removed."""
    FileSessionStore(path).save(STORED)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "cometchat"):
        patch.setattr(session_module, "open", refuse, raising=False)
        assert who(FileSessionStore(path)) is None
    assert "PermissionError" in caplog.text
    assert FileSessionStore(path).load() == STORED


@pytest.mark.parametrize("value", [None, ""], ids=repr)
def test_a_missing_path(value: Any) -> None:
    """``MISSING_PARAMETERS``."""
    with pytest.raises(InvalidArgumentException) as caught:
        FileSessionStore(value)
    assert (caught.value.code, caught.value.name) == ("MISSING_PARAMETERS", "path")


@each_row("value", [5, b"path", object(), ["path"], True, 1.5])
def test_a_wrong_path(value: Any) -> None:
    """``INVALID_PATH``."""
    with pytest.raises(InvalidArgumentException) as caught:
        FileSessionStore(value)
    assert (caught.value.code, caught.value.name) == ("INVALID_PATH", "path")


def test_a_path_is_taken_as_it_is_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path stays the same, also if the process changes its folder. str and Path are the same."""
    monkeypatch.chdir(tmp_path)
    store = FileSessionStore("session.json")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.save(STORED)
    assert (tmp_path / "session.json").exists()
    assert FileSessionStore(tmp_path / "session.json").load() == STORED


def test_file_stores_are_equal_by_their_path(tmp_path: Path) -> None:
    """So a second ``CometChat.init`` with the same settings is a no-op."""
    one, same, other = (FileSessionStore(tmp_path / name) for name in ("a", "a", "b"))
    assert one == same and hash(one) == hash(same) and one != other and one != MemorySessionStore()
    assert AppSettings(region="us", session_store=one) == AppSettings(region="us", session_store=same)
    assert str(tmp_path / "a") in repr(one)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))])
def test_a_file_store_can_be_copied(path: Path, duplicate: Callable[[Any], Any]) -> None:
    """A copy, a deep copy and a pickle keep the same file."""
    FileSessionStore(path).save(STORED)
    assert duplicate(FileSessionStore(path)).load() == STORED


def test_saves_at_once_leave_one_whole_session(path: Path) -> None:
    """Eight threads save, and one reads meanwhile. The result is always one of those sessions, and whole."""
    sessions = [{**STORED, "uid": f"uid{number}", "user": {"x": "y" * 5000 * number}} for number in range(8)]
    store, start, done = FileSessionStore(path), threading.Barrier(9), threading.Event()
    store.save(sessions[0])
    wrong: List[Any] = []

    def save(session: Dict[str, Any]) -> None:
        start.wait(10)
        for _ in range(20):
            store.save(session)

    def read() -> None:
        start.wait(10)
        while not done.is_set():
            found = store.load()
            if found not in sessions:
                wrong.append(found)

    savers = [threading.Thread(target=save, args=(session,)) for session in sessions]
    reader = threading.Thread(target=read)
    for thread in [*savers, reader]:
        thread.start()
    for thread in savers:
        thread.join(30)
    done.set()
    reader.join(30)
    assert not any(thread.is_alive() for thread in [*savers, reader])
    assert wrong == [] and store.load() in sessions
    assert [entry.name for entry in path.parent.iterdir()] == ["session.json"]


# Valid sessions.


def test_a_session_is_stored_without_jwt_and_settings() -> None:
    """Neither the jwt nor the settings are stored. The content is JSON, and gives the same session again."""
    made = Session("app", "uid1", TOKEN, "app_0_1", {"uid": "uid1", "name": "Andrew"}, "j.w.t", {"MODE": "DEFAULT"})
    stored = json.loads(json.dumps(made.to_store()))
    assert stored == STORED and "j.w.t" not in json.dumps(stored)
    assert Session.from_store(stored, "app") == Session("app", "uid1", TOKEN, "app_0_1", STORED["user"])


WRONG_TYPES: List[Any] = [None, True, 0, 1.5, "", [], {}, ["x"], {"a": 1}]


@each_row("key", sorted(STORED))
def test_a_session_that_lacks_anything_or_has_it_with_a_wrong_type(key: str) -> None:
    """Such an object is not a session. But without the user's fields, the user is known by its uid."""
    for value in [..., *WRONG_TYPES]:
        stored = {other: STORED[other] for other in STORED if other != key or value is not ...}
        if value is not ...:
            stored[key] = value
        read = Session.from_store(stored, "app")
        if key == "user":
            assert read is not None and read.to_user().uid == "uid1"
        elif not (key == "device_id" and value == "") and not (key == "format" and value is True):
            assert read is None, value


@each_row(
    "change, is_session",
    [
        ({"uid": "u", "auth_token": "t"}, True),
        ({"uid": "u" * 1000, "auth_token": "t" * 8192}, True),
        ({"uid": "u" * 1001}, False),
        ({"auth_token": "t" * 8193}, False),
        ({"uid": "\ud800"}, False),
        ({"auth_token": "t\r\nx: y"}, False),
        ({"device_id": "\ud800"}, False),
    ],
)
def test_the_texts_of_a_session(change: Dict[str, Any], is_session: bool) -> None:
    """A session's texts can be sent: they are not too long, are Unicode, and the token fits into a header."""
    assert (Session.from_store({**STORED, **change}, "app") is not None) is is_session


def test_a_store_that_another_process_has_cleared(caplog: pytest.LogCaptureFixture) -> None:
    """The end of a login finds nothing to clear there, which is not a problem of the store."""
    ended = Session.from_store(STORED, "app")
    store = CarefulStore(MemorySessionStore(), "app", SafeLog(logging.getLogger("cometchat.session")))
    store.save_newest(lambda: None, ended)
    assert store.load() is None and caplog.records == []


class Full(MemorySessionStore):
    """A store that can't be written."""

    def save(self, session: Mapping[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("uid, token, kept", [("UID1", "", True), ("uid1", "-newer", False), ("uid2", "-other", False)])
def test_a_failed_save_does_not_leave_an_earlier_login(uid: str, token: str, kept: bool) -> None:
    """After a restart the program must not be the earlier user, nor be logged in after a logout of the newer login."""
    store = Full()
    MemorySessionStore.save(store, STORED)
    session = Session.from_store({**STORED, "uid": uid, "auth_token": STORED["auth_token"] + token}, "app")
    CarefulStore(store, "app", SafeLog(logging.getLogger("cometchat.session"))).save_newest(lambda: session, None)
    assert (store.load() is not None) is kept


def test_a_store_that_can_not_be_read_is_cleared(caplog: pytest.LogCaptureFixture) -> None:
    """Its content may be the login that ended."""
    calls: List[str] = []

    class Blind(MemorySessionStore):
        def load(self) -> Any:
            raise OSError(errno.EIO, "Input/output error")

        def clear(self) -> None:
            calls.append("clear")

    ended = Session.from_store(STORED, "app")
    CarefulStore(Blind(), "app", SafeLog(logging.getLogger("cometchat.session"))).save_newest(lambda: None, ended)
    assert calls == ["clear"] and "can't be read (OSError)" in caplog.text


@each_row("stored", [None, 5, "x", [], True, [STORED], json.dumps(STORED)])
def test_only_a_mapping_is_a_session(stored: Any) -> None:
    """A user's own store may return anything."""
    assert Session.from_store(stored, "app") is None

    class Odd(MemorySessionStore):
        def load(self) -> Any:
            return stored

    assert who(Odd()) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={key: st.just(value) | JSON for key, value in STORED.items()}) | JSON)
def test_any_json_is_a_session_or_not(stored: Any) -> None:
    """For any content of a store, reading it does not raise, and a resulting session can be used."""
    read = Session.from_store(stored, "app")
    if read is not None:
        assert read.uid and read.auth_token and read.app_id == "app"
        assert read.to_user().uid == read.uid
        assert Session.from_store(read.to_store(), "app") == read


class Row(Mapping[str, Any]):
    """A user's own mapping, which reads its source only when it is used. The source is gone at the key ``broken``."""

    def __init__(self, fields: Dict[str, Any], broken: str = "") -> None:
        self._fields = fields
        self._broken = broken

    def __getitem__(self, key: str) -> Any:
        if key == self._broken:
            raise ConnectionError("the database is away")
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def resumed(stored: Mapping[str, Any]) -> Any:
    """Return the user of a client whose store holds this session."""
    store = MemorySessionStore()
    store.save(stored)
    with Client("app", AppSettings(region="us", auto_establish_socket_connection=False, session_store=store)) as client:
        return client.get_logged_in_user()


def test_any_mapping_is_a_session() -> None:
    """The session and the user in it may be mappings of another type than dict."""
    user = resumed(Row({**STORED, "user": Row({"uid": "uid1", "name": "Andrew"})}))
    assert (user.uid, user.name) == ("uid1", "Andrew")


@pytest.mark.parametrize("broken", ["format", "auth_token", "user", "name"])
def test_a_mapping_that_fails_is_a_store_that_fails(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client has no login, and logs a warning with the user's exception."""
    assert resumed(Row({**STORED, "user": Row({"uid": "uid1", "name": "Andrew"}, broken)}, broken)) is None
    assert "can't be read (ConnectionError)" in caplog.text and "the database is away" in caplog.text


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The store makes no folder named ``~``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert FileSessionStore("~/session").path == str(tmp_path / "session")


@pytest.mark.parametrize("path", [":memory:", "file:session", "sqlite:///session", "~no-such-user-here/session"])
def test_a_text_that_only_looks_like_a_path_is_refused(path: str) -> None:
    """As in the settings, no file with such a name is made."""
    with pytest.raises(InvalidArgumentException) as refused:
        FileSessionStore(path)
    assert (refused.value.code, refused.value.name) == ("INVALID_PATH", "path")


@pytest.mark.parametrize("name", ["replace", "open", "unlink"])
def test_windows_refuses_a_file_that_another_program_has_open(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There, a virus scanner opens each new file for a moment. The client tries again, but not forever."""
    session = Session.from_store(STORED, "app")
    assert session is not None
    store = CarefulStore(FileSessionStore(path), "app", SafeLog(logging.getLogger("cometchat.session")))
    store.save_newest(lambda: session, None)
    act: Callable[[], object] = {
        "replace": lambda: store.save_newest(lambda: session, None),
        "open": store.load,
        "unlink": lambda: store.save_newest(lambda: None, None),
    }[name]
    function, refusals = getattr(os, name), 2

    def refuse_at_first(place: Any, *arguments: Any) -> Any:
        nonlocal refusals
        if name == "open" and place != str(path):
            return function(place, *arguments)
        refusals -= 1
        if refusals >= 0:
            raise PermissionError(errno.EACCES, "it is used by another process", place)
        return function(place, *arguments)

    monkeypatch.setattr(runtime_module, "_AGAIN", 0.001)
    monkeypatch.setattr(runtime_module, "_TRIES", 2)
    monkeypatch.setattr(os, name, refuse_at_first)
    act()
    assert refusals == -1 and caplog.messages == []
    refusals = 100
    act()
    assert refusals < 98 and "PermissionError" in caplog.text
