"""The shared parts of the tests of processes that share a connection: a real Redis, and members in processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
from integration.conftest import OTHER_UID, QUICK, UID, eventually

from cometchat import Client, MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .support import DEADLINE, HERE, free_port

CONNECTED = "connected"
#: Makes a connected client and its store.
Make = Callable[..., Any]

STATUSES = ("connecting", CONNECTED, "disconnected", "featureThrottled")


class RedisServer:
    """Debian's Redis without persistence, on a free port."""

    def __init__(self, password: str = "", *options: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
        self._program = program
        self._password = password
        self._options = options
        self._folder = tempfile.mkdtemp(prefix="cometchat-redis-")  # a replica writes a file
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.port = free_port()
        self.process: Optional["subprocess.Popen[bytes]"] = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{':' + self._password + '@' if self._password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it without data."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder]
        options += ["--save", "", "--appendonly", "no"]
        if self._password:
            options += ["--requirepass", self._password]
        options += self._options
        self.process = subprocess.Popen(
            [self._program, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert eventually(self._answers, DEADLINE), "redis-server does not start"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        redis = pytest.importorskip("redis")
        client = redis.Redis.from_url(self.url)
        try:
            yield client
        finally:
            client.close()

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    @property
    def version(self) -> Tuple[int, ...]:
        with self.client() as client:
            return tuple(int(part) for part in client.info("server")["redis_version"].split("."))

    def commands(self) -> int:
        """Return the number of commands that it has executed."""
        with self.client() as client:
            stats = client.info("commandstats")
        own = ("cmdstat_info", "cmdstat_client|setinfo", "cmdstat_hello", "cmdstat_client|setname")
        return sum(told["calls"] for name, told in stats.items() if name not in own)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for the module. It runs at the start of each test."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def clients(sandbox: Sandbox, redis_server: RedisServer) -> Iterator[Make]:
    """Makes connected clients that share one connection, and streams.

    At the end all are closed, and Redis is emptied.
    """
    from cometchat.contrib.redis import RedisStatusStore

    redis_server.flush()
    made: List[Client] = []

    def make(lease: float = 1.0) -> Tuple[Client, Any]:
        store = RedisStatusStore(redis_server.url, lease=lease)
        settings = sandbox.settings(status_store=store, reconnect_wait=QUICK, subscription_type="ALL_USERS")
        client = Client(sandbox.app_id, settings)
        made.append(client)
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)
        return client, store

    yield make
    for each in made:
        each.close()


class Machine:
    """A machine that sleeps: only the clock that counts the sleep goes on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        if not hasattr(time, "CLOCK_BOOTTIME"):
            pytest.skip("this system has no clock that counts the sleep")
        self._slept, self._read = 0.0, time.clock_gettime
        patch.setattr(time, "clock_gettime", self._time_of)

    def sleep(self, seconds: float) -> None:
        self._slept += seconds

    def _time_of(self, clock: int) -> float:
        return self._read(clock) + (self._slept if clock == time.CLOCK_BOOTTIME else 0.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


class Texts(MessageListener):
    """Records the texts."""

    def __init__(self) -> None:
        self.texts: List[str] = []

    def on_text_message_received(self, message: TextMessage) -> None:
        self.texts.append(message.text or "")


class Long(Texts):
    """Its callback returns when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.release = threading.Event(), threading.Event()

    def on_text_message_received(self, message: TextMessage) -> None:
        self.begun.set()
        self.release.wait(DEADLINE)
        super().on_text_message_received(message)


class Event(NamedTuple):
    """A line of a member."""

    time: float
    what: str
    value: Any


class Member:
    """A process of ``redis_member.py``."""

    def __init__(self, sandbox: Sandbox, url: str, lease: float, uid: str = UID, **more: Any) -> None:
        told = {
            **{"url": sandbox.url, "app_id": sandbox.app_id, "auth_key": sandbox.auth_key, "redis": url},
            **{"lease": lease, "uid": uid, "peer": OTHER_UID, **more},
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "redis_member.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**env, "MEMBER": json.dumps(told), "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.pid = self._process.pid
        self.alive = True
        self._errors: List[str] = []
        self._events: List[Event] = []
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=act, name="test-member", daemon=True) for act in (self._read, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def events(self) -> List[Event]:
        with self._changed:
            return list(self._events)

    def values(self, what: str) -> List[Any]:
        return [event.value for event in self.events if event.what == what]

    def statuses(self) -> List[str]:
        return [event.what for event in self.events if event.what in STATUSES]

    @property
    def status(self) -> Optional[str]:
        """The last status that its listeners got."""
        return (self.statuses() or [None])[-1]

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def clear(self) -> None:
        """Forget the past events, except the status."""
        with self._changed:
            self._events[:] = [event for event in self._events if event.what in STATUSES][-1:]

    def wait(self, predicate: Callable[[], Any], what: str, timeout: float = DEADLINE) -> Any:
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
        assert value, f"{self.pid}: no {what} within {timeout:g} s: {self.events[-20:]}\n{self.errors}"
        return value

    def wait_for(self, what: str, timeout: float = DEADLINE) -> Event:
        """Wait until one of these events has happened, and return the newest."""
        self.wait(lambda: any(event.what == what for event in self._events), what, timeout)
        return [event for event in self.events if event.what == what][-1]

    def ask(self, what: str, answer: str) -> Any:
        with self._changed:
            before = len([event for event in self._events if event.what == answer])
        self.say(what)
        self.wait(lambda: len([e for e in self._events if e.what == answer]) > before, answer)
        return self.values(answer)[-1]

    def say(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()

    def send(self, signum: int) -> None:
        self._process.send_signal(signum)

    def end(self, signum: int = signal.SIGKILL) -> None:
        """End it with SIGKILL, or ask it to close and assert that it ends with 0."""
        if self.alive:
            self.alive = False
            if signum == signal.SIGKILL:
                self._process.kill()
            elif signum == signal.SIGTERM:
                self.say("close")
            self._process.wait(DEADLINE)
            for thread in self._threads:
                thread.join(DEADLINE)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            if signum == signal.SIGTERM:
                assert self._process.returncode == 0 and "Traceback" not in self.errors, self.errors

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._events.append(Event(*json.loads(line)))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)


class Cluster:
    """A number of members, and the sandbox to which they share one connection. Dead members are replaced."""

    def __init__(self, sandbox: Sandbox, redis_server: RedisServer, lease: float, **more: Any) -> None:
        self.sandbox = sandbox
        self.redis = redis_server
        self.lease = lease
        self._more = more
        self.members: List[Member] = []

    def start(self, count: int) -> List[Member]:
        """Bring it to this size. All members are connected, and have no more events to report."""
        self.members = [member for member in self.members if member.alive]
        for _ in range(count - len(self.members)):
            self.members.append(self.new_member())
        self.agree(CONNECTED)
        for member in self.members:
            member.ask("status", "status")  # the member is far enough to answer
            member.clear()
        return self.members

    def new_member(self) -> Member:
        return Member(self.sandbox, self.redis.url, self.lease, **self._more)

    def agree(self, status: str) -> float:
        """Wait until all members have reported this status. Returns the monotonic time of the last report."""
        deadline = time.monotonic() + DEADLINE
        for member in self.living:
            member.wait(lambda: member.status == status, status, max(0.0, deadline - time.monotonic()))
        return max([event for event in member.events if event.what == status][-1].time for member in self.living)

    @property
    def living(self) -> List[Member]:
        return [member for member in self.members if member.alive]

    def leader(self) -> Member:
        """Return the only leader. After a loss of data, there may be two until the older one's next renewal."""

        def one() -> List[Member]:
            leaders = [member for member in self.living if member.ask("leads", "leads")]
            return leaders if len(leaders) == 1 else []

        (leader,) = eventually(one, DEADLINE)
        return leader

    def followers(self) -> List[Member]:
        leader = self.leader()
        return [member for member in self.living if member is not leader]

    def close(self) -> None:
        for member in self.members:
            member.end()


def overlap(sandbox: Sandbox, ends: threading.Event) -> List[float]:
    """Watch until the event. Returns the longest time, in seconds, for which two were connected at once."""
    longest, since = 0.0, None
    while not ends.wait(0.005):
        now = time.monotonic()
        if sandbox.connections > 1:
            since = now if since is None else since
            longest = max(longest, now - since)
        else:
            since = None
    return [longest]


@contextlib.contextmanager
def overlaps(sandbox: Sandbox) -> Iterator[Dict[str, float]]:
    """Yield a dict. At the end, its ``"seconds"`` say how long two were connected at once."""
    ends, found = threading.Event(), {"seconds": 0.0}

    def watch() -> None:
        found["seconds"] = overlap(sandbox, ends)[0]

    thread = threading.Thread(target=watch, name="test-overlap", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ends.set()
        thread.join(DEADLINE)
