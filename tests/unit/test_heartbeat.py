"""The clock of the heartbeat, driven by a test's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometchat._protocol._frames import Heartbeat, Ping
from cometchat.exceptions import CometChatException


@pytest.fixture
def heartbeat():
    return Heartbeat(interval=15.0, timeout=3.0, now=100.0)


@pytest.mark.parametrize("now, due", [(100.0, False), (114.999, False), (115.0, True), (200.0, True)])
def test_the_first_ping_is_due_after_one_interval(heartbeat, now, due):
    """The first ping is due 15 s after the start, not before."""
    assert heartbeat.due(now) is due
    assert heartbeat.deadline == 115.0
    assert not heartbeat.expired(now)


@pytest.mark.parametrize("now, expired", [(115.0, False), (117.999, False), (118.0, True), (500.0, True)])
def test_a_pong_is_missed_after_the_timeout(heartbeat, now, expired):
    """An unanswered ping ends the connection 3 s later. Until then no other ping is due."""
    heartbeat.sent(115.0)
    assert heartbeat.expired(now) is expired
    assert heartbeat.deadline == 118.0
    assert not heartbeat.due(now)


def test_a_pong_answers_the_ping_and_the_next_is_due_one_interval_after_the_last(heartbeat):
    """After the pong no answer is missing, and the interval counts from the ping, not from the pong."""
    heartbeat.sent(115.0)
    assert heartbeat.pong(115.4) == pytest.approx(0.4)
    assert not heartbeat.expired(1000.0)
    assert not heartbeat.due(129.9)
    assert heartbeat.due(130.0) and heartbeat.deadline == 130.0


def test_a_pong_without_a_ping_answers_nothing(heartbeat):
    """The pong has no time to report, and does not move the next ping."""
    assert heartbeat.pong(101.0) is None
    assert heartbeat.deadline == 115.0


def test_a_users_ping_does_not_end_the_connection(heartbeat):
    """An unanswered ping of ping() expires nothing and moves nothing. Its pong returns its round trip."""
    heartbeat.sent_by_user(Ping(101.0))
    assert not heartbeat.expired(1000.0)
    assert heartbeat.deadline == 115.0
    assert heartbeat.pong(101.5) == 0.5


def test_pongs_answer_the_oldest_ping_first(heartbeat):
    """Pongs have no number: each answers the oldest open ping."""
    heartbeat.sent_by_user(Ping(110.0))
    heartbeat.sent(115.0)
    heartbeat.sent_by_user(Ping(116.0))
    assert [heartbeat.pong(117.0) for _ in range(4)] == [7.0, 2.0, 1.0, None]


def test_a_pong_answers_the_ping_at_its_place(heartbeat):
    """Two pings of the same moment are two pings: also if one of them is the heartbeat's."""
    woken = []
    heartbeat.sent(115.0)
    for name in ("first", "second"):
        heartbeat.sent_by_user(Ping(115.0, lambda name=name: woken.append(name)))
    calls = []
    for now in (116.0, 117.0, 118.0):
        heartbeat.pong(now)
        calls.append(list(woken))
    assert calls == [[], ["first"], ["first", "second"]]


@pytest.mark.parametrize("forgotten, expected", [(0, [9.0, None]), (1, [10.0, None]), (None, [10.0, 9.0])])
def test_a_forgotten_ping_gives_its_time_to_no_other(heartbeat, forgotten, expected):
    """A ping whose user has stopped waiting is no longer answered. An unknown one is a no-op."""
    woken = []
    pings = [Ping(110.0, lambda: woken.append(0)), Ping(111.0, lambda: woken.append(1))]
    for ping in pings:
        heartbeat.sent_by_user(ping)
    heartbeat.forget(Ping(110.0) if forgotten is None else pings[forgotten])
    assert [heartbeat.pong(120.0), heartbeat.pong(120.0)] == expected
    assert woken == [number for number in range(2) if number != forgotten]
    assert [ping.round_trip for ping in pings] == [None if forgotten == 0 else 10.0, None if forgotten == 1 else 9.0]


def test_forgetting_a_users_ping_leaves_the_heartbeats_own_expectation(heartbeat):
    """If a user stops waiting, a dead connection is still found."""
    ping = Ping(116.0)
    heartbeat.sent(115.0)
    heartbeat.sent_by_user(ping)
    heartbeat.forget(ping)
    assert heartbeat.expired(118.0)


@pytest.mark.parametrize("error", [None, CometChatException("WS_CONNECTION_FAIL", "lost")], ids=["closed", "lost"])
def test_the_end_fails_each_ping_once(heartbeat, error):
    """A waiting ``ping()`` learns the reason, and a late pong answers nothing."""
    woken = []
    ping = Ping(116.0, lambda: woken.append(1))
    heartbeat.sent(115.0)
    heartbeat.sent_by_user(ping)
    heartbeat.end(error)
    heartbeat.end(error)
    assert heartbeat.pong(117.0) is None and woken == [1]
    assert ping.round_trip is None and ping.error is error


def test_a_second_ping_does_not_give_more_time_to_the_first(heartbeat):
    """The limit is that of the oldest unanswered ping."""
    heartbeat.sent(115.0)
    heartbeat.sent(117.0)
    assert heartbeat.deadline == 118.0


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["sent", "user", "pong", "forget", "wait"]), st.floats(0, 20)), max_size=40
)


@given(ACTIONS, st.floats(0, 100))
def test_the_deadline_is_when_something_happens(actions, later):
    """At any time, a ping is due or a pong is missed (never both) exactly if the deadline is reached."""
    heartbeat, now, ping = Heartbeat(15.0, 3.0, 0.0), 0.0, Ping(0.0)
    for action, seconds in actions:
        now += seconds
        if action == "sent":
            heartbeat.sent(now)
        elif action == "user":
            ping = Ping(now)
            heartbeat.sent_by_user(ping)
        elif action == "pong":
            heartbeat.pong(now)
        elif action == "forget":
            heartbeat.forget(ping)
    now += later
    due, expired = heartbeat.due(now), heartbeat.expired(now)
    assert not (due and expired)
    assert (due or expired) == (now >= heartbeat.deadline)
