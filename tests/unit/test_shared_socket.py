"""A client's share in a connection, with the tests' store, sockets and clock: the actions of each role."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest

from cometchat import CometChatException, ConnectionException, SharedStatus
from cometchat._fork_marks import process_name
from cometchat._protocol._frames import PING, Identity, readdress
from cometchat._protocol._states import STATUS, Phase
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.account._session import Session
from cometchat._runtime.sharing import Membership, SharedConnection, SharedSocket
from cometchat._runtime.sharing._membership import MAX_FRAMES, Role

UP = SharedStatus("connected")
CONNECTING = SharedStatus("connecting")
ERROR = ConnectionException("WS_CONNECTION_FAIL", "it broke")
LOST = SharedStatus("disconnected", 1, ERROR)

#: Maximum wait for another thread, in seconds.
DEADLINE = 5.0


class Seat:
    """Records its calls. It leads until ``until``. ``during`` has the work for another thread, by the call's name."""

    def __init__(self, during: Dict[str, Callable[[], object]]) -> None:
        self.until = 0.0
        self.asked: List[Tuple[str, Any]] = []
        self._during = during

    def leads_until(self) -> float:
        return self.until

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*args: Any) -> None:
            self.asked.append((name, *args))
            meanwhile(self._during.pop(name, None))

        return call


def meanwhile(work: Optional[Callable[[], object]]) -> None:
    """Do the work on another thread, and wait for its end."""
    if work is not None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(DEADLINE)
        assert not thread.is_alive(), "it waits for the call of the store"


class Real:
    """A socket of the service. ``frames`` are its frames. After them it returns None."""

    def __init__(self) -> None:
        self.frames: List[bytes] = []
        self.sent: List[str] = []
        self.deadlines: List[float] = []
        self.interrupted = self.closed = False
        self.fails: Optional[CometChatException] = None

    def open(self, url: str, timeout: float) -> None:
        if self.fails is not None:
            raise self.fails

    def receive(self, deadline: float, *, only_one: bool = False) -> List[bytes]:
        self.deadlines.append(deadline)
        if self.interrupted:
            raise ConnectionException("WS_CONNECTION_FAIL", "interrupted")
        frames, self.frames = self.frames, []
        return frames

    def send(self, text: str, timeout: float) -> None:
        if self.fails is not None:
            raise self.fails
        self.sent.append(text)

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None:
        self.closed = True


