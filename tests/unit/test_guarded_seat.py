"""A status store of the user's own that raises, or returns values of another type."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List

import pytest

from cometchat import CometChatException, ConnectionException, SharedStatus
from cometchat._log import SafeLog
from cometchat._runtime.sharing._guarded_seat import GuardedSeat, join

BOOM = RuntimeError("boom")
LOG = SafeLog(logging.getLogger("cometchat.connection"))

#: The calls that the client can go on without.
CALLS: Dict[str, Callable[[GuardedSeat], Any]] = {
    "publish": lambda seat: seat.publish(SharedStatus("connected")),
    "relay": lambda seat: seat.relay(b"{}"),
    "step_down": lambda seat: seat.step_down(),
    "leave": lambda seat: seat.leave(),
    "wait_left": lambda seat: seat.wait_left(0.1),
    "release_after_fork": lambda seat: seat.release_after_fork(),
}


class Store:
    """A store with one seat. ``answer`` answers each call of the seat, and raises if it is an exception."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.calls: List[str] = []

    def join(self, app_id: str, uid: str, member: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls.append(name)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return call


def seat_of(store: Any) -> Any:
    return join(store, "app", "u1", object(), LOG)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", CALLS)
def test_the_client_goes_on_without_a_call(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """The first exception of a method is logged, with its traceback. Each call is still made."""
    store = Store(BOOM)
    seat = seat_of(store)
    CALLS[method](seat)
    CALLS[method](seat)
    assert store.calls == [method, method]
    (record,) = caplog.records
    assert f"{method}() raised" in record.getMessage() and record.levelname == "ERROR"
    assert record.exc_info is not None and record.exc_info[1] is BOOM


@pytest.mark.parametrize("answer", [BOOM, None, "soon", object(), float("nan")], ids=repr)
def test_a_seat_that_does_not_know_its_lead_does_not_lead(answer: Any) -> None:
    """Another process may lead: two leaders are worse than none."""
    assert seat_of(Store(answer)).leads_until() == 0.0


@pytest.mark.parametrize("answer, until", [(5, 5.0), (7.5, 7.5), (0, 0.0)])
def test_the_end_of_a_lead_is_passed_on(answer: Any, until: float) -> None:
    """It is a time in seconds."""
    assert seat_of(Store(answer)).leads_until() == until


def test_a_frame_that_is_not_passed_on_is_an_error_of_its_sender() -> None:
    """``ERR_STATUS_STORE`` has the store's exception as its cause. An error of the SDK's own is raised as it is."""
    with pytest.raises(ConnectionException) as caught:
        seat_of(Store(BOOM)).send_up("{}")
    assert caught.value.code == "ERR_STATUS_STORE" and caught.value.__cause__ is BOOM
    own = CometChatException("ERR_X", "x")
    with pytest.raises(CometChatException) as raised:
        seat_of(Store(own)).send_up("{}")
    assert raised.value is own


@pytest.mark.parametrize("error, code", [(BOOM, "ERR_STATUS_STORE"), (CometChatException("ERR_X", "x"), "ERR_X")])
def test_a_store_that_can_not_be_joined(error: Exception, code: str) -> None:
    """The attempt to connect gets the error."""

    class Closed(Store):
        def join(self, app_id: str, uid: str, member: Any) -> Any:
            raise error

    with pytest.raises(CometChatException) as caught:
        seat_of(Closed())
    assert caught.value.code == code
