"""Messages that wait for a catch-up: a table of the states of the wait, the inputs and the states after them."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Tuple

import pytest

from cometchat._runtime.delivery import _waiting
from cometchat._runtime.delivery._waiting import Message, Waiting

Input = Callable[[Waiting], object]


class State(NamedTuple):
    """Live messages by their ids, live changes with a ``+``; then the ids of the changes without room."""

    holding: bool = False
    live: Tuple[str, ...] = ()
    changes: Tuple[str, ...] = ()
    skipped: int = 0


def message(name: str) -> Message:
    body = {"id": name.rstrip("+"), "data": {"text": "long"}}
    return Message(None if name.endswith("+") else name, body, 10, None)


def made(state: State) -> Waiting:
    waiting = Waiting()
    waiting.holding, waiting.skipped = state.holding, state.skipped
    for name in state.live:
        waiting.add(message(name))
    for name in state.changes:
        waiting.keep_change(message(name).body)
    return waiting


def state_of(waiting: Waiting) -> State:
    live = tuple(each.id or f"{each.changed_id}+" for each in waiting.live)
    return State(waiting.holding, live, tuple(waiting.changes), waiting.skipped)


def add(*names: str) -> Input:
    def step(waiting: Waiting) -> None:
        for name in names:
            waiting.add(message(name))

    return step


def remove(*names: str) -> Input:
    return lambda waiting: waiting.remove(names)


def discard(*older: str) -> Input:
    return lambda waiting: waiting.discard([message(name).body for name in older])


FLOWING = State()
EMPTY = State(holding=True)
SOME = State(True, ("3", "1+"))
FULL = State(True, ("3", "4", "5"))

#: (state before, input, state after). Three messages have room.
TABLE: List[Tuple[State, Input, State]] = [
    (FLOWING, Waiting.hold, EMPTY),
    (SOME, Waiting.hold, SOME),
    (EMPTY, add("3", "1+"), SOME),
    # Without room messages are skipped, and changes lose their content. Only the newest change of a message stays.
    (FULL, add("6", "7"), FULL._replace(skipped=2)),
    (FULL, add("1+", "2+", "1+"), FULL._replace(changes=("2", "1"))),
    # A change that arrives after one without room must not go before it.
    (EMPTY._replace(changes=("1",)), add("2+", "3"), State(True, ("3",), ("1", "2"))),
    (FULL, remove("3", "5", "9"), State(True, ("4",))),
    (SOME, remove("3", "1"), State(True, ("1+",))),
    (SOME, Waiting.release, FLOWING),
    (FULL._replace(changes=("1",), skipped=1), Waiting.release, State(changes=("1",))),
    # Only changes outlive a discard, in the order of their arrival.
    (FLOWING, discard(), FLOWING),
    (FLOWING, discard("+", "1+"), State(changes=("1",))),  # one has no id
    (FLOWING._replace(changes=("2",)), discard("1"), State(changes=("1", "2"))),
    (State(True, ("3", "1+"), ("2",), 4), discard("5"), State(changes=("5", "1", "2"))),
    (State(True, ("1+",), ("1",)), discard("2"), State(changes=("2", "1"))),
    (FULL._replace(changes=("1",), skipped=1), Waiting.clear, FLOWING),
]


@pytest.mark.parametrize("limit", ["HELD", "HELD_BYTES"])
@pytest.mark.parametrize("before, step, after", TABLE)
def test_each_input_has_its_state_after(
    before: State, step: Input, after: State, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_waiting, limit, 3 if limit == "HELD" else 30)
    waiting = made(before)
    step(waiting)
    assert state_of(waiting) == after


def test_a_release_returns_what_waited_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_waiting, "HELD_BYTES", 30)
    waiting = made(FULL)
    released: List[Any] = [each.id for each in waiting.release()]
    add("6", "7", "8")(waiting)
    assert (released, state_of(waiting).live) == (["3", "4", "5"], ("6", "7", "8"))


def test_a_kept_change_has_no_content() -> None:
    waiting = made(State(changes=("1",)))
    assert waiting.changes == {"1": {"id": "1"}}