class House:
    """One client's parts, at the monotonic time ``now``, its account logged in as ``u1``."""

    def __init__(self) -> None:
        self.now = 100.0
        self.number = 1
        self.wake = Wakeup()
        self.routed: List[bytes] = []
        self.during: Dict[str, Callable[[], object]] = {}
        self.seats: List[Seat] = []
        self.members: List[Membership] = []
        self.reals: List[Real] = []
        session = Session("app", "u1", "token", "device", {})
        self.identity = Identity("app", "u1", "here", "device", "1")
        self.account = SimpleNamespace(
            session=session,
            shared_mode=None,
            require=lambda: session,
            identity=lambda of: self.identity,
            client_name=lambda: "client 1",
        )
        self.state = SimpleNamespace(status=STATUS[Phase.OPENING])
        self._store = SimpleNamespace(join=self._join)
        parts: Any = (self._store, self.account, lambda: self.state.status)
        self.shared = SharedConnection(*parts, self._real, lambda: self.now)

    def _join(self, app_id: str, uid: str, member: Membership) -> Seat:
        self.seats.append(Seat(self.during))
        self.members.append(member)
        seat = self.seats[-1]
        meanwhile(self.during.pop("join", None))
        return seat

    def _real(self) -> Any:
        self.reals.append(Real())
        return self.reals[-1]

    @property
    def member(self) -> Membership:
        return self.shared.enter(self.number, self.wake)

    def take(self, frames: Sequence[bytes]) -> None:
        self.routed += frames

    def socket(self) -> Any:
        return SharedSocket(self.shared, self.number, self.wake, self.take)

    def follower(self) -> SharedSocket:
        """Return a socket that follows, open and authenticated."""
        self.member.follow(UP)
        return self.authenticated(self.socket())

    def leader(self) -> SharedSocket:
        """Return a socket that leads, until 2 s from now."""
        member = self.member
        self.seats[-1].until = self.now + 2
        member.lead()
        self.state.status = STATUS[Phase.OPENING]
        socket = self.socket()
        socket.open("wss://host/", 5)
        return socket  # type: ignore[no-any-return]

    def authenticated(self, socket: Any) -> SharedSocket:
        socket.open("wss://host/", 5)
        socket.send("auth", 5)
        assert b'"auth"' in b"".join(socket.receive(self.now, only_one=True))
        return socket  # type: ignore[no-any-return]

    def step(self, new: Phase, *, error: bool = False) -> None:
        """Set the connection's phase, and report it like its thread."""
        self.state.status = STATUS[new]
        self.shared.publish(ERROR if error else None)

    def asked(self, name: str) -> List[Any]:
        """Return the arguments of the newest seat's calls with this name."""
        return [each[1] if len(each) == 2 else () for each in self.seats[-1].asked if each[0] == name]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait: the stores of these tests have their answers at once."""
    monkeypatch.setattr("cometchat._runtime.sharing._membership._REASON", 0.0)


@pytest.fixture
def house() -> House:
    return House()


def code(socket: SharedSocket) -> str:
    with pytest.raises(CometChatException) as raised:
        socket.receive(0.0)
    return raised.value.code


# A follower.


def test_a_follower_gets_relayed_frames(house: House) -> None:
    """A follower's frames come in order, one at a time or as a burst, without a socket of its own."""
    socket = house.follower()
    for frame in (b"1", b"2", b"3"):
        house.member.frame(frame)
    assert socket.receive(house.now, only_one=True) == [b"1"]
    assert socket.receive(house.now) == [b"2", b"3"]
    assert socket.receive(house.now, only_one=True) == []
    assert house.reals == []


class Waiting:
    """A thread that waits in ``receive``, with what it returned or raised."""

    def __init__(self, house: House, socket: SharedSocket) -> None:
        self.house = house
        self.got: List[Any] = []
        self.socket = socket
        self.thread = threading.Thread(target=self._run, name="test-receive")

    def _run(self) -> None:
        try:
            self.got.append(self.socket.receive(self.house.now + 60))
        except BaseException as error:
            self.got.append(error)

    def end(self) -> Any:
        self.thread.join(10)
        (got,) = self.got
        return got


@contextlib.contextmanager
def waiting(house: House, socket: SharedSocket) -> Iterator[Waiting]:
    """Run a block while a thread waits for frames."""
    waits = Waiting(house, socket)
    waits.thread.start()
    while house.member.waiting is None and waits.thread.is_alive():
        waits.thread.join(0.001)
    try:
        yield waits
    finally:
        socket.interrupt()
        waits.thread.join(10)


def test_a_waiting_thread_lets_the_stores_thread_route(house: House) -> None:
    """The frames do not wake it. A frame behind one that waits is not routed before it."""
    with waiting(house, house.follower()) as waits:
        house.member.frame(b"1")
        house.member.frame(b"2")
        assert (house.routed, waits.got) == ([b"1", b"2"], [])
        waits.socket.send(PING, 1)
        assert waits.end() == [b'{"action":"pong"}']
    house.member.frame(b"3")
    assert (house.routed, list(house.member.frames)) == ([b"1", b"2"], [b"3"])


@pytest.mark.parametrize("news", ["away", "lost", "new role"])
def test_a_frame_of_another_role_is_not_routed(house: House, news: str) -> None:
    """The role changed, and the waiting thread has not seen it yet."""
    socket = house.follower()
    house.member.waiting = socket  # as if its thread waited, and did not get the processor
    if news == "lost":
        house.member.follow(LOST)
    else:
        house.member.away(ERROR)
    if news == "new role":
        house.member.follow(UP)
    house.member.frame(b"1")
    assert house.routed == []


