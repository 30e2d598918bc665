"""Every pair of lifecycle calls, in every order of their pieces, and random triples."""

from __future__ import annotations

import itertools
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import cometchat._wiring as wiring
from cometchat import CometChat, api
from cometchat._runtime import _lifecycle as lifecycle

from .harness import DEADLINE, World

#: Name -> the call, and the maximum number of its I/O points.
CALLS: Dict[str, Tuple[Callable[[World], object], int]] = {
    "login": (lambda world: CometChat.login("u1", "key"), 3),
    "login as another": (lambda world: CometChat.login("u2", "key"), 3),
    "logout": (lambda world: CometChat.logout(), 2),
    "connect": (lambda world: CometChat.connect(0.3), 0),
    "disconnect": (lambda world: CometChat.disconnect(), 0),
    "init": (lambda world: _init(world), 0),
    "close": (lambda world: CometChat.close(), 0),
}


def _init(world: World) -> None:
    world.replaced = True
    CometChat.init("app", world.settings(ping_interval=20))


STATES = ("logged out", "disconnected", "connected", "backoff")


def _orders(one: int, other: int) -> Iterator[str]:
    """Yield each order of this many pieces of A and of B."""
    for places in itertools.combinations(range(one + other), one):
        yield "".join("A" if place in places else "B" for place in range(one + other))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("one, other", list(itertools.combinations_with_replacement(CALLS, 2)))
def test_every_pair_in_every_order(monkeypatch: pytest.MonkeyPatch, state: str, one: str, other: str) -> None:
    """After every order of the pieces, status, sockets, login and callbacks agree, and nothing is left over."""
    for order in _orders(CALLS[one][1] + 1, CALLS[other][1] + 1):
        with monkeypatch.context() as patch:
            _run(_world(patch), state, {"A": one, "B": other}, order)


@settings(max_examples=60, derandomize=False, suppress_health_check=list(HealthCheck))
@given(
    state=st.sampled_from(STATES),
    names=st.lists(st.sampled_from(list(CALLS)), min_size=3, max_size=3),
    order=st.lists(st.sampled_from("ABC"), max_size=9),
)
def test_random_triples(state: str, names: List[str], order: List[str]) -> None:
    """The same for three calls at once."""
    with pytest.MonkeyPatch.context() as patch:
        _run(_world(patch), state, dict(zip("ABC", names)), order)


@settings(max_examples=150, derandomize=False, suppress_health_check=list(HealthCheck))
@given(
    state=st.sampled_from(STATES),
    names=st.lists(st.sampled_from(list(CALLS)), min_size=2, max_size=3),
    order=st.lists(st.sampled_from("ABC"), max_size=14),
)
@example(state="logged out", names=["login", "login", "init"], order=list("ABBBBCC"))
@example(state="logged out", names=["login", "login", "init"], order=list("ABBBBBBCC"))
def test_random_calls_that_are_cut_at_the_start_of_threads(state: str, names: List[str], order: List[str]) -> None:
    """Other calls run between the moment when a call decides to start a thread and the moment when it runs."""
    with pytest.MonkeyPatch.context() as patch:
        calls = dict(zip("ABC", names))
        _run(_world(patch, cuts_thread_starts=True), state, calls, [name for name in order if name in calls])


def _world(patch: pytest.MonkeyPatch, *, cuts_thread_starts: bool = False) -> World:
    """Make a world in which a call waits for the listeners, also on a busy machine."""
    patch.setattr(wiring, "_JOIN", DEADLINE)
    patch.setattr(lifecycle, "_PATIENCE", DEADLINE)
    return World(patch, cuts_thread_starts=cuts_thread_starts)


def _run(world: World, state: str, calls: Dict[str, str], order: Sequence[str]) -> None:
    try:
        world.reach(state)
        for name, call in calls.items():
            world.scheduler.add(name, lambda call=call: _checked(world, call))  # type: ignore[misc]
        for name in order:
            if not world.scheduler.actors[name].done:
                world.scheduler.step(name)
        world.scheduler.finish()
        if not api._client._core.lifecycle.closed:  # type: ignore[union-attr]
            world.check()
    except AssertionError as error:
        raise AssertionError(f"{state}: {calls} in the order {''.join(order)}: {error}") from error
    finally:
        world.scheduler.free = True
        world.end()


def _checked(world: World, name: str) -> None:
    CALLS[name][0](world)


def test_promise_9_a_connect_during_a_logout(world: World) -> None:
    """``connect()`` waits for the logout, then raises. When ``logout()`` returns, the connection is closed."""
    world.reach("connected")
    left: List[object] = []

    def logout() -> None:
        CometChat.logout()
        left.append((len(world.service.sockets), CometChat.get_logged_in_user()))

    world.scheduler.add("A", logout)
    connect = world.scheduler.add("B", lambda: CometChat.connect(DEADLINE))
    world.scheduler.step("A")  # its DELETE runs
    world.scheduler.step("B")
    assert connect.blocked and not connect.done
    world.scheduler.finish()
    assert left == [(0, None)]
    assert getattr(connect.error, "code", None) == "USER_NOT_LOGGED_IN"
    assert CometChat.get_connection_status() == "disconnected" and not world.service.sockets
