"""The processes' messages over Redis: as bytes and back, fences, gaps, and the time to try to lead. Without a Redis."""

from __future__ import annotations

import dataclasses
import sys
import time
import typing
from typing import Any, Dict, List, Tuple

import old_versions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import ConnectionException, SharedStatus, listeners
from cometchat._fields import DEEPEST
from cometchat.models._message import message_from_dict

pytest.importorskip("redis")

from cometchat.contrib.redis import _wire as wire  # noqa: E402
from cometchat.contrib.redis._codec import METHODS, Event, decode, encode  # noqa: E402
from cometchat.contrib.redis._seat import RedisSeat  # noqa: E402
from cometchat.contrib.redis._unconfirmed import UnconfirmedFrames  # noqa: E402
from cometchat.contrib.redis._wire import Frame, Keys, State, UpFrame, encode_frame, encode_state  # noqa: E402
from cometchat.models import CustomMessage, Group, MediaMessage, TextMessage, User  # noqa: E402

UP = SharedStatus("connected")
CONNECTING = SharedStatus("connecting")


@given(st.integers(0, 2**53), st.integers(0, 2**40), st.binary())
def test_a_frame_comes_back(token: int, number: int, data: bytes) -> None:
    """A frame may have any bytes."""
    assert wire.decode(encode_frame(Frame(token, number, data))) == (None, Frame(token, number, data))


@given(st.text(), st.text(), st.one_of(st.none(), st.text()), st.booleans())
def test_a_state_comes_back(code: str, message: str, details: Any, free: bool) -> None:
    """The state's error has the same code and texts."""
    error = ConnectionException(code, message, details=details)
    said = wire.decode(encode_state(State(7, 8, SharedStatus("connecting", 3, error), free)))
    assert said is not None and said[0] is not None
    state = said[0]
    assert (state.token, state.number, state.free) == (7, 8, free)
    assert (state.status.status, state.status.failures) == ("connecting", 3)
    back = state.status.error
    assert back is not None and (back.code, back.message, back.details) == (code, message, details)


@given(st.binary())
def test_rubbish_is_read_as_none(data: bytes) -> None:
    """No bytes raise. The result is None for a text that this version does not know."""
    for kind in (b"", b"s", b"x", b"f"):
        said = wire.decode(kind + data)
        assert said is None or said[1] is not None or said[0] is not None


@each_row(
    "message",
    [b"s[]", b"s1", b's{"token":1e999,"number":1,"status":"connected","failures":0}', b"s" + b"[" * 100_000]
    + [b's{"token":1,"number":1,"status":"other","failures":0}', b"f1:x:data", b"f1:2", b"y", b""]
    + [b's{"token":%s,"number":1,"status":"connected","failures":0}' % (b"9" * 40)]
    + [b"f-1:1:x", b"f1:%s:x" % (b"9" * 40)],
)
def test_known_rubbish_is_read_as_none(message: bytes) -> None:
    """Wrong types, unknown statuses, numbers that no lead has, and endless nesting are read as None."""
    assert wire.decode(message) is None


@each_row("number", [b"", b"x", b"-1", b"1_0", b"1e3", "\u0663".encode(), b"9" * 17, b"9" * 5000])
def test_a_number_that_no_process_writes_confirms_and_sends_nothing(number: bytes) -> None:
    """Python refuses to read thousands of digits: that would end the seat's connection."""
    assert wire.decode_up(b"name:%s:text" % number) is None
    frames = UnconfirmedFrames(1.0, lambda: 0.0)
    frames.confirm(b"%s,%d" % (number, frames.add()))
    frames.count_lost()
    assert frames._waiting == {} and frames.lost == 0


def test_processes_of_earlier_versions_write_the_same() -> None:
    """In a deploy one process after the other is replaced: the leader and a follower may be of two versions."""
    error = ConnectionException("WS_CONNECTION_FAIL", "lost", details="1006")
    state = State(1796000000123, 7, SharedStatus("connecting", 2, error, "host:1"))
    assert encode_state(state) == old_versions.LEADER_STATE
    assert encode_frame(Frame(1796000000123, 8, b'{"type":"x"}')) == old_versions.LEADER_FRAME
    assert wire.encode_up(UpFrame("name", 3, '{"t":1}')) == old_versions.FOLLOWER_FRAME