def test_two_threads_never_route_at_the_same_time(house: House) -> None:
    """While the store's thread routes, an interrupted connection thread waits. Other frames wait too."""
    entered, leave = threading.Event(), threading.Event()

    def take(frames: Sequence[bytes]) -> None:
        entered.set()
        leave.wait(10)

    house.take = take  # type: ignore[method-assign]
    with waiting(house, house.follower()) as waits:
        store = threading.Thread(target=house.member.frame, args=(b"1",), name="test-store")
        store.start()
        assert entered.wait(10)
        house.member.frame(b"2")
        waits.thread.join(0.05)
        assert waits.got == []
        leave.set()
        store.join(10)
        assert waits.end() == [b"2"]


@pytest.mark.parametrize("error", [ConnectionException("WS_AUTH_FAIL", "withdrawn"), SystemExit(3)])
def test_the_waiting_thread_gets_the_exception_of_a_frame(house: House, error: BaseException) -> None:
    """The thread of the store continues without it."""

    def take(frames: Sequence[bytes]) -> None:
        raise error

    house.take = take  # type: ignore[method-assign]
    with waiting(house, house.follower()) as waits:
        house.member.frame(b"1")
        assert waits.end() is error


def test_a_follower_is_open_only_while_the_leader_is_up(house: House) -> None:
    """open() waits while the leader is connecting, and returns when it is up. interrupt() ends the wait."""
    house.member.follow(CONNECTING)
    socket, opened = house.socket(), threading.Event()
    thread = threading.Thread(target=lambda: (socket.open("", 5), opened.set()), name="test-open")
    thread.start()
    assert not opened.wait(0.05)
    house.member.follow(UP)
    thread.join(10)
    assert opened.is_set()
    house.member.follow(CONNECTING)
    other, codes = house.socket(), []

    def fail() -> None:
        with pytest.raises(CometChatException) as raised:
            other.open("", 5)
        codes.append(raised.value.code)

    thread = threading.Thread(target=fail, name="test-open")
    thread.start()
    other.interrupt()
    thread.join(10)
    assert codes == ["WS_CONNECTION_FAIL"]


def test_a_followers_ping_is_answered_before_waiting_frames(house: House) -> None:
    """The pong does not wait behind frames for slow listeners."""
    socket = house.follower()
    house.member.frame(b"1")
    socket.send(PING, 1)
    assert socket.receive(house.now, only_one=True) == [b'{"action":"pong"}']
    assert socket.receive(house.now, only_one=True) == [b"1"]


def test_a_followers_frames_go_to_the_store(house: House) -> None:
    """Neither auth nor a ping does. The leader sends all other frames."""
    socket = house.follower()
    socket.send(PING, 1)
    socket.send("typing", 1)
    assert [each for each in house.seats[0].asked if each[0] == "send_up"] == [("send_up", "typing")]


def test_a_loss_that_is_over_is_noticed(house: House) -> None:
    """The leader lost its connection and has another. A follower's breaks too, behind earlier frames."""
    socket = house.follower()
    house.member.frame(b"before")
    house.member.follow(LOST)
    house.member.follow(SharedStatus("connected", 1, ERROR))
    house.member.frame(b"behind")
    assert socket.receive(house.now) == [b"before"]
    with pytest.raises(CometChatException) as raised:
        socket.receive(house.now)
    assert raised.value.message == "it broke"
    again = house.authenticated(house.socket())
    # Frames between the two are fetched: otherwise they would come in the wrong place.
    assert again.receive(house.now, only_one=True) == []


