"""Where secrets are kept, and how a log is kept free of them: the session file on a bad day, and SecretsFilter."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from integration.conftest import DEADLINE, UID, RawServer, finished, in_thread
from integration.transport_peers import Stopwatch

import cometchat
from cometchat import Client, FileSessionStore
from cometchat._runtime._redaction import Secrets

from .conftest import SOAK
from .fuzz_peers import JWT, KEY, TOKEN, Memory, Service

ROOT = Path(cometchat.__file__).resolve().parents[1]

MB = 2**20

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and file modes are POSIX's")

STORED = {"format": 1, "app_id": "app", "uid": UID, "auth_token": TOKEN, "device_id": "d", "user": {"uid": UID}}


@pytest.fixture
def service(serve: Callable[..., RawServer]) -> Service:
    made = Service()
    made.port = serve(made).port
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir(mode=0o700)
    return tmp_path / "kept" / "session.json"


# What may be in the session file's place.


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
    "damaged, and a folder where it would be set aside": lambda path: (
        path.write_bytes(b"{"),
        (path.parent / f"{path.name}.damaged" / "x").mkdir(parents=True),
    ),
}

FIELDS: Dict[str, Dict[str, Any]] = {
    "a uid that no database can take": {"uid": "\ud800"},
    "a token that no header can take": {"auth_token": "a\r\nX: b"},
    "a token of 1 MB": {"auth_token": "x" * MB},
    "a uid of 1 MB": {"uid": "x" * MB},
    "a token that is a number": {"auth_token": 5},
    "a user that is a list": {"user": []},
    "a format of tomorrow": {"format": 2},
    "a device that is none": {"device_id": None},
    "another app": {"app_id": "other"},
}
for _name, _fields in FIELDS.items():
    IN_ITS_PLACE[_name] = lambda path, fields=_fields: path.write_text(json.dumps({**STORED, **fields}))


@contextlib.contextmanager
def no_more_memory(megabytes: int) -> Iterator[None]:
    """So that a mistake is an error, and not the end of the machine."""
    import resource

    import psutil

    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + megabytes * MB, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@posix
@pytest.mark.parametrize("put", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE.keys())
def test_whatever_is_in_the_session_files_place_a_client_is_made_and_logs_in(
    service: Service, path: Path, put: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """At once, without the memory that it would take, and with a warning where there was something."""
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
    """A warning, nobody is logged in, and the file stays."""
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


@posix
def test_a_session_file_is_whole_whenever_its_writer_is_killed(path: Path, figures: Callable[..., None]) -> None:
    """``kill -9`` at any moment: the file is the newest session or the one before, and only its owner can read it."""
    rounds, chance, numbers = 100 if SOAK else 3, random.Random(7), []
    for _ in range(rounds):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen([sys.executable, "-c", _SAVING, str(path)], env=environment, stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"saving\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(chance.random() / 20)
        writer.send_signal(signal.SIGKILL)
        writer.wait(DEADLINE)
        writer.stdout.close()
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
    """What killed writers have left holds tokens: it goes with the next save or logout; what is new stays."""
    store, names = FileSessionStore(path), (".session-old", ".session-new", "other")
    store.save(STORED)
    for name in names:
        (path.parent / name).write_text(TOKEN)
        if name != ".session-new":
            os.utime(path.parent / name, (1, 1))
    store.save(STORED) if act == "save" else store.clear()
    assert [(path.parent / name).exists() for name in names] == [False, True, True]


# The filter.


class Broken:
    """An argument that can't be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.fixture
