"""The storage of secrets: the session file on a bad day."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from integration.conftest import DEADLINE, UID, finished, in_thread
from integration.transport_peers import Stopwatch

import cometchat
from cometchat import Client, FileSessionStore

from .conftest import SOAK
from .fuzz_peers import KEY, TOKEN, Memory, Service, own_memory

ROOT = Path(cometchat.__file__).resolve().parents[1]

MB = 2**20

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and file modes are POSIX's")

STORED = {"format": 1, "app_id": "app", "uid": UID, "auth_token": TOKEN, "device_id": "d", "user": {"uid": UID}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir(mode=0o700)
    return tmp_path / "kept" / "session.json"


# Possible objects in the session file's place.


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _gigabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 * 1024 * MB)


def _session_of_300_mb(path: Path) -> None:
    with path.open("w") as file:
        file.write(json.dumps({**STORED, "user": {"name": ""}})[:-3])
        for _ in range(300):
            file.write("x" * MB)
        file.write('"}}')


IN_ITS_PLACE: Dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "an empty file": lambda path: path.write_bytes(b""),
    "bytes": lambda path: path.write_bytes(os.urandom(5000)),
    "a folder": lambda path: path.mkdir(),
    "a folder with a file": lambda path: (path / "x").mkdir(parents=True),
    "a pipe": _fifo,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "two gigabytes of zeros": _gigabytes,
    "a session of 300 MB": _session_of_300_mb,
    "half of a session": lambda path: path.write_bytes(b"{"),
}

FIELDS: Dict[str, Dict[str, Any]] = {
    "a uid that no database can take": {"uid": "\ud800"},
    "a token that no header can take": {"auth_token": "a\r\nX: b"},
    "a token of 1 MB": {"auth_token": "x" * MB},
    "a uid of 1 MB": {"uid": "x" * MB},
    "a token that is a number": {"auth_token": 5},
    "a user that is a list": {"user": []},
    "a format of tomorrow": {"format": 2},
    "a missing device": {"device_id": None},
    "another app": {"app_id": "other"},
}
for _name, _fields in FIELDS.items():
    IN_ITS_PLACE[_name] = lambda path, fields=_fields: path.write_text(json.dumps({**STORED, **fields}))


@contextlib.contextmanager
def no_more_memory(megabytes: int) -> Iterator[None]:
    """Limit the memory, so that a mistake is an error and does not stop the machine."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (own_memory()[0] + megabytes * MB, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@posix
@pytest.mark.parametrize("put", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE.keys())
def test_a_client_logs_in_with_any_object_in_the_session_files_place(
    service: Service, path: Path, put: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """The client logs in at once, without the memory for the content, and with a warning if there was content."""
    put(path)
    was = path.is_symlink() or path.exists()
    settings = service.settings(session_store=FileSessionStore(path), auto_establish_socket_connection=False)
    with Memory() as memory, Stopwatch() as watch, no_more_memory(1024):
        thread, outcome = in_thread(lambda: Client("app", settings))
        client = finished(thread, outcome, 5)
    assert memory.peak < 100 and watch.seconds < 5
    with client:
        restored = client.get_logged_in_user()
        if restored is None:
            assert bool([each for each in caplog.records if each.levelname == "WARNING"]) == was or path.is_symlink()
        assert client.login(UID, KEY).uid == UID
        assert client.outbox.pending() == 0
    assert TOKEN not in caplog.text


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_session_file_that_may_not_be_read(service: Service, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning is logged, no user is logged in, and the file stays."""
    path.write_text(json.dumps(STORED))
    path.chmod(0)
    with Client("app", service.settings(session_store=FileSessionStore(path))) as client:
        assert client.get_logged_in_user() is None
    assert "PermissionError" in caplog.text and path.exists()


_SAVING = """
import sys
from cometchat import FileSessionStore
store = FileSessionStore(sys.argv[1])
for number in range(10**9):
    store.save({"format": 1, "number": number, "filler": "x" * (number % 50) * 1000})
    if number == 3:
        print("saving", flush=True)
"""


def save_and_be_killed(path: Path, seconds: float = 0.0) -> None:
    """Run a process that saves sessions, and kill it this many seconds after its first ones."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writer = subprocess.Popen([sys.executable, "-c", _SAVING, str(path)], env=environment, stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdout.readline() == b"saving\n"
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(seconds)
    writer.send_signal(signal.SIGKILL)
    writer.wait(DEADLINE)
    writer.stdout.close()


@posix
def test_a_session_file_is_whole_whenever_its_writer_is_killed(path: Path, figures: Callable[..., None]) -> None:
    """After ``kill -9`` at any moment, the file is the newest session or the one before, for its owner only."""
    rounds, chance, numbers = 100 if SOAK else 3, random.Random(7), []
    for _ in range(rounds):
        save_and_be_killed(path, chance.random() / 20)
        stored = FileSessionStore(path).load()
        assert stored is not None and len(stored["filler"]) == stored["number"] % 50 * 1000
        numbers.append(stored["number"])
        assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    left = [each.name for each in path.parent.iterdir() if each != path]
    figures(kills=rounds, damaged=0, saves=sum(numbers), half_files_left=len(left))
    assert len(left) <= rounds


@posix
@pytest.mark.parametrize("act", ["save", "clear"])
def test_half_files_of_long_ago_are_removed(path: Path, act: str) -> None:
    """Files of killed writers contain tokens. The next save or logout removes them. New files stay."""
    store = FileSessionStore(path)
    names = {
        ".session.json-abcd_123.half": 1,
        ".session.json-abcd_124.half": None,
        # Files of other programs, and of a session file with a longer name.
        ".session-old": 1,
        ".session.json-backup": 1,
        ".session.json-b-abcd_123.half": 1,
        "other": 1,
    }
    store.save(STORED)
    for name, time in names.items():
        (path.parent / name).write_text(TOKEN)
        if time is not None:
            os.utime(path.parent / name, (time, time))
    store.save(STORED) if act == "save" else store.clear()
    assert [(path.parent / name).exists() for name in names] == [False, True, True, True, True, True]


@posix
def test_the_half_file_of_a_killed_save_is_one_that_the_next_save_removes(path: Path) -> None:
    """A save names its file as the removal expects it."""
    store = FileSessionStore(path)
    for _ in range(20):
        save_and_be_killed(path)
        left = [each for each in path.parent.iterdir() if each != path]
        if left:
            break
    else:
        pytest.skip("each kill came between two saves")
    for each in left:
        os.utime(each, (1, 1))
    store.save(STORED)
    assert list(path.parent.iterdir()) == [path]