def test_an_unreported_loss_is_noticed(house: House) -> None:
    """The leader is up before and after, with one more failure: it has another connection."""
    socket = house.follower()
    house.member.follow(SharedStatus("connected", 1, ERROR))
    assert code(socket) == "WS_CONNECTION_FAIL"


def test_the_same_status_again_is_nothing(house: House) -> None:
    """A leader repeats its status. No follower breaks its connection for that, and none hurries."""
    socket = house.follower()
    news = house.member.has_news
    house.member.follow(SharedStatus("connected"))
    assert socket.receive(house.now, only_one=True) == []
    assert house.member.has_news is news


def test_each_failure_of_the_leader_is_reported_once(house: House) -> None:
    """While the leader fails, each of its errors fails one attempt of a follower."""
    house.member.follow(SharedStatus("connecting", 1, ERROR))
    with pytest.raises(CometChatException):
        house.socket().open("", 5)
    house.member.follow(SharedStatus("connecting", 2, ConnectionException("ERR_AUTH_TIMEOUT", "late")))
    with pytest.raises(CometChatException) as raised:
        house.socket().open("", 5)
    assert raised.value.code == "ERR_AUTH_TIMEOUT"
    house.member.follow(SharedStatus("connected", 2))
    house.authenticated(house.socket())


def test_the_leaders_mode_is_every_ones(house: House) -> None:
    """A follower gets throttling between frames, and its end."""
    socket = house.follower()
    assert house.account.shared_mode == "DEFAULT"
    house.member.follow(SharedStatus("featureThrottled"))
    assert socket.receive(house.now + 5, only_one=True) == []
    assert house.account.shared_mode != "DEFAULT"
    house.member.follow(UP)
    assert socket.receive(house.now + 5, only_one=True) == []
    assert house.account.shared_mode == "DEFAULT"


@pytest.mark.parametrize("news, why", [("lead", "took over"), ("away", "it broke")])
def test_the_end_of_a_role_ends_its_socket(house: House, news: str, why: str) -> None:
    """A follower that comes to lead, or whose store is away, neither receives nor sends on its old socket."""
    socket = house.follower()
    if news == "lead":
        house.member.lead()
    else:
        house.member.away(ERROR)
    with pytest.raises(CometChatException, match=why) as raised:
        socket.receive(house.now)
    assert raised.value is not ERROR
    with pytest.raises(CometChatException):
        socket.send("typing", 1)
    assert house.asked("send_up") == []