def said() -> Iterator[Callable[[], str]]:
    """All that is logged, through a handler with the filter; the handler raises what others would print."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    handler.addFilter(cometchat.SecretsFilter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """One that has used all three secrets."""
    with Client("app", service.settings(auto_establish_socket_connection=False)) as made:
        made.login(UID, KEY)
        yield made


def _raise(text: str) -> None:
    try:
        try:
            raise ValueError(text)
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logging.getLogger("app").exception("it failed")


WAYS: Dict[str, Callable[[str], object]] = {
    "the text": lambda secret: logging.getLogger("app").info(f"got {secret}!"),
    "an argument": lambda secret: logging.getLogger("app").info("got %s and %d", secret, 5),
    "an argument's repr": lambda secret: logging.getLogger("app").info("got %r", {"headers": [secret]}),
    "a mapping": lambda secret: logging.getLogger("app").info("got %(token)s", {"token": secret}),
    "bytes": lambda secret: logging.getLogger("app").info("got %r", secret.encode()),
    "JSON": lambda secret: logging.getLogger("app").info(json.dumps({"x": json.dumps({"y": secret})})),
    "an address": lambda secret: logging.getLogger("app").info("GET /?token=%s&x=1", secret),
    "a text that is none": lambda secret: logging.getLogger("app").info(ValueError(secret)),
    "an exception": _raise,
    "another library": lambda secret: logging.getLogger("urllib3.connectionpool").debug('"PUT /me" {%s}', secret),
    "a piece": lambda secret: logging.getLogger("app").info("got %s", secret[3:40]),
    "a stack": lambda secret: logging.getLogger("app").info("x", stack_info=True, extra={"y": secret}),
}


@pytest.mark.parametrize("secret", [KEY, TOKEN, JWT], ids=["auth key", "auth token", "jwt"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_filter_blots_out_what_a_client_has_used(
    client: Client, said: Callable[[], str], way: Callable[[str], object], secret: str
) -> None:
    """Whoever logs it and how: what the handler writes has no piece of it, and the rest of the record is there."""
    way(secret)
    text, body = said(), secret.partition(".")[2] or secret
    assert text.startswith(("app ", "urllib3"))
    assert [body[at : at + 20] for at in range(len(body) - 19) if body[at : at + 20] in text] == []


STRANGE: List[str] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "authToken: 0123456789abcdef0123",
    '"apiKey": "0123456789abcdef0123"',
    "{'authToken': '0123456789abcdef0123'}",
    "Authorization: Bearer 0123456789abcdef0123",
    "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZDAxMjM0NQ==",
    "auth_key=0123456789abcdef0123&x",
]


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:20])
def test_the_filter_blots_out_what_looks_like_a_secret(said: Callable[[], str], text: str) -> None:
    """Also where no client of this process has used it: a jwt, and what is named as a key, a token or a header."""
    logging.getLogger("app").info("before %s after", text)
    assert said().startswith("app before ") and " after" in said()
    for piece in ("0123456789", "dXNlcjpwYXNz", "MjM0NTY3", "dozjgNryP4J3"):
        assert piece not in said()


@pytest.mark.parametrize(
    "text", ["the author: me", "tokens: 5 of 7", "jwt expired", "a.b.c", "key=value", "eyJust saying"]
)
def test_the_filter_leaves_other_texts_alone(said: Callable[[], str], text: str) -> None:
    """What is no secret is written as it was."""
    logging.getLogger("app").info("before %s after", text)
    assert said() == f"app before {text} after\n"


def test_the_filter_raises_nothing() -> None:
    """Records that fit no format, of whoever: they pass, and the handler tells of them as without a filter."""
    one = cometchat.SecretsFilter()
    for message, args in (
        ("%d", ("x",)),
        ("%s", (Broken(),)),
        (None, ()),
        (Broken(), ()),
        ("%s %s", ("one",)),
        ("%", (5,)),
    ):
        record = logging.LogRecord("app", logging.INFO, "f", 1, message, args, None)  # type: ignore[arg-type]
        assert one.filter(record) is True
    for exc_info in ((None, None, None), (ValueError, ValueError("x"), None)):
        assert one.filter(logging.LogRecord("app", 20, "f", 1, "x", (), exc_info)) is True  # type: ignore[arg-type]


def test_the_filter_works_while_clients_come_and_go(said: Callable[[], str]) -> None:
    """Threads that log, and one that makes clients: nobody's call to a logger raises."""
    rounds, done = 1000, []

    def come_and_go() -> None:
        while not done:
            kept = [Secrets() for _ in range(50)]
            for each in kept:
                each.add(TOKEN)

    maker = in_thread(come_and_go)
    try:
        for number in range(rounds):
            logging.getLogger("app").info("number %d", number)
    finally:
        done.append(True)
        finished(*maker)
    assert said().count("number") == rounds


def test_the_filter_is_quick_with_texts_of_a_megabyte(client: Client, said: Callable[[], str]) -> None:
    """Whatever is in them, such as what is nearly a secret over and over."""
    client._core.account._secrets.add("a" * 8000)
    with Stopwatch() as watch:
        for text in (
            "x" * MB,
            "a" * 19 + "b",
            "eyJ" * (MB // 3),
            "jwt=" * (MB // 4),
            "authToken " * (MB // 10),
            "." * MB,
        ):
            logging.getLogger("app").info(text * max(1, MB // len(text)))
    assert watch.seconds < 30
    assert len(said()) > 5 * MB