# The codec of events.

_texts = st.one_of(st.none(), st.text())
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner, max_size=2)),
    max_leaves=4,
)
_objects = st.dictionaries(st.text(), _json, max_size=2)
_users = st.builds(User, uid=st.text(), name=_texts, metadata=_objects, raw=_objects)
_messages = st.one_of(
    st.builds(TextMessage, id=_texts, text=_texts, sender=_users, tags=st.tuples(st.text()), raw=_objects),
    st.builds(CustomMessage, id=_texts, custom_data=_objects, receiver=st.builds(Group, guid=st.text())),
    st.builds(MediaMessage, id=_texts, url=_texts, data=_objects),
)


@given(_messages)
def test_an_event_comes_back(message: Any) -> None:
    """The result is a message with all fields, of the same class."""
    event = decode(encode(Event("message", "on_text_message_received", (message,))))
    assert event.args == (message,)
    assert type(event.args[0]) is type(message) and event.args[0].raw == message.raw


def test_an_event_of_an_earlier_version_is_the_same() -> None:
    """A worker reads the events that a leader of another version has added, also after a deploy that is taken back."""
    message = message_from_dict(old_versions.STREAM_MESSAGE)
    event = Event("message", "on_custom_message_received", (message,))
    assert decode(old_versions.STREAM_EVENT) == event and encode(event) == old_versions.STREAM_EVENT
    assert decode(old_versions.STREAM_EVENT).args[0].raw == message.raw


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="there a text that is read whole has fewer levels")
@pytest.mark.parametrize("nested", [{"a": 1}, [1]], ids=["objects", "lists"])
def test_the_deepest_message_that_is_read_comes_back(nested: Any) -> None:
    """A peer must not keep a message from the workers by nesting its metadata."""
    for _ in range(DEEPEST - 10):
        nested = {"a": nested} if isinstance(nested, dict) else [nested]
    message = TextMessage.from_dict({"id": "1", "data": {"text": "x", "metadata": {"nested": nested}}})
    args = decode(encode(Event("message", "on_text_message_received", (message,)))).args
    assert args[0].raw == message.raw and args[0].metadata == message.metadata


def test_metadata_in_a_text_has_not_more_levels_than_other_metadata() -> None:
    """The service may send metadata as JSON text. If it is nested too deep, the message still comes, without it."""
    for levels, whole in ((400, True), (DEEPEST + 100, False), (100_000, False)):
        data = {"text": "x", "metadata": '{"a":' * levels + "1" + "}" * levels}
        message = TextMessage.from_dict({"id": "1", "data": data})
        assert bool(message.metadata) is whole
        assert decode(encode(Event("message", "on_text_message_received", (message,)))).args == (message,)


def test_a_login_token_is_not_written() -> None:
    """All fields of a user are written, except the auth token."""
    data = encode(Event("user", "on_user_online", (User.from_dict({"uid": "u1", "authToken": "secret-word"}),)))
    assert b"secret-word" not in data
    forged = data.replace(b'{"uid"', b'{"auth_token": "secret-word", "uid"')
    assert decode(forged).args[0].auth_token is None


@each_row(
    "data",
    [b"", b"[]", b"{}", b"null", b'["message","close",[]]', b'["login","login_success",[]]', b'["message"]']
    + [b'["message","on_typing_started",[["Client",{}]]]', b'["message","on_typing_started",[[1,2,3]]]']
    + [b'["user","on_user_online",[["User",{}]]]', b"[[],[],[]]", b"[" * 100_000],
)
def test_rubbish_is_not_an_event(data: bytes) -> None:
    """Rubbish raises ValueError, and makes no object."""
    with pytest.raises(ValueError):
        decode(data)