def test_a_slow_follower_fetches_missed_messages(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """If too many frames wait, the oldest are dropped, the connection breaks, and a warning says so."""
    socket = house.follower()
    for _ in range(MAX_FRAMES + 1):
        house.member.frame(b"x")
    assert code(socket) == "WS_CONNECTION_FAIL"
    assert "too slow" in caplog.text
    assert len(house.member.frames) == 1


# A leader.


def test_a_leader_has_a_real_socket_and_relays(house: House) -> None:
    """A leader returns its frames, and gives the events among them to the store."""
    socket = house.leader()
    house.reals[0].frames = [b"1", b"2"]
    assert socket.receive(house.now) == [b"1", b"2"]
    house.shared.relay(b"1")
    assert ("relay", b"1") in house.seats[0].asked


def test_a_leader_waits_no_longer_than_its_lead(house: House) -> None:
    """A receive ends when another process could lead. A renewal continues it."""
    socket = house.leader()
    assert socket.receive(house.now, only_one=True) == []
    assert house.reals[0].deadlines == [house.now]
    house.now += 1
    house.seats[0].until += 1
    house.reals[0].frames = [b"1"]
    assert socket.receive(house.now + 60, only_one=True) == [b"1"]
    assert house.reals[0].deadlines[-1] == house.seats[0].until


def test_a_lead_that_ran_out_delivers_nothing(house: House) -> None:
    """Later frames are dropped.

    Until the store knows the leader, no process does. Then the reason is another's lead.
    """
    socket = house.leader()
    house.now += 3
    house.reals[0].frames = [b"too late"]
    assert code(socket) == "ERR_STATUS_STORE"
    assert house.member.role.error is not None and not house.member.role.leads
    with pytest.raises(CometChatException):
        socket.send("typing", 1)
    house.member.follow(UP)
    assert house.member.role.error is None


def test_the_reason_why_a_lead_ran_out(house: House) -> None:
    """The connection thread notices the end of the lead first, and the store's thread knows its reason."""
    socket = house.leader()
    member = house.member
    house.now += 3

    class Says(Wakeup):
        def wait(self, timeout: Optional[float] = None) -> bool:
            assert member.role.error is not None and timeout is not None
            member.away(ERROR)
            return True

    member.changed = Says()
    with pytest.raises(CometChatException, match="it broke"):
        socket.receive(house.now)


def test_a_lead_that_is_renewed_in_time_has_not_run_out(house: House) -> None:
    """The look at the clock was early: under the lock there is a second one."""
    socket = house.leader()
    house.member.lapse(house.member.role, house.now, ERROR)
    house.member.lapse(Role(leads=True), house.now + 60, ERROR)
    assert house.member.role.leads and socket.receive(house.now, only_one=True) == []


def test_a_leader_that_becomes_a_follower_ends_its_connection(house: House) -> None:
    """The real socket is interrupted at once, also by a new lead of the same client, and by an outage."""
    house.leader()
    house.member.follow(CONNECTING)
    assert house.reals[0].interrupted
    house.leader()
    house.member.lead()
    assert house.reals[1].interrupted
    house.leader()
    house.member.away(ERROR)
    assert house.reals[2].interrupted and house.member.role.error is ERROR


def test_a_leader_has_its_own_mode(house: House) -> None:
    """A follower that comes to lead no longer counts as throttled, and neither does a client that left."""
    house.member.follow(SharedStatus("featureThrottled"))
    house.authenticated(house.socket())
    assert house.account.shared_mode == "SHARED"
    house.leader()
    assert house.account.shared_mode is None
    house.member.follow(SharedStatus("featureThrottled"))
    house.socket().open("", 5)
    house.shared.leave(1)
    assert house.account.shared_mode is None


def test_who_leads(house: House) -> None:
    """The leader of a follower is the store's, and this process leads until its time is over."""
    assert not house.shared.leads and house.shared.leader is None
    assert not house.member.role.leads and house.shared.leader is None
    house.member.follow(SharedStatus("connected", leader="host:1"))
    assert not house.shared.leads and house.shared.leader == "host:1"
    house.leader()
    assert house.shared.leads and house.shared.leader == process_name()
    house.now += 2
    assert not house.shared.leads


def test_a_real_socket_that_does_not_open(house: House) -> None:
    """The error is that of the socket, with its cause. If another process leads by then, that is the reason."""
    cause = OSError("refused")
    error = ConnectionException("WS_CONNECTION_FAIL", "no")
    error.__cause__ = cause
    member = house.member
    house.seats[0].until = house.now + 2
    member.lead()

    class Refused(Real):
        def open(self, url: str, timeout: float) -> None:
            if url:
                member.away(ERROR)
            raise error

    house.shared.new_real_socket = Refused  # type: ignore[assignment]
    for url, why in (("", "no"), ("wss://host/", "it broke")):
        with pytest.raises(CometChatException, match=why) as raised:
            house.socket().open(url, 5)
        assert raised.value.__cause__ is cause


def test_an_interrupt_reaches_the_real_socket(house: House) -> None:
    """It ends its waits. After a close, no follower's frame goes out on it."""
    socket = house.leader()
    house.step(Phase.ONLINE)
    frame = '{"type":"typing_indicator","sender":"u1","deviceId":"there"}'
    assert house.member.send(frame)
    house.reals[0].fails = ERROR
    assert not house.member.send(frame)
    socket.interrupt()
    assert house.reals[0].interrupted and code(socket) == "WS_CONNECTION_FAIL"
    house.reals[0].fails = None
    socket.close()
    assert house.reals[0].closed and not house.member.send(frame) and len(house.reals[0].sent) == 1
    ended = house.socket()
    ended.interrupt()
    with pytest.raises(CometChatException, match="interrupted"):
        ended.open("wss://host/", 5)


def test_a_socket_that_opened_too_late_is_not_used(house: House) -> None:
    """The lead runs out while the real socket opens. No frame is sent on it."""
    member = house.member
    house.seats[0].until = house.now + 2
    member.lead()
    socket = house.socket()

    class Slow(Real):
        def open(self, url: str, timeout: float) -> None:
            house.now += 5

    slow = Slow()
    house.shared.new_real_socket = lambda: slow  # type: ignore[assignment, return-value]
    with pytest.raises(CometChatException) as raised:
        socket.open("", 5)
    assert raised.value.code == "ERR_STATUS_STORE"
    assert slow.sent == [] and slow.interrupted


def test_a_followers_frame_goes_out_as_the_leaders(house: House) -> None:
    """The frame is sent after the acceptance, only if it is allowed, with the device id of this connection."""
    house.leader()
    frame = '{"type":"typing_indicator","sender":"u1","deviceId":"there"}'
    assert not house.member.send(frame)
    house.step(Phase.ONLINE)
    assert house.member.send(frame)
    assert not house.member.send('{"type":"auth","sender":"u1"}')
    (sent,) = house.reals[0].sent
    assert '"deviceId":"here"' in sent


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"type":[]}', '{"type":"receipts","sender":"u2"}', "[" * 9999]
)
def test_other_frames_are_not_sent(text: str) -> None:
    """Only typing indicators, receipts and transient messages of this user are sent."""
    assert readdress(text, Identity("app", "u1", "here", "device", "1")) is None


