"""The inbox's position: a table of its states, the inputs and the states after them."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

import pytest
from rows import each_row

from cometchat._protocol import _position
from cometchat._protocol._position import OVERLAP, Gap, Position

Input = Callable[[Position], object]


class State(NamedTuple):
    """A position without its remembered ids. ``start`` and ``after`` are those of its gap."""

    floor: Optional[str] = None
    known: Optional[str] = None
    start: Optional[str] = None
    after: Optional[str] = None


UNKNOWN = State()
OWN = State(known="200")
COMPLETE = State("100", "200")
GAP = State("100", "300", "200", "150")
ODD = State(known="odd")  # not a number
REFUSED = State(known="")


def made(state: State) -> Position:
    position = Position()
    position.floor, position.known = state.floor, state.known
    position.gap = Gap(state.start, state.after) if state.start is not None and state.after is not None else None
    return position


def state_of(position: Position) -> State:
    gap = position.gap
    return State(position.floor, position.known, *((gap.start, gap.after) if gap is not None else ()))


def add(message_id: Optional[str]) -> Input:
    return lambda position: position.add(message_id)


def begin(newest: str) -> Input:
    return lambda position: position.begin(newest)


def begin_live(message_id: Optional[str]) -> Input:
    return lambda position: position.begin_live(message_id)


def remove(message_id: str, known_before: Optional[str]) -> Input:
    return lambda position: position.remove(message_id, known_before)


def resume(handled_to: str, floor: Optional[str]) -> Input:
    return lambda position: position.resume(handled_to, floor, ())


def open_after(message_id: str) -> Input:
    return lambda position: position.open_gap_after(message_id)


def fetch(*ids: Optional[str]) -> Input:
    """Queue the messages of a page."""

    def step(position: Position) -> None:
        gap = position.gap
        assert gap is not None
        for message_id in ids:
            position.add(message_id)
            gap.advance(message_id)

    return step


REFUSE, OPEN, EXTEND, CLOSE, RESET = (
    Position.begin_without_id,
    Position.open_gap,
    Position.extend_gap,
    Position.close_gap,
    Position.reset,
)

#: (state before, input, state after)
TABLE = [
    # The beginning. The first answer or live message counts.
    (UNKNOWN, begin("200"), COMPLETE._replace(floor="200")),
    (UNKNOWN, begin_live("200"), State("200", None)),
    (UNKNOWN, begin_live("odd"), UNKNOWN),
    (UNKNOWN, begin_live(None), UNKNOWN),
    (OWN, begin("150"), State("150", "200")),
    (OWN, begin("250"), State("200", "200")),
    (OWN, begin_live("150"), OWN),
    (COMPLETE, begin("300"), COMPLETE),
    (COMPLETE, begin_live("150"), COMPLETE),
    (ODD, begin("200"), State("odd", "odd")),
    # Without an answer the next live message counts, or the answer to the next connection.
    (UNKNOWN, REFUSE, REFUSED),
    (REFUSED, begin_live("200"), REFUSED),
    (REFUSED, add("200"), OWN),
    (REFUSED, OPEN, REFUSED),
    (REFUSED, EXTEND, REFUSED),
    (REFUSED, resume("200", "200"), State("200", "200", "200", "200")),
    (OWN, remove("200", ""), State("199", "199")),
    # Messages move the known id forward.
    (UNKNOWN, add("200"), OWN),
    (UNKNOWN, add("odd"), ODD),
    (UNKNOWN, add(None), UNKNOWN),
    (COMPLETE, add("201"), State("100", "201")),
    (COMPLETE, add("150"), COMPLETE),
    (COMPLETE, add(None), COMPLETE),
    (COMPLETE, add("odd"), COMPLETE),
    (ODD, add("201"), State(None, "201")),
    (GAP, add("301"), GAP._replace(known="301")),
    # A discard moves it back: to the id known before, or to before the message if it came after newer ones.
    (COMPLETE, remove("200", "190"), State("100", "190")),
    (COMPLETE, remove("180", "190"), State("100", "179")),
    (COMPLETE, remove("100", None), State("99", "99")),
    (State("0", "190"), remove("1", "190"), State("0", "0")),
    (COMPLETE, remove("odd", "190"), State("100", "190")),
    (COMPLETE, remove("odd", None), COMPLETE),
    (GAP, remove("160", "150"), GAP._replace(known="150")),
    # A gap after a loss starts a little before the known id, but not before the floor.
    (UNKNOWN, OPEN, UNKNOWN),
    (OWN, OPEN, State("200", "200", "200", "200")),
    (COMPLETE, OPEN, State("100", "200", "200", str(200 - OVERLAP))),
    (State("190", "200"), OPEN, State("190", "200", "200", "190")),
    (State("0", "20"), OPEN, State("0", "20", "20", "0")),
    (ODD, OPEN, State("odd", "odd", "odd", "odd")),
    # An older gap is not forgotten, and a discard may need one that is still older.
    (GAP, OPEN, GAP),
    (State("100", "300", "250", "280"), OPEN, State("100", "300", "250", "200")),
    (State("100", "180", "200", "250"), OPEN, State("100", "180", "180", "130")),
    # A gap after a live message without room starts at the known id, unless there is one.
    (UNKNOWN, EXTEND, UNKNOWN),
    (COMPLETE, EXTEND, State("100", "200", "200", "200")),
    (GAP, EXTEND, GAP),
    # A gap after the service's newest id, when the connection broke during the request.
    (State("200", "200"), open_after("200"), State("200", "200", "200", "200")),
    (State("200", "210"), open_after("150"), State("150", "210", "150", "150")),
    # Pages. The start never goes back to the overlap.
    (GAP, fetch("160"), GAP._replace(after="160")),
    (GAP, fetch("160", "210", None), State("100", "300", "210", "210")),
    (GAP, fetch("160", "310"), State("100", "310", "310", "310")),
    (GAP, fetch("210", "odd"), State("100", "300", "210", "210")),
    # The end of a gap, and of all.
    (GAP, CLOSE, State("100", "300")),
    (GAP, RESET, UNKNOWN),
    # A journal says where to continue.
    (UNKNOWN, resume("200", "100"), State("100", "200", "200", "150")),
    (UNKNOWN, resume("200", None), State("200", "200", "200", "200")),
]


@each_row("before, step, after", TABLE)
def test_each_input_has_its_state_after(before: State, step: Input, after: State) -> None:
    position = made(before)
    step(position)
    assert state_of(position) == after


@each_row(
    "state, message_id, fetched, up_to",
    [
        (COMPLETE, "201", False, "201"),
        (COMPLETE, "150", False, "200"),
        (COMPLETE, None, False, "200"),
        (GAP, "301", False, "200"),  # those in the gap are not handled
        (GAP, "160", True, "200"),
        (GAP, "210", True, "210"),
    ],
)
def test_a_handled_message_says_up_to_which_all_are(
    state: State, message_id: Optional[str], fetched: bool, up_to: str
) -> None:
    assert made(state).handled_up_to(message_id, fetched) == up_to


@each_row(
    "state, message_id, older",
    [
        (COMPLETE, "99", True),
        (COMPLETE, "100", True),
        (COMPLETE, "101", False),
        (COMPLETE, "odd", False),
        (COMPLETE, None, False),
        (OWN, "1", False),
    ],
)
def test_messages_up_to_the_floor_were_not_missed(state: State, message_id: Optional[str], older: bool) -> None:
    assert made(state).is_older(message_id) is older


def test_the_newest_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a listener they stay. A discarded message may come again, and a sent one moves no position."""
    monkeypatch.setattr(_position, "REMEMBERED", 3)
    position = made(COMPLETE)
    for number in range(201, 205):
        position.add(str(number))
    position.remember("300")
    position.remove("203", "202")
    position.reset()
    assert list(position.ids) == ["204", "300"]
    position.resume("200", "100", ["150", "200"])
    assert list(position.ids) == ["150", "200"]
