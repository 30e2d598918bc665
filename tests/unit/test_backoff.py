"""The waits between attempts: they double, have a maximum, spread, and never fail, also after many failures."""

from __future__ import annotations

import random

import pytest

from cometchat._runtime._threads import Backoff


def test_the_waits_double_up_to_the_longest() -> None:
    """Each failure doubles the wait."""
    backoff = Backoff(first=0.2, longest=1.0, jitter=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_jitter_takes_up_to_half() -> None:
    """A wait is between half and the whole of its maximum."""
    assert Backoff(1.0, jitter=lambda: 0.0).next() == pytest.approx(0.5)
    assert Backoff(1.0, jitter=lambda: 0.5).next() == pytest.approx(0.75)


def test_a_first_wait_above_the_longest_is_capped() -> None:
    """The longest wait holds from the first failure on."""
    assert Backoff(first=9.0, longest=2.0, jitter=lambda: 1.0).next() == pytest.approx(2.0)


def test_ten_thousand_failures() -> None:
    """No number of failures overflows or exceeds the longest wait."""
    backoff = Backoff(jitter=random.Random(1).random)
    waits = [backoff.next() for _ in range(10_000)]
    assert all(0.0 < wait <= 30.0 for wait in waits)
    assert all(15.0 <= wait for wait in waits[10:])


def test_a_servers_wait_is_the_minimum() -> None:
    """Never less than asked, in no failure; and a failure with a wish counts like any other."""
    backoff = Backoff(jitter=random.Random(2).random)
    assert all(backoff.next(7.0) >= 7.0 for _ in range(10_000))
    assert backoff.next() >= 15.0


def test_clients_that_are_asked_for_the_same_wait_spread() -> None:
    """Twelve clients with one Retry-After return over at least a tenth of it, not within 0.03 s."""
    waits = [Backoff(jitter=random.Random(seed).random).next(10.0) for seed in range(12)]
    assert max(waits) - min(waits) > 1.0
    assert all(10.0 <= wait <= 12.5 for wait in waits)


@pytest.mark.parametrize("asked", [None, 0.0, -1.0])
def test_a_server_that_asks_for_nothing(asked: float) -> None:
    """Without a Retry-After, or with a wrong one, the backoff's own wait counts."""
    assert Backoff(jitter=lambda: 1.0).next(asked) == pytest.approx(0.2)