# The share.


def test_three_failures_in_a_row_let_another_try(house: House) -> None:
    """Failures count over all attempts of one lead. A connection in between starts the count again."""
    house.leader()
    for _ in range(2):
        house.step(Phase.BACKOFF, error=True)
    house.step(Phase.ONLINE)
    for _ in range(2):
        house.step(Phase.BACKOFF, error=True)
    assert ("step_down",) not in house.seats[0].asked
    house.socket().open("wss://host/", 5)  # the next attempt, in the same role
    house.step(Phase.BACKOFF, error=True)
    assert ("step_down",) in house.seats[0].asked


def test_only_a_leader_publishes_and_only_changes(house: House) -> None:
    """Each status is published once, with the count of errors."""
    house.step(Phase.ONLINE)
    house.leader()
    for _ in range(2):
        house.step(Phase.ONLINE)
    house.step(Phase.BACKOFF, error=True)
    published = [each[1] for each in house.seats[0].asked if each[0] == "publish"]
    assert published == [CONNECTING, UP, SharedStatus("connecting", 1, ERROR)]


def test_the_end_of_another_role_is_not_published(house: House) -> None:
    """A follower comes to lead. The end of its old connection, with the reason, is not the new leader's."""
    house.follower()
    house.seats[0].until = house.now + 2
    house.member.lead()
    house.step(Phase.LOST, error=True)
    house.step(Phase.BACKOFF)
    house.socket().open("wss://host/", 5)
    assert [each[1] for each in house.seats[0].asked if each[0] == "publish"] == [CONNECTING]


def test_a_place_is_kept_while_a_newer_generation_has_it(house: House) -> None:
    """The end of an old generation does not affect a new one.

    The new one's end does, and the member gets no more calls.
    """
    member, first = house.member, house.wake
    house.number, house.wake = 2, Wakeup()
    assert house.member is member
    house.shared.leave(1)
    assert house.member is member and house.asked("leave") == []
    member.lead()
    assert house.wake.is_set() and not first.is_set()
    house.shared.leave(2)
    assert house.asked("leave") == [()] and len(house.seats) == 1
    house.number = 3
    assert house.member is not member and len(house.seats) == 2