def models_in(hint: Any) -> List[Any]:
    """Yield the SDK's models that an annotation names."""
    inner = typing.get_args(hint)
    if inner:
        return [model for each in inner for model in models_in(each)]
    return [hint] if dataclasses.is_dataclass(hint) else []


def made(model: Any) -> Any:
    """Return a model with its required fields."""
    needed = [field for field in dataclasses.fields(model) if field.default is field.default_factory]
    return model(**{field.name: "x" for field in needed})


def test_every_kind_of_event_of_the_service_is_carried() -> None:
    """The codec has all events of the service, and every model in them."""
    assert set(METHODS) == set(listeners.KINDS) - {"connection", "login", "outbox"}
    count = 0
    for kind, methods in METHODS.items():
        for method in methods:
            callback = getattr(listeners.KINDS[kind], method)
            hints = typing.get_type_hints(callback)
            for model in models_in(tuple(hints.values()) and typing.Union[tuple(hints.values())]):
                back = decode(encode(Event(kind, method, (made(model),))))
                assert type(back.args[0]) is model
                count += 1
    assert count > 40
    frame = Event("event", "on_event", ("notification_feed_item", {"id": 1, "list": [1, None]}))
    assert decode(encode(frame)) == frame


# The seat, on this thread.


class Member:
    def __init__(self) -> None:
        self.told: List[Tuple[str, Any]] = []

    def lead(self) -> None:
        self.told.append(("lead", None))

    def follow(self, status: SharedStatus) -> None:
        self.told.append(("follow", status))

    def away(self, error: Any) -> None:
        self.told.append(("away", error.code))

    def frame(self, data: bytes) -> None:
        self.told.append(("frame", data))

    def send(self, text: str) -> bool:
        self.told.append(("send", text))
        return True


class Redis:
    """Answers each script with a value of the test, and records it."""

    def __init__(self) -> None:
        self.answers: Dict[str, int] = {wire.ACQUIRE: 1000, wire.RENEW: 1, wire.RELAY: 1, wire.RELEASE: 1}
        self.asked: List[str] = []
        self.kept: Any = None

    def eval(self, script: str, count: int, *arguments: Any) -> int:
        self.asked.append(script)
        self.arguments = arguments
        return self.answers[script]

    def get(self, key: str) -> Any:
        return self.kept


class House:
    def __init__(self) -> None:
        self.now = 10.0
        self.member, self.redis, self.keys = Member(), Redis(), Keys.of("p", "app", "u1")
        self.seat = RedisSeat(
            self.member,
            self.keys,
            connect=lambda timeout: self.redis,
            address="host:1",
            lease=3.0,
            events=True,
            number=1,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
        )

    def try_to_lead(self) -> None:
        self.seat._try(self.redis)

    def hear(self, message: bytes) -> List[Tuple[str, Any]]:
        del self.member.told[:]
        self.seat._receive(self.keys.down.encode(), message)
        return self.member.told


@pytest.fixture
def house() -> House:
    return House()


def test_the_lock_gives_a_lead_for_nine_tenths_of_the_lease(house: House) -> None:
    """The time counts from before the call. The state is published before the member is notified."""
    house.try_to_lead()
    assert house.redis.asked == [wire.ACQUIRE, wire.RENEW]
    assert house.member.told == [("lead", None)]
    assert house.seat.leads_until() == pytest.approx(time.monotonic() + 2.7, abs=2.0)
    house.now += 2.7
    assert not house.seat.leads


def test_a_lead_that_could_not_be_published_is_taken_again(house: House) -> None:
    """Redis stalls between the two calls. The member must be notified when it leads."""

    def stall(script: str, count: int, *arguments: Any) -> int:
        if script == wire.RENEW:
            raise TimeoutError("stalled")
        return 1000

    answer, house.redis.eval = house.redis.eval, stall  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        house.try_to_lead()
    assert house.member.told == [] and not house.seat.leads
    house.redis.eval = answer  # type: ignore[method-assign]
    house.seat._resume(house.redis)
    assert house.member.told == [("lead", None)]


