"""The failures that do not end the threads of the Redis store, and the limits of their queues. Without a Redis."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections import deque
from types import SimpleNamespace
from typing import Any, Callable, Deque, Iterator, List, Optional, Tuple

import pytest
from no_threads import no_threads

from cometchat import CometChatException, ConnectionException, SharedStatus

redis = pytest.importorskip("redis")

from cometchat.contrib.redis import RedisStatusStore, _queue, _wire  # noqa: E402
from cometchat.contrib.redis._queue import BATCH_BYTES, MAX_WAITING_BYTES, Item, LimitedQueue  # noqa: E402
from cometchat.contrib.redis._reader import Reader  # noqa: E402
from cometchat.contrib.redis._seat import RedisSeat  # noqa: E402
from cometchat.contrib.redis._unconfirmed import UnconfirmedFrames  # noqa: E402
from cometchat.contrib.redis._wire import Frame, Keys, State, encode_frame, encode_state  # noqa: E402

from .redis_support import Machine  # noqa: E402
from .support import DEADLINE, eventually  # noqa: E402

MEGABYTE = b"x" * 2**20


class Member:
    def __init__(self) -> None:
        self.away_codes: List[str] = []

    def lead(self) -> None:
        """Do nothing: the test looks at the seat."""

    def follow(self, status: SharedStatus) -> None:
        """Do nothing: the test looks at the seat."""

    def away(self, error: CometChatException) -> None:
        self.away_codes.append(error.code)

    def frame(self, data: bytes) -> None:
        """Do nothing: the test looks at the seat."""

    def send(self, text: str) -> bool:
        return False


class Clock:
    """Time that passes when the seat waits. It also replaces the seat's queue."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: List[float] = []
        self.items: Deque[Item] = deque()

    def __call__(self) -> float:
        return self.now

    def put(self, kind: str, value: Any = None) -> None:
        self.items.append(Item(kind, value))

    def offer(self, kind: str, value: Any, size: int) -> bool:
        self.items.append(Item(kind, value, size))
        return True

    def take(self, wait: float) -> List[Item]:
        if self.items:
            return [self.items.popleft()]
        self.waits.append(wait)
        self.now += wait
        return []


def seat_of(connect: Callable[[float], Any], clock: Optional[Clock] = None, member: Any = None) -> RedisSeat:
    clocks: Any = {} if clock is None else {"clock": clock}  # else the seat's default
    seat = RedisSeat(
        member or Member(),
        Keys.of("p", "app", "u1"),
        connect=connect,
        address="host:1",
        lease=3.0,
        events=True,
        number=1,
        jitter=lambda: 1.0,
        **clocks,
    )
    if clock is not None:
        seat._queue = clock  # type: ignore[assignment]
    return seat


ERRORS = [
    redis.ConnectionError("refused"),
    OSError(24, "too many open files"),
    RuntimeError("can't start new thread"),
    MemoryError(),
    ValueError("of a patched module"),
    RecursionError(),
]


def fail_for(times: int) -> Tuple[Callable[[float], Any], List[int], Callable[[RedisSeat], None]]:
    """Return a connect() that raises, each time another error, and at the end lets the seat leave."""
    count = [0]
    seats: List[RedisSeat] = []

    def connect(timeout: float) -> Any:
        count[0] += 1
        if count[0] >= times:
            seats[0].leave()
        raise ERRORS[count[0] % len(ERRORS)]

    return connect, count, seats.append


def test_two_thousand_failures_do_not_end_a_seat() -> None:
    """After any kind of failure the wait grows to its limit and stays there. The member is notified once."""
    connect, count, tell = fail_for(2_000)
    clock, member = Clock(), Member()
    seat = seat_of(connect, clock, member)
    tell(seat)
    logging.disable(logging.CRITICAL)
    try:
        seat._main()
    finally:
        logging.disable(logging.NOTSET)
    assert count == [2_000]
    assert clock.waits[0] < 1.0 and clock.waits[-1] == pytest.approx(1.0) and max(clock.waits) < 1.001
    assert member.away_codes == ["ERR_STATUS_STORE"]
    assert seat._ended.is_set()