def test_a_generation_that_has_ended_does_not_take_the_place_of_a_newer_one(house: House) -> None:
    """The thread of an ended generation opens its socket late. The newer connection and its wakeup stay."""
    late, late_wake = house.socket(), house.wake
    late.interrupt()
    house.number, house.wake = 3, Wakeup()
    house.leader()
    with pytest.raises(CometChatException, match="interrupted"):
        late.open("wss://host/", 5)
    house.shared.leave(1)
    assert house.asked("leave") == [] and house.shared.leads
    assert house.member.wake is house.wake is not late_wake


def test_an_ended_membership_gets_no_calls(house: House) -> None:
    """After its end, the store's calls change no role, deliver no frame, and wake no thread."""
    member = house.leader()._membership
    assert member is not None and member.role.leads
    house.shared.leave(1)
    assert house.reals[0].interrupted and house.account.shared_mode is None
    news, ended = member.has_news, member.role
    house.wake.clear()
    member.lead()
    member.follow(UP)
    member.away(ERROR)
    member.frame(b"1")
    member.send("{}")
    assert member.role is ended and not member.frames and member.has_news is news
    assert not house.wake.is_set() and house.reals[0].sent == []
    assert not house.shared.leads


def test_another_user_is_another_place(house: House) -> None:
    """Another user of the client is in a separate line."""
    first = house.member
    house.account.require = lambda: Session("app", "u2", "token", "device", {})
    assert house.member is not first
    assert ("leave",) in house.seats[0].asked and len(house.seats) == 2


def test_leaving_twice_asks_the_store_once(house: House) -> None:
    """Both the user's thread and the connection thread leave. The wait is for the seat that was left."""
    assert house.shared.wait_left(1) is None  # before the first join
    house.shared.leave(1)
    assert house.seats == []
    house.number = 2
    house.leader()
    house.shared.leave(2)
    house.shared.leave(2)
    house.shared.wait_left(5)
    assert house.asked("leave") == [()] and house.asked("wait_left") == [5]


def test_the_child_of_a_fork_leaves_the_parents_seat(house: House) -> None:
    """The child makes no call of the store, and does not close the parent's socket."""
    house.shared.release_after_fork()
    socket = house.leader()
    house.shared.release_after_fork()
    assert house.asked("release_after_fork") == [()] and house.asked("leave") == []
    assert socket is not None and not house.reals[0].closed


@pytest.mark.parametrize("after", [UP, CONNECTING, LOST, None], ids=["up", "connecting", "lost", "lead"])
def test_the_end_of_an_outage_is_worth_an_attempt(house: House, after: Optional[SharedStatus]) -> None:
    """While the leader is unknown, each attempt fails with the reason. Once the store knows it, the wait is over."""
    member = house.member
    member.away(ERROR)
    for _ in range(2):
        with pytest.raises(CometChatException) as raised:
            house.socket().open("", 5)
        assert raised.value.message == "it broke" and raised.value is not ERROR
    house.shared.wake_if_worthwhile(house.wake)
    assert not house.wake.is_set() and not member.has_news
    if after is None:
        member.lead()
    else:
        member.follow(after)
    assert house.wake.is_set() and member.has_news and member.role.error is None


def test_an_open_that_no_store_answers_times_out(house: House) -> None:
    """The wait has a limit: the store has not said which process connects."""
    socket = house.socket()
    with pytest.raises(CometChatException) as raised:
        socket.open("", 0)
    assert raised.value.code == "ERR_CONNECT_TIMEOUT"


def test_an_earlier_change_ends_the_wait(house: House) -> None:
    """A leader that is up since the attempt began leads to another attempt, and so does one that comes up later."""
    member, wake = house.member, Wakeup()
    member.has_news = False
    house.shared.wake_if_worthwhile(wake)
    assert not wake.is_set()
    member.follow(CONNECTING)
    assert not house.wake.is_set()
    member.follow(UP)
    assert house.wake.is_set()
    house.shared.wake_if_worthwhile(wake)
    assert wake.is_set()
    wake.clear()
    member.has_news = False
    house.shared.wake_if_worthwhile(wake)
    assert not wake.is_set()