def test_a_member_is_notified_of_a_lead_that_replicas_confirmed_late(house: House) -> None:
    """By then, it considers the lead lost."""
    house.try_to_lead()
    house.now += 2.0

    def wait(replicas: int, timeout: int) -> int:
        house.now += 0.9
        return replicas

    house.redis.wait = wait  # type: ignore[attr-defined]
    house.seat._min_replicas = 1
    del house.member.told[:]
    house.seat._renew(house.redis)
    assert house.seat.leads and house.member.told == [("lead", None)]


def test_without_the_lock_it_tries_when_the_lease_ends(house: House) -> None:
    """A seat without the lock does not try before, and at a random time after that.

    Until then it follows the state in Redis.
    """
    house.redis.answers[wire.ACQUIRE] = -1500
    house.redis.kept = encode_state(State(5, 0, UP))
    house.try_to_lead()
    assert house.member.told[-1] == ("follow", UP)
    assert house.seat._try_at >= house.now + 1.5


def test_an_older_lead_is_ignored(house: House) -> None:
    """After a lead with a higher number, states and frames of a lower one are ignored."""
    assert ("follow", UP) in house.hear(encode_state(State(5, 0, UP)))
    assert house.hear(encode_state(State(4, 0, SharedStatus("disconnected")))) == []
    assert house.hear(encode_frame(Frame(4, 1, b"old"))) == []
    assert house.hear(encode_frame(Frame(5, 1, b"new"))) == [("frame", b"new")]
    # A new lead has another connection, though it is up, too.
    assert house.hear(encode_state(State(6, 0, UP))) == [("follow", CONNECTING), ("follow", UP)]


def test_its_own_echo_is_ignored(house: House) -> None:
    """The seat's own messages as a leader come back to it, and are ignored once it does not lead."""
    house.try_to_lead()
    house.redis.answers[wire.RENEW] = 0
    house.seat._renew(house.redis)
    assert house.member.told[-1] == ("follow", CONNECTING)
    assert house.hear(encode_state(State(1000, 3, UP, free=True))) == []


def test_a_gap_in_the_frames_breaks_and_goes_on(house: House) -> None:
    """If a number is missing, the member gets a loss, and then a leader that is up."""
    house.hear(encode_state(State(5, 3, UP)))
    assert house.hear(encode_frame(Frame(5, 4, b"4"))) == [("frame", b"4")]
    told = house.hear(encode_frame(Frame(5, 6, b"6")))
    assert [what for what, _ in told] == ["follow", "follow", "frame"]
    assert told[0][1].status == "connecting" and told[0][1].error is not None and told[1][1] == UP
    # The leader's count says the same if no frame follows.
    told = house.hear(encode_state(State(5, 9, UP)))
    assert [value.status for _, value in told] == ["connecting", "connected", "connected"]
    assert house.hear(encode_state(State(5, 9, UP))) == [("follow", UP)]


@pytest.mark.parametrize("sent", [encode_frame(Frame(5, 5, b"5")), encode_state(State(5, 5, UP))])
def test_a_gap_before_the_first_message_is_noticed(house: House, sent: bytes) -> None:
    """The state in Redis has the number of the newest frame that was relayed before. The next one did not arrive."""
    house.redis.answers[wire.ACQUIRE] = -1500
    house.redis.kept = encode_state(State(5, 3, UP))
    house.try_to_lead()
    told = house.hear(sent)
    assert [value.status for what, value in told if what == "follow"][:2] == ["connecting", "connected"]


def test_frames_that_came_before_the_state_in_redis_was_read_are_no_gap(house: House) -> None:
    """They arrived after the subscription, and the state that was read then already counts them."""
    house.redis.answers[wire.ACQUIRE] = -1500
    house.redis.kept = encode_state(State(5, 3, UP))
    house.try_to_lead()
    for number in (2, 3, 4):
        assert house.hear(encode_frame(Frame(5, number, b"%d" % number))) == [("frame", b"%d" % number)]