def test_a_member_or_a_log_that_raises_does_not_end_a_seat() -> None:
    """The member is the client, whose log handlers may raise as well."""

    class Failing(Member):
        def away(self, error: CometChatException) -> None:
            super().away(error)
            raise OSError(28, "No space left on device")

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(28, "No space left on device")

    connect, count, tell = fail_for(50)
    seat = seat_of(connect, Clock(), Failing())
    tell(seat)
    handler = Broken()
    logging.getLogger("cometchat").addHandler(handler)
    try:
        seat._main()
    finally:
        logging.getLogger("cometchat").removeHandler(handler)
    assert count == [50]


def test_a_redis_that_accepts_connections_but_refuses_commands_is_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    """It loads its data, is a replica, or has no memory left. It is reachable again when it carries out a command."""
    error = redis.exceptions.ReadOnlyError("You can't write against a read only replica.")

    def refuse(*arguments: Any) -> int:
        raise error

    member = Member()
    seat = seat_of(lambda timeout: None, Clock(), member)
    with caplog.at_level("INFO"):
        for _ in range(5):
            with pytest.raises(redis.RedisError):
                seat._resume(SimpleNamespace(eval=refuse))
            seat._wait_for_redis(error, 1.0)
        assert member.away_codes == ["ERR_STATUS_STORE"]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        seat._resume(SimpleNamespace(eval=lambda *arguments: 1))
    assert seat.leads and caplog.messages[-1] == "Redis at host:1 is reachable again"
    seat._until = 0.0
    seat._wait_for_redis(error, 1.0)
    assert len(member.away_codes) == 2  # the next outage


def test_a_lead_that_the_member_does_not_know_is_given_up() -> None:
    """The process has no memory left when it gets the lead. It does not hold the lock without a connection."""
    led: List[int] = []

    class Failing(Member):
        def lead(self) -> None:
            led.append(1)
            if len(led) == 1:
                raise MemoryError

    seat = seat_of(lambda timeout: None, Clock(), Failing())
    line = SimpleNamespace(eval=lambda *arguments: 1)
    with pytest.raises(MemoryError):
        seat._resume(line)
    assert not seat.leads
    seat._resume(line)
    assert seat.leads and len(led) == 2


class Exiting(logging.Handler):
    """A log handler that tries to end the thread."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit


@contextlib.contextmanager
def exiting_log() -> Iterator[None]:
    handler, log = Exiting(), logging.getLogger("cometchat")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


def ignore(channel: bytes, data: bytes) -> None:
    """Do nothing: the seat accepts no message."""


def test_a_log_that_exits_does_not_end_the_thread_of_a_seat() -> None:
    """SystemExit of a handler ends a plain thread silently. The client would be left without its seat."""
    attempts, went_on = [0], threading.Event()

    def connect(timeout: float) -> Any:
        attempts[0] += 1
        if attempts[0] >= 4:
            went_on.set()
        raise redis.ConnectionError("refused")

    seat = RedisSeat(
        Member(), Keys.of("p", "app", "u1"), connect=connect, address="host:1", lease=3.0, events=True, number=1
    )
    with exiting_log():
        seat.start()
        try:
            assert went_on.wait(DEADLINE), f"the thread ended after {attempts[0]} attempts"
        finally:
            seat.leave()
            seat.wait_left(DEADLINE)
        assert seat._ended.is_set()


def test_a_log_that_exits_does_not_hide_the_end_of_a_reader() -> None:
    """The seat is notified that the subscription ended, and makes another one."""
    waiting = LimitedQueue()
    reader = Reader(lambda: Subscription(SUBSCRIBED, SystemExit()), ["down"], ignore, waiting, 1)
    with exiting_log():
        reader.start(DEADLINE)
        items = eventually(lambda: waiting.take(0.0))
        assert [item.kind for item in items] == ["broken"]
        assert eventually(lambda: reader.has_ended)
    reader.stop()


def test_a_frame_that_no_leader_confirms_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A follower's typing while the leader is dead is lost, and counted after twice the lease, with one warning."""
    clock, published = Clock(), []
    seat = seat_of(lambda timeout: None, clock)
    line = HeldLine()
    line.publish = lambda *args: published.append(args)  # type: ignore[attr-defined]
    for text in ("a", "b", "c"):
        seat._send_up(line, text)
    name = seat._own_name.encode()
    assert published == [(seat.keys.up, b"%s:%d:%s" % (name, n, t)) for n, t in ((1, b"a"), (2, b"b"), (3, b"c"))]
    seat._receive(seat._confirmations.encode(), b"2,7,x,")
    clock.now = 5.9
    seat.unconfirmed.count_lost()
    assert seat.unconfirmed.lost == 0
    clock.now = 6.0
    seat.unconfirmed.count_lost()
    seat.unconfirmed.count_lost()
    assert seat.unconfirmed.lost == 2
    assert [record.getMessage()[:2] for record in caplog.records] == ["2 "]