def test_an_error_is_published_under_the_role_it_belongs_to(house: House) -> None:
    """A new lead counts its errors from the beginning: followers must not read the old count as a loss."""
    house.leader()
    house.step(Phase.ONLINE)
    house.step(Phase.LOST, error=True)
    house.member.lead()
    house.leader()
    house.step(Phase.ONLINE)
    assert house.asked("publish")[-2:] == [CONNECTING, UP]


# Another thread, while the store's code runs: it may wait for a lock that this thread holds.


def test_a_generation_that_has_ended_does_not_join(house: House) -> None:
    """Its thread opens a socket after ``disconnect()``. The store is not asked."""
    house.shared.leave(1)
    with pytest.raises(CometChatException, match="interrupted"):
        house.socket().open("wss://host/", 5)
    assert house.seats == []


def test_a_client_can_be_left_while_it_joins(house: House) -> None:
    """The attempt ends, and the place that it then gets is left."""
    house.during["join"] = lambda: house.shared.leave(1)
    with pytest.raises(CometChatException, match="interrupted"):
        house.socket().open("wss://host/", 5)
    assert house.asked("leave") == [()] and not house.shared.leads
    house.shared.wait_left(3)
    assert house.asked("wait_left") == [3]


def test_a_newer_generation_joins_while_an_older_one_does(house: House) -> None:
    """The newer one has a place of its own. The older one's place is left, and its attempt ends."""

    def newer() -> None:
        house.number = 2
        house.leader()

    house.during["join"] = newer
    with pytest.raises(CometChatException, match="interrupted"):
        house.socket().open("wss://host/", 5)
    older, newest = house.seats
    assert ("leave",) in older.asked and ("leave",) not in newest.asked and house.shared.leads


def test_a_store_that_fails_to_join_is_asked_again(house: House) -> None:
    """The attempt ends with the store's error. The next one joins."""

    def fail() -> None:
        raise OSError("away")

    join, house._store.join = house._store.join, lambda *args: fail()
    with pytest.raises(CometChatException, match="ERR_STATUS_STORE"):
        house.socket().open("wss://host/", 5)
    assert not house.shared.leads
    house._store.join = join
    assert house.leader() is not None and house.shared.leads


def test_a_client_can_be_left_while_it_publishes(house: House) -> None:
    """Neither the end nor the store's own calls wait for the call in progress."""
    house.leader()
    house.during["publish"] = lambda: (house.members[-1].frame(b"1"), house.shared.leave(1))
    house.step(Phase.ONLINE)
    assert house.asked("leave") == [()] and not house.shared.leads


def test_statuses_are_published_in_order_and_one_at_a_time(house: House) -> None:
    """A thread that finds another one in the store's publish() leaves its status to it."""
    house.leader()
    seat, calls = house.seats[-1], []

    def publish(status: SharedStatus) -> None:
        calls.append(("begin", status.status))
        if status == UP:
            meanwhile(lambda: house.step(Phase.THROTTLED))
        calls.append(("end", status.status))

    seat.publish = publish  # type: ignore[attr-defined]
    house.step(Phase.ONLINE)
    assert calls == [
        ("begin", "connected"),
        ("end", "connected"),
        ("begin", "featureThrottled"),
        ("end", "featureThrottled"),
    ]


def test_a_client_can_join_again_while_it_leaves(house: House) -> None:
    """The next connection does not wait until the old place is left."""
    house.leader()

    def again() -> None:
        house.number = 2
        house.leader()

    house.during["leave"] = again
    house.shared.leave(1)
    assert len(house.seats) == 2 and house.shared.leads
