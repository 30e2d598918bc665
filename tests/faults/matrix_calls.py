"""The user's call at the moment of the fault: each call of the connection, and misbehaving callbacks."""

from __future__ import annotations

import threading
from typing import Callable, Dict, List

import pytest
from integration.conftest import DEADLINE, OTHER_UID, UID, Recorder

from cometchat import CometChatException, CometChatWSState, ConnectionListener

from .matrix_case import Case, UserCall
from .matrix_witness import HTTP_CODES, SOCKET_CODES

#: Errors of a waiting connect() and of ping(), also those of the fault.
WAITING_CODES = SOCKET_CODES | HTTP_CODES | {"NO_WEBSOCKET_CONNECTION"}

CALLBACKS = ("on_connecting", "on_connected", "on_feature_throttled", "on_disconnected", "on_connection_error")


def _connect(case: Case) -> None:
    case.may_raise(set(), lambda: case.client.connect(timeout=0))


def _connect_and_wait(case: Case) -> None:
    case.may_raise(WAITING_CODES, lambda: case.client.connect(0.05))


def _login(uid: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        user = case.may_raise(HTTP_CODES, lambda: case.client.login(uid, case.sandbox.auth_key))
        now = case.client.get_logged_in_user()
        if not isinstance(user, CometChatException) and not (now is None and case.ends_login):
            assert now is not None and now.uid == user.uid == uid

    return act


def _logout(case: Case) -> None:
    error = case.may_raise(HTTP_CODES, case.client.logout)
    case.note_off()
    assert case.ends_login or (case.client.get_logged_in_user() is None) == (error is None)


def _close(case: Case) -> None:
    case.client.close()
    case.closed = True
    assert case.status() is CometChatWSState.DISCONNECTED
    for call in (case.client.connect, case.client.disconnect, case.client.logout, case.client.ping):
        with pytest.raises(CometChatException) as caught:
            call()  # type: ignore[operator]
        assert caught.value.code == "ERR_CLIENT_CLOSED"


def _add_listener(case: Case) -> None:
    late = Recorder()
    before = case.status()
    case.client.add_connection_listener("late", late)
    starts = {before, case.status()}
    # Between two different statuses there may have been others.
    case.others.append((late, set(CometChatWSState) if len(starts) > 1 else starts))


def _remove_listener(case: Case) -> None:
    case.client.remove_connection_listener("leaving")
    leaving = case.others[0][0]
    # A running call may end.
    case.later.append(lambda: case.removed.append((leaving, len(leaving.calls))))


def _with_leaving(case: Case) -> None:
    leaving = Recorder()
    case.client.add_connection_listener("leaving", leaving)
    case.others.append((leaving, {CometChatWSState.DISCONNECTED}))


def _ping(case: Case) -> None:
    result = case.may_raise(WAITING_CODES, lambda: case.client.ping(0.1))
    assert isinstance(result, CometChatException) or 0 <= result < DEADLINE


def _wait_for_status(case: Case) -> None:
    for status in ("disconnected", CometChatWSState.CONNECTED):
        assert case.client.wait_for_status(status, 0.03) in (True, False)


class Misbehaving(ConnectionListener):
    """Acts in its callbacks once it is armed. It is registered before the listener that records."""

    def __init__(self, case: Case, act: Callable[[Case], object], *, once: bool) -> None:
        self._case = case
        self._act = act
        self._once = once
        self.armed = False
        self.entered = threading.Event()
        self.done = threading.Event()
        self.failures: List[BaseException] = []

    def _called(self) -> None:
        if not self.armed or (self._once and self.entered.is_set()):
            return
        self.entered.set()
        try:
            self._act(self._case)
        except SystemExit:
            raise
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            self.done.set()

    def on_connection_error(self, error: CometChatException) -> None:
        """Act like the other callbacks."""
        self._called()


for _name in CALLBACKS[:-1]:
    setattr(Misbehaving, _name, Misbehaving._called)


def _misbehave(case: Case, act: Callable[[Case], object], *, once: bool = True) -> None:
    listener = Misbehaving(case, act, once=once)
    case.client.add_connection_listener("misbehaving", listener)
    case.misbehaving = listener


def _provoke(case: Case) -> None:
    """Arm the listener, and make sure that it is called, even if the fault does not call it."""
    listener = case.misbehaving
    listener.armed = True
    if case.ends_login and not case.closed and case.client.get_logged_in_user() is None:
        case.login()
    if not listener.entered.wait(0.01):
        case.may_raise({"ERR_CLIENT_CLOSED"}, case.timed_disconnect)
    if not listener.entered.wait(0.01):
        case.may_raise({"ERR_CLIENT_CLOSED"}, lambda: case.client.connect(timeout=0))
    case.release()  # the dispatcher thread may be blocked
    assert listener.entered.wait(DEADLINE)


def _from_within(act: Callable[[Case], object]) -> UserCall:
    def provoke(case: Case) -> None:
        _provoke(case)
        assert case.misbehaving.done.wait(DEADLINE), "a call from inside a callback does not return"
        for failure in case.misbehaving.failures:
            raise failure

    return UserCall(provoke, lambda case: _misbehave(case, act))


def _raise(case: Case) -> None:
    raise SystemExit("from a callback")


def _raising(case: Case) -> None:
    case.loud = "The connection listener 'misbehaving' raised in "
    _provoke(case)


def _with_block(case: Case) -> None:
    go_on = threading.Event()
    _misbehave(case, lambda _: go_on.wait(DEADLINE))

    def was_kept() -> None:
        listener = case.misbehaving
        assert listener.done.is_set() == listener.entered.is_set() and not listener.failures

    case.releases.append(go_on.set)
    case.later.append(was_kept)


def _blocked(then: Callable[[Case], object]) -> Callable[[Case], None]:
    """While a listener blocks in its callback, the calls are as quick as usual."""

    def act(case: Case) -> None:
        case.misbehaving.armed = True
        case.misbehaving.entered.wait(0.01)
        case.leave()
        then(case)

    return act


def _connect_anew(case: Case) -> None:
    case.wanted_again()
    _connect(case)


def _change_listeners(case: Case) -> None:
    _add_listener(case)
    case.client.remove_connection_listener("misbehaving")
    case.client.remove_connection_listener("unknown")


def _close_within(case: Case) -> None:
    case.client.close()
    case.closed = True


CALLS: Dict[str, UserCall] = {
    "disconnect": UserCall(lambda case: case.leave()),
    "connect": UserCall(_connect),
    "connect and wait": UserCall(_connect_and_wait),
    "login": UserCall(_login(UID)),
    "login as another": UserCall(_login(OTHER_UID)),
    "logout": UserCall(_logout),
    "close": UserCall(_close),
    "add a listener": UserCall(_add_listener),
    "remove a listener": UserCall(_remove_listener, _with_leaving),
    "ping": UserCall(_ping),
    "wait for a status": UserCall(_wait_for_status),
    "a callback raises": UserCall(_raising, lambda case: _misbehave(case, _raise, once=False)),
    "a callback blocks disconnect": UserCall(_blocked(lambda case: None), _with_block),
    "a callback blocks connect": UserCall(_blocked(_connect_anew), _with_block),
    "a callback disconnects": _from_within(lambda case: case.timed_disconnect()),
    "a callback connects": _from_within(_connect),
    "a callback waits for connect": _from_within(_connect_and_wait),
    "a callback logs in": _from_within(_login(OTHER_UID)),
    "a callback logs out": _from_within(lambda case: case.may_raise(HTTP_CODES, case.client.logout)),
    "a callback closes": _from_within(_close_within),
    "a callback changes listeners": _from_within(_change_listeners),
}