def test_the_lost_frames_of_two_seats_that_end_together_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one seat adds its lost frames to the store's, another thread ends another seat. No count is lost."""
    monkeypatch.setattr(RedisSeat, "start", lambda seat: None)
    store = RedisStatusStore("redis://127.0.0.1:1")
    first, second = [store.join("app", f"u{number}", Member()) for number in (1, 2)]

    class ReadByAnotherThread(UnconfirmedFrames):
        """Ends the second seat while the count of the first one is read."""

        @property
        def lost(self) -> int:  # type: ignore[override]
            thread = threading.Thread(target=second.release_after_fork)
            thread.start()
            thread.join()
            return 3

    second.unconfirmed.lose(5)  # type: ignore[attr-defined]
    first.unconfirmed.__class__ = ReadByAnotherThread  # type: ignore[attr-defined]
    first.release_after_fork()
    assert store.frames_lost == 8
    assert not store.leads


def test_a_leader_confirms_sent_frames() -> None:
    """A leader confirms to the follower that asked, in one message. Frames that the member refused stay unconfirmed."""

    class Sending(Member):
        def send(self, text: str) -> bool:
            return text != "refused"

    published: List[Any] = []
    seat = seat_of(lambda timeout: None, Clock(), Sending())
    seat._until = 100.0
    for message in (b"one:1:a", b"one:2:refused", b"two:1:b", b"one:3:c", b"rubbish", b"one:x:y"):
        seat._receive(seat.keys.up.encode(), message)
    line = HeldLine()
    line.publish = lambda *args: published.append(args)  # type: ignore[attr-defined]
    seat._confirm(line)
    seat._confirm(line)
    assert sorted(published) == [(f"{seat.keys.up}:one", "1,3"), (f"{seat.keys.up}:two", "1")]


def test_a_leader_that_stood_still_sends_no_frame_of_a_follower() -> None:
    """After the end of a lead, another leader has sent the frames that waited while this process stood still."""
    sent: List[str] = []

    class Sending(Member):
        def send(self, text: str) -> bool:
            sent.append(text)
            return True

    clock = Clock()
    seat = seat_of(lambda timeout: None, clock, Sending())
    seat._until = 100.0
    seat._receive(seat.keys.up.encode(), b"one:1:in time")
    clock.now = 100.0
    seat._receive(seat.keys.up.encode(), b"one:2:late")
    line = HeldLine()
    published: List[Any] = []
    line.publish = lambda *args: published.append(args)  # type: ignore[attr-defined]
    seat._send_up(line, "its own, from before its lead")
    seat._confirm(line)
    assert sent == ["in time"]
    assert published[0][0] == seat.keys.up and published[1:] == [(f"{seat.keys.up}:one", "1")]


def test_a_leader_on_a_machine_that_slept_leads_no_longer(machine: Machine) -> None:
    """On Linux ``time.monotonic()`` stands still while the machine sleeps, but the lock in Redis expires."""
    seat = seat_of(lambda timeout: None)
    seat._prolong(seat._clock())
    assert seat.leads and time.monotonic() < seat.leads_until() < time.monotonic() + 3.0
    machine.sleep(3.0)
    assert not seat.leads and seat.leads_until() < time.monotonic()


def test_a_frozen_clock_does_not_change_the_end_of_a_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's test may replace ``time.monotonic``. The client goes on with the real one."""
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: 1_577_836_800.0)
    seat = seat_of(lambda timeout: None)
    seat._prolong(seat._clock())
    assert real() < seat.leads_until() < real() + 3.0


