"""Signal handlers: put() and close() at every line of a running outbox call of the same thread."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

import cometchat
from cometchat import CometChatException, TextMessage
from cometchat import outbox as outbox_module
from cometchat._log import SafeLog
from cometchat._runtime.account._session import Owner, Session
from cometchat._runtime.outbox import MESSAGE, RECEIPT, OutboxDelivery, OutboxStore
from cometchat._runtime.storage import _sqlite_file
from cometchat.outbox import Outbox

DEADLINE = 10.0
ROOT = os.path.dirname(cometchat.__file__)
LOG = SafeLog(logging.getLogger("cometchat.outbox"), lambda: "client 1")


@pytest.fixture(autouse=True)
def no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check no argument: it takes many lines of each ``put()``, and none of them touches the outbox."""
    monkeypatch.setattr(outbox_module.arguments, "message", lambda message: None)


class Yard:
    """An outbox with its surroundings, and the muids of the sent items."""

    def __init__(self, path: Optional[str] = None) -> None:
        self.kinds: Tuple[str, ...] = ()
        self.sent: List[str] = []
        self.login = Session("app", "u1", "t1", "device", {})
        self.store = OutboxStore(path, log=LOG)
        self.delivery = OutboxDelivery(
            self.store if path is None else OutboxStore(path, log=LOG, durable=False),
            account=self,  # type: ignore[arg-type]
            sender=self,  # type: ignore[arg-type]
            events=self,  # type: ignore[arg-type]
            log=LOG,
            name="test-outbox",
        )
        self.outbox = Outbox(
            self.store,
            self.delivery,
            account=self,  # type: ignore[arg-type]
            sender=self,  # type: ignore[arg-type]
            limit=1000,
        )

    def require(self) -> Any:
        return self.login

    @property
    def session(self) -> Any:
        return self.login

    rate_limit_remaining = None

    def add_producer(self) -> None:
        """Do nothing: it posts to this object."""

    def remove_producer(self) -> None:
        """Do nothing: it is done."""

    def sendable(self) -> Tuple[str, ...]:
        return self.kinds

    def post(self, *call: Any) -> None:
        pass

    def message_body(self, message: TextMessage) -> Dict[str, Any]:
        texts = dict.fromkeys(("receiver", "receiverType", "category", "type"), "x")
        return {**texts, "muid": message.muid, "data": {"text": message.text}}

    def send_message(self, body: Dict[str, Any], uid: str) -> TextMessage:
        self.sent.append(body["muid"])
        return TextMessage(muid=body["muid"])

    def put(self, muid: str) -> None:
        self.outbox.put(TextMessage(text="a", muid=muid))

    def close(self) -> None:
        """Close it like the client."""
        self.delivery.close()
        self.delivery.join(0.01)
        self.store.close()


class Interruption:
    """Calls a function once, before the line number ``line`` that a thread runs in the package."""

    def __init__(self, line: int, call: Callable[[], Any]) -> None:
        self.left = line
        self.place = ""
        self.error: Optional[BaseException] = None
        self._call = call

    def __call__(self, frame: FrameType, event: str, _: Any) -> Optional[Any]:
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                try:
                    self._call()
                except CometChatException as error:
                    self.error = error
                sys.settrace(None)  # the rest is quicker without it
        return self

    def run(self, work: Callable[[], Any]) -> Optional[BaseException]:
        """Run a function with it, on a separate thread, and return the exception."""
        errors: List[BaseException] = []

        def traced() -> None:
            sys.settrace(self)
            try:
                work()
            except BaseException as error:
                errors.append(error)
            finally:
                sys.settrace(None)

        thread = threading.Thread(target=traced, name="test-main", daemon=True)
        thread.start()
        thread.join(DEADLINE)
        assert not thread.is_alive(), f"it hangs after a call at {self.place}"
        return errors[0] if errors else None


CALLS: Dict[str, Callable[[Yard], Any]] = {
    "put": lambda yard: yard.put("outer"),
    "flush": lambda yard: yard.outbox.flush(0.001),
    "pending": lambda yard: yard.outbox.pending(),
    "dead_letters": lambda yard: yard.outbox.dead_letters(),
    "retry": lambda yard: yard.outbox.retry("dead"),
}


def bury_one(yard: Yard) -> None:
    yard.put("dead")
    (item,) = yard.store.head(Owner("app", "u1"), (MESSAGE, RECEIPT), 1)
    yard.store.bury(Owner("app", "u1"), item, CometChatException("ERR_X", "no"))


def each_line(name: str, path: Optional[Callable[[int], str]], call: Callable[[Yard], Any]) -> Any:
    """Yield a yard for each line of a call, after another call at that line. Ends after the last line."""
    for line in range(1, 1000):
        yard = Yard(path and path(line))
        bury_one(yard)
        yard.put("first")
        interruption = Interruption(line, lambda: call(yard))
        error = interruption.run(lambda: CALLS[name](yard))
        yield yard, interruption, error
        yard.close()
        yard.delivery.join(DEADLINE)
        if interruption.left > 0:
            assert line > 10
            return
    pytest.fail("the call has no end")


#: A file takes longer, and differs only in put().
CASES = [*((name, "memory") for name in CALLS), ("put", "file")]


@pytest.fixture
def path(where: str, tmp_path: Path) -> Optional[Callable[[int], str]]:
    return None if where == "memory" else lambda line: str(tmp_path / f"{line}.db")


@pytest.mark.parametrize("name, where", CASES)
def test_put_at_any_line(name: str, path: Optional[Callable[[int], str]]) -> None:
    """put() accepts the item, or raises an error that says what to do.

    It never hangs, and the interrupted call works.
    """
    refused = 0
    for yard, interruption, error in each_line(name, path, lambda yard: yard.put("inner")):
        assert error is None, interruption.place
        if interruption.error is not None:
            refused += 1
            assert isinstance(interruption.error, CometChatException)
            assert interruption.error.code == "ERR_OUTBOX_STORE"
            assert "from another thread" in interruption.error.message
        expected = {"first"} | ({"outer"} if name == "put" else {"dead"} if name == "retry" else set())
        if interruption.place and interruption.error is None:
            expected.add("inner")
        yard.kinds = (MESSAGE, RECEIPT)
        yard.delivery.retry_now()
        assert yard.outbox.flush(DEADLINE)
        assert sorted(yard.sent) == sorted(expected), interruption.place
    assert refused > 0


@pytest.mark.parametrize("name, where", CASES[:-1])
def test_close_at_any_line(name: str, path: Optional[Callable[[int], str]], monkeypatch: Any) -> None:
    """close() never hangs. The interrupted call works or raises ERR_CLIENT_CLOSED, and the file is released."""
    monkeypatch.setattr(_sqlite_file, "_CLOSE", 0.01)
    for yard, interruption, error in each_line(name, path, lambda yard: yard.close()):
        assert interruption.error is None
        if not interruption.place:
            continue
        assert error is None or isinstance(error, CometChatException), interruption.place
        assert error is None or error.code == "ERR_CLIENT_CLOSED", interruption.place
        yard.delivery.join(DEADLINE)  # it may use the file at that moment, and then releases it
        assert yard.store._connection is None, interruption.place
        with pytest.raises(CometChatException) as caught:
            yard.put("late")
        assert caught.value.code == "ERR_CLIENT_CLOSED"
        yard.delivery.join(DEADLINE)
        assert not yard.delivery._thread.alive
