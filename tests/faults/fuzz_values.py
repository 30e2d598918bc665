"""Hostile values made of bytes, for hypothesis and atheris, and the checks of every error and log line."""

from __future__ import annotations

import json
import logging
import pickle
import re
import sys
import threading
import traceback
from typing import Any, Dict, List, Sequence, TypeVar

from cometchat import CometChatException, exceptions
from cometchat._transport._exception_chain import exception_chain as causes

T = TypeVar("T")

#: Codes of the SDK, as docs/troubleshooting.rst explains them, without the code for an SDK's own mistake.
DOCUMENTED = {value for name, value in vars(exceptions).items() if name.isupper() and isinstance(value, str)} - {
    exceptions.ERR_INTERNAL
}

#: Maximum characters of a server's text in an error, and the dots for the rest.
LONGEST_SAID = 1003

#: In characters. No id, uid or token of this length may be kept.
LONG = 100_000


def deep(levels: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


#: JSON values that a service never sends.
ODD: List[Any] = [
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**40, 10**400, 1.5, -0.0, 5e-324, 1e308),
    *(float("inf"), float("-inf"), float("nan")),
    *("", " ", "\0", "a\r\nb: c", "\ud800", "x\udfff\ud800", "\U0001f4ac", "\u2028", "%s%n", "..", "/", "[", "@", ":"),
    *("9" * 5000, "²", "٣", "-5", "1e5", "NaN", "None", "200", "OK", "x" * 300, "y" * LONG),
    *([], {}, [[]], {"": {"": []}}, deep(60), deep(300), [None] * 50, {"__class__": "x"}),
]

#: Names and values that have a meaning here.
WORDS: List[Any] = [
    *("message", "custom", "action", "call", "text", "auth", "user", "group", "online", "started", "delivered", "read"),
    *("edited", "deleted", "joined", "scopeChanged", "initiated", "rejected", "message_reaction_added", "interacted"),
    *("cometchat-uid-1", "g1", "127.0.0.1", "host:99999", "[::1]", "ws://h", "wss://h:1/x", "DEFAULT", "NO_TRANSIENT"),
    *("1", "2", "443", "0", "false", 1, 2, 443, 1700000000),
]

KEYS = [
    *("id", "muid", "conversationId", "sender", "receiver", "receiverType", "category", "type", "sentAt", "updatedAt"),
    *("editedAt", "deletedAt", "data", "text", "metadata", "entities", "entity", "uid", "guid", "name", "tags", "raw"),
    *("action", "user", "messageId", "timestamp", "reaction", "reactedBy", "code", "status", "message", "details"),
    *("by", "on", "for", "extras", "scope", "old", "new", "resource", "attachments", "url", "customData", "sessionid"),
]


class Draw:
    """Values made of bytes. The same bytes give the same values. After the last byte, zeros follow."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Return a number from 0 to 255."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the choices."""
        return options[(self.byte() << 8 | self.byte()) % len(options)]

    def rest(self) -> bytes:
        """Return the remaining bytes."""
        left, self._at = self._data[self._at :], len(self._data)
        return left

    def value(self, depth: int = 3) -> Any:
        """Return a JSON value."""
        kind = self.byte() % 8
        if kind < 3:
            return self.pick(ODD)
        if kind < 5 or not depth:
            return self.pick(WORDS)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.byte() % 4)]
        return self.object(KEYS, depth - 1)

    def object(self, keys: Sequence[str], depth: int = 3) -> Dict[str, Any]:
        """Return an object with some of the keys."""
        return {self.pick(keys): self.value(depth) for _ in range(self.byte() % 6)}

    def good(self, fields: Dict[str, Any]) -> Dict[str, Any]:
        """Return right fields, some of them replaced."""
        return {key: self.value(2) if self.byte() % 3 == 1 else value for key, value in fields.items()}


def as_json(value: Any, twice: bool = False) -> bytes:
    """Return JSON, with NaN and lone surrogates. With ``twice``, an object contains each of its keys once more."""
    text = json.dumps(value)
    if twice and text.startswith("{") and len(text) > 2:
        text = f"{text[:-1]},{text[1:]}"
    return text.encode()


def check(error: BaseException, *, servers_own: bool = False) -> None:
    """Check that the error is a short CometChatException with a documented code that can be shown, logged and pickled.

    :param servers_own: the code comes from the server.
    """
    assert isinstance(error, CometChatException), f"{type(error).__name__} came out: {error}"
    known = error.code in DOCUMENTED or re.fullmatch("INVALID_[A-Z_]+", error.code)
    assert known or servers_own, f"the code {error.code[:80]!r} is documented nowhere"
    for text in (error.code, error.name, error.message, error.details or "-", str(error), repr(error)):
        assert text, "an error has to say what is wrong"
        text.encode()  # a terminal and a log can write it
    assert max(map(len, (error.code, error.name, error.message, error.details or ""))) <= LONGEST_SAID
    assert "".join(traceback.format_exception(type(error), error, error.__traceback__))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def kept_by(error: BaseException) -> List[str]:
    """Return each value of 1 MiB and more in the frames of an error and of the errors that it wraps."""
    return [
        f"{type(each).__name__}: {name} in {frame.f_code.co_name}() has {_size(value)} bytes"
        for each in causes(error)
        for frame, _ in traceback.walk_tb(each.__traceback__)
        for name, value in frame.f_locals.items()
        if frame.f_globals.get("__name__", "").startswith("cometchat.") and _size(value) >= 2**20
    ]


def _size(value: object) -> int:
    """In bytes. PyPy does not count them: there it is the length."""
    return sys.getsizeof(value, 0) or (len(value) if isinstance(value, (str, bytes, bytearray, list, dict)) else 0)


class LoudLog(logging.Handler):
    """Writes every record of the SDK like a strict file.

    Keeps records that are errors, and records that cannot be written.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.wrong: List[str] = []
        self._logger = logging.getLogger("cometchat")
        self._level = self._logger.level

    def emit(self, record: logging.LogRecord) -> None:
        """Check whether the record can be written, and whether it reports a mistake."""
        try:
            text = self.format(record)
            text.encode()
        except Exception as error:
            self.wrong.append(f"{record.msg!r} can't be written: {error!r}")
        else:
            if record.levelno >= logging.ERROR:
                self.wrong.append(text)

    def __enter__(self) -> LoudLog:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def check(self) -> None:
        """Assert that no record was wrong so far."""
        assert not self.wrong, self.wrong[0][-3000:]


class ThreadWatch:
    """Keeps the exceptions that ended threads."""

    def __init__(self) -> None:
        self.deaths: List[str] = []

    def __enter__(self) -> ThreadWatch:
        self._before = threading.excepthook
        threading.excepthook = self._note
        return self

    def __exit__(self, *exc_info: object) -> None:
        threading.excepthook = self._before

    def _note(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        trace = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
        self.deaths.append(f"{name}: {''.join(trace)[-3000:]}")