def test_items_behind_one_that_raised_are_done_later() -> None:
    """A status that waited behind it is not lost. Otherwise the followers would keep the old one."""
    seat = seat_of(lambda timeout: None, Clock())
    seat._batch.extend([Item("broken", redis.ConnectionError("gone")), Item("publish", SharedStatus("connected"))])
    seat._until = 100.0
    with pytest.raises(redis.ConnectionError):
        seat._work(None, 0.0)
    seat._wait_for_redis(redis.ConnectionError("gone"), 0.5)
    assert seat._status.status == "connected"


class Follower(Member):
    """Keeps the reports of the leader's connection."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: List[str] = []

    def follow(self, status: SharedStatus) -> None:
        self.followed.append(status.status if status.error is None else "broken")


class HeldLine:
    """Replaces the redis library's client. Another process leads, and Redis keeps the state of its connection."""

    state = encode_state(State(token=5, number=0, status=SharedStatus("connected")))

    def eval(self, script: str, count: int, *arguments: Any) -> int:
        return -1000  # another process has the lock for one more second

    def get(self, key: str) -> bytes:
        return self.state


@pytest.mark.parametrize("hears", [False, True])
def test_a_leader_makes_a_silent_subscription_again(hears: bool) -> None:
    """A leader gets its own messages too. Without any, it would not get the frames of its followers either."""
    clock = Clock()
    seat = seat_of(lambda timeout: None, clock)
    line = HeldLine()
    line.eval = lambda *args: 1  # type: ignore[assignment, method-assign]
    seat._resume(line)
    assert seat.leads

    def lead(half_seconds: int) -> None:
        for _ in range(half_seconds):
            clock.now += 0.5
            if hears:
                seat._take_message(seat.keys.down.encode(), HeldLine.state)
            seat._work(line, 0.0)

    lead(8)  # the lease is 3 s
    with contextlib.nullcontext() if hears else pytest.raises(redis.ConnectionError, match="do not arrive"):
        lead(8)
    assert seat.leads


@pytest.mark.parametrize("lost", [0, 1])
def test_a_new_subscription_is_a_gap_only_if_frames_were_lost(lost: int) -> None:
    """The follower knows the number of the newest frame from the state in Redis, although no message has arrived."""
    member = Follower()
    seat = seat_of(lambda timeout: None, Clock(), member)
    seat._resume(HeldLine())
    assert member.followed == ["connecting", "connected"]
    seat._resume(HeldLine())  # Redis has ended the subscription, and the seat has made another
    member.followed.clear()
    seat._receive(seat.keys.down.encode(), encode_state(State(5, lost, SharedStatus("connected"))))
    assert member.followed == (["broken", "connected", "connected"] if lost else ["connected"])


class Hearing(Follower):
    """Keeps the frames too."""

    def frame(self, data: bytes) -> None:
        self.followed.append(data.decode())


def test_a_frame_that_is_next_goes_to_the_member_at_once() -> None:
    """The reader's thread delivers it, without the seat's thread. A frame out of order waits for the seat's thread."""
    member = Hearing()
    seat = seat_of(lambda timeout: None, Clock(), member)
    seat._queue = LimitedQueue()
    down = seat.keys.down.encode()

    def frame(number: int, token: int = 5) -> bytes:
        return encode_frame(Frame(token, number, b"%d" % number))

    def work() -> None:
        seat._work(None, 0.0)

    seat._try_at = 100.0
    seat._take_message(down, frame(1))  # of an unknown lead
    assert (member.followed, seat._queue.waits) == ([], 1)
    work()
    seat._take_message(down, HeldLine.state)
    seat._take_message(down, frame(1))  # must not overtake the state
    assert (member.followed, seat._queue.waits) == ([], 2)
    work()
    assert member.followed == ["connecting", "connected", "1"]
    member.followed.clear()
    for number in (2, 3):
        seat._take_message(down, frame(number))
    assert (member.followed, seat._queue.waits) == (["2", "3"], 0)
    seat._take_message(down, frame(5))
    seat._take_message(down, frame(6))
    assert (member.followed, seat._queue.waits) == (["2", "3"], 2)
    work()
    assert member.followed[2:] == ["broken", "connected", "5", "6"], "the gap, then what came behind it"
    member.followed.clear()
    seat._until = 100.0
    seat._renew_at = 100.0
    seat._take_message(down, frame(7))
    work()
    assert member.followed == [], "a leader hears its own connection"
    seat._own_token = 5
    seat._take_message(down, frame(8))
    assert seat._queue.waits == 0, "an echo of its own lead is not worth a turn of the seat's thread"