def test_the_state_in_redis_shows_no_gap_of_a_known_lead(house: House) -> None:
    """Frames that it counts may still be on their way. If they are lost, the next message shows that."""
    house.hear(encode_state(State(5, 3, UP)))
    house.redis.answers[wire.ACQUIRE] = -1500
    house.redis.kept = encode_state(State(5, 4, UP))
    del house.member.told[:]
    house.try_to_lead()
    assert house.member.told == [("follow", UP)]
    assert house.hear(encode_frame(Frame(5, 4, b"4"))) == [("frame", b"4")]


def test_a_seat_without_events_misses_no_frames(house: House) -> None:
    """A process that shares only the status follows a leader that relays frames."""
    house.seat._events = False
    house.hear(encode_state(State(5, 0, UP)))
    assert house.hear(encode_state(State(5, 3, UP))) == [("follow", UP)]


def test_relayed_frames_are_counted_in_redis(house: House) -> None:
    """The state in Redis is written together with the frames, for seats that join in between."""
    house.try_to_lead()
    house.seat.relay(b"1")
    house.seat.relay(b"2")
    house.seat._work(house.redis, 0.0)
    assert house.redis.asked[-1] == wire.RELAY
    assert wire.decode(house.redis.arguments[4])[0].number == 2  # type: ignore[index, union-attr]


def test_a_lock_that_is_given_back_is_tried_for_at_once(house: House) -> None:
    """All try within 50 ms at random. Otherwise they wait for a lease."""
    house.hear(encode_state(State(5, 0, UP)))
    assert house.seat._try_at >= house.now + 3
    house.hear(encode_state(State(5, 0, CONNECTING, free=True)))
    assert house.seat._try_at <= house.now + 0.05


def test_a_late_renewal_is_reported_again(house: House) -> None:
    """Redis answered when another process could already lead. The member may have closed its connection."""
    house.try_to_lead()
    original = house.redis.eval

    def late(*arguments: Any) -> int:
        house.now += 2.65
        return original(*arguments)

    house.now += 1
    house.redis.eval = late  # type: ignore[method-assign]
    house.seat._renew(house.redis)
    assert [what for what, _ in house.member.told] == ["lead", "lead"]
    house.now += 10
    house.seat._renew(house.redis)
    assert house.member.told[-1] == ("follow", CONNECTING)


def test_a_silent_subscription_is_replaced(house: House) -> None:
    """Another holds the lock, attempt after attempt, and no message comes: the subscription is dead."""
    import redis

    house.redis.answers[wire.ACQUIRE] = -1000
    house.redis.kept = encode_state(State(5, 0, UP))
    house.try_to_lead()
    house.try_to_lead()
    with pytest.raises(redis.ConnectionError):
        house.try_to_lead()


def test_a_follower_reports_an_outage_after_a_lease_of_silence(house: House) -> None:
    """An outage of Redis is reported once, after a lease without a message."""
    house.hear(encode_state(State(5, 0, UP)))
    del house.member.told[:]

    def clock() -> float:
        house.now += 0.01
        return house.now

    house.seat._clock = clock
    house.seat._wait_for_redis(OSError("refused"), 0.05)
    assert house.member.told == []
    house.now += 3
    for _ in range(2):
        house.seat._wait_for_redis(OSError("refused"), 0.05)
    assert house.member.told == [("away", "ERR_STATUS_STORE")]


def test_an_error_that_lasts_is_logged_once(house: House, caplog: Any) -> None:
    """The application's function that creates clients raises, for hours, at each of the tries of every second."""

    def connect(timeout: float) -> Any:
        raise KeyError("password")

    def clock() -> float:
        house.now += 2  # more than the wait between the tries, so that each has passed at once
        return house.now

    house.seat._connect, house.seat._clock = connect, clock
    for _ in range(100):
        house.seat._turn()
    assert house.member.told == [("away", "ERR_STATUS_STORE")]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_the_keys_of_a_line_are_its_own() -> None:
    """The keys depend on prefix, app and user, and are on one node of a cluster."""
    keys = Keys.of("p", "app", "u1")
    assert len(set(keys)) == 6 and all(key.startswith("p:{app:u1}:") for key in keys)
    assert not set(keys) & set(Keys.of("p", "app", "u2"))