def test_frames_that_wait_are_bounded_in_bytes() -> None:
    """Redis does not answer for a while, and 1,500 MiB of frames arrive. 16 MiB of them wait, and the rest is a gap."""
    seat = seat_of(lambda timeout: None, Clock())
    seat._queue = waiting = LimitedQueue()
    for _ in range(1500):
        seat.relay(MEGABYTE)
    seat.publish(SharedStatus("connected"))
    assert waiting._bytes <= MAX_WAITING_BYTES
    kinds: List[str] = []
    while waiting._items.qsize():
        items = waiting.take(0.0)
        assert sum(item.size for item in items) <= BATCH_BYTES + len(MEGABYTE)
        kinds += [item.kind for item in items]
    assert (kinds.count("relay"), kinds.count("skip"), kinds.count("publish")) == (16, 1484, 1)
    assert waiting._bytes == 0
    frames: List[bytes] = []
    for kind in kinds[:18]:
        seat._number_frame(b"x" if kind == "relay" else None, frames)
    seat._number_frame(b"last", frames)
    assert _wire.decode(frames[-1]) == (None, Frame(0, 19, b"last")), "followers see that numbers are missing"


def test_small_frames_are_bounded_in_number() -> None:
    """Each frame has a fixed cost, however small it is."""
    waiting = LimitedQueue()
    taken = sum(waiting.offer("relay", b"x", 1) for _ in range(_queue.MAX_WAITING + 500))
    assert taken == _queue.MAX_WAITING


class Subscription:
    """Replaces the redis library: one subscription whose reads do what the test wants."""

    def __init__(self, *reads: Any) -> None:
        self.reads = deque(reads)
        self.connection = self
        self.connection_pool = self
        self.closed = 0

    def pubsub(self) -> Subscription:
        return self

    def subscribe(self, *channels: str) -> None:
        """Do nothing: the answer is one of the reads."""

    def read_response(self, disconnect_on_error: bool, push_request: bool) -> Any:
        read = self.reads.popleft() if self.reads else redis.TimeoutError()
        if isinstance(read, BaseException):
            raise read
        return read

    @staticmethod
    def handle_message(answer: Any) -> Any:
        return {"type": answer[0].decode()}

    def close(self) -> None:
        self.closed += 1

    def disconnect(self) -> None:
        """Disconnect the pool."""


SUBSCRIBED = [b"subscribe", b"down", 1]


def timeout_of_hiredis() -> redis.ConnectionError:
    """Return the error that redis-py raises for a timeout on Python 3.9 with hiredis."""
    error = redis.ConnectionError("Error while reading from localhost:6379 : ('Timeout reading from socket',)")
    error.__context__ = TimeoutError("Timeout reading from socket")
    return error


@pytest.mark.parametrize("silence", [redis.TimeoutError(), timeout_of_hiredis()], ids=["redis", "hiredis"])
def test_a_reader_goes_on_after_a_silence(silence: redis.RedisError) -> None:
    """Nothing came for as long as a call may take. The next message is read."""
    taken: List[Any] = []
    reads = SUBSCRIBED, silence, [b"message", b"down", b"1"], redis.ConnectionError()
    subscription = Subscription(*reads)
    reader = Reader(lambda: subscription, ["down"], lambda *message: taken.append(message), LimitedQueue(), 1)
    reader.start(DEADLINE)
    assert eventually(lambda: reader.has_ended)
    assert taken == [(b"down", b"1")]
    reader.stop()
    assert subscription.closed == 2, "the subscription and its client"


class Unreachable(Subscription):
    """The lookup of the name of Redis takes long: of a library's client at its first use, or in a function for it."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once
        self.tries, self.found = 0, threading.Event()

    def connect(self, timeout: float) -> Unreachable:
        if self.at_once:
            self.look_up()
        return self

    def subscribe(self, *channels: str) -> None:
        self.look_up()

    def look_up(self) -> None:
        self.tries += 1
        self.found.wait(3 * DEADLINE)
        raise redis.ConnectionError("Name or service not known")


@pytest.mark.parametrize("at_once", [False, True])
def test_a_lookup_that_hangs_does_not_hide_an_outage(at_once: bool) -> None:
    """During the lookup the seat notifies its member, and starts no other lookup. It continues after the lookup."""
    unreachable, member = Unreachable(at_once=at_once), Member()
    keys, connect = Keys.of("p", "app", "u1"), unreachable.connect
    seat = RedisSeat(member, keys, connect=connect, address="host:1", lease=1.0, events=True, number=1)
    seat.start()
    try:
        assert eventually(lambda: member.away_codes == ["ERR_STATUS_STORE"], DEADLINE)
        assert unreachable.tries == 1
        unreachable.found.set()
        assert eventually(lambda: unreachable.tries > 2, DEADLINE)
    finally:
        unreachable.found.set()
        seat.leave()
        seat.wait_left(DEADLINE)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_reader_reports_its_end(error: Exception) -> None:
    """The seat is notified, and makes another subscription."""
    waiting = LimitedQueue()
    reader = Reader(lambda: Subscription(SUBSCRIBED, error), ["down"], ignore, waiting, 1)
    reader.start(DEADLINE)
    items = eventually(lambda: waiting.take(0.0))
    assert [item.kind for item in items] == ["broken"] and isinstance(items[0].value, redis.RedisError)
    assert eventually(lambda: reader.has_ended)
    reader.stop()


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_a_reader_without_a_thread_is_an_error_of_the_attempt(method: str) -> None:
    """The seat tries again later, and nothing was opened."""
    subscription = Subscription()
    reader = Reader(lambda: subscription, ["down"], ignore, LimitedQueue(), 1)

    with no_threads(method=method), pytest.raises(CometChatException) as raised:
        reader.start(DEADLINE)
    assert raised.value.code == "ERR_INTERNAL" and reader.has_ended
    reader.stop()
    assert subscription.closed == 0


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_a_store_without_a_thread_says_so(method: str) -> None:
    """A store without a thread raises an error that the client's next attempt may not have.

    No seat is left in the store.
    """
    store = RedisStatusStore("redis://127.0.0.1:1")

    with no_threads(method=method), pytest.raises(ConnectionException) as raised:
        store.join("app", "u1", Member())
    assert raised.value.code == "ERR_STATUS_STORE" and "can't start new thread" in raised.value.message
    assert not store._seats


# TLS.


class TlsServer:
    """A server with a certificate for another name. It keeps the received bytes."""

    def __init__(self, folder: Any) -> None:
        trustme = pytest.importorskip("trustme")
        authority = trustme.CA()
        self.authority = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.authority)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("other.example").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self._thread = threading.Thread(target=self._serve, name="test-tls", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with contextlib.suppress(OSError), connection:
                    with self._context.wrap_socket(connection, server_side=True) as encrypted:
                        self.received += encrypted.recv(1000)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE)


@pytest.fixture
def tls_server(tmp_path: Any) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path)
    yield server
    server.close()


@pytest.mark.parametrize("more", ["", "&ssl_check_hostname=false"])
def test_a_certificate_for_another_name_is_refused(more: str, tls_server: TlsServer) -> None:
    """redis-py before 6.0 did not check the name, and sent the password to any server with a valid certificate."""
    url = f"rediss://:secret-word@127.0.0.1:{tls_server.port}/0?ssl_ca_certs={tls_server.authority}{more}"
    connection = RedisStatusStore(url).connection(DEADLINE)
    with pytest.raises(redis.ConnectionError):
        connection.ping()
    assert tls_server.received == b""
    assert connection.connection_pool.connection_kwargs["ssl_check_hostname"] is True


def test_every_certificate_may_be_trusted(tls_server: TlsServer) -> None:
    """``ssl_cert_reqs=none`` is an explicit choice, and is still possible."""
    url = f"rediss://:secret-word@127.0.0.1:{tls_server.port}/0?ssl_cert_reqs=none"
    connection = RedisStatusStore(url).connection(DEADLINE)
    with pytest.raises(redis.RedisError):
        connection.ping()
    assert eventually(lambda: tls_server.received)
