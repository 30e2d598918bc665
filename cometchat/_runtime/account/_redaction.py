"""Keeps secrets out of the server's texts and out of logs. Any thread."""

from __future__ import annotations

import json
import logging
import re
import threading
import weakref
from typing import Any, Callable, Container, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from ..._transport._exception_chain import exception_chain
from ...exceptions import CometChatException
from ._session import LONGEST_TOKEN

#: Minimum length of a hidden piece of a secret, in characters. Shorter pieces may be ordinary words.
SHORTEST_PIECE = 20

#: Minimum length of a secret, in characters. A shorter one comes from a test, and hiding it would garble every text.
SHORTEST = 6

#: Every run of SHORTEST_PIECE characters has, at a multiple of this, a window of this many within it.
_WINDOW = SHORTEST_PIECE // 2

#: The channel of a call, a group or a user in JSON, whole or cut. It has a secret.
_CHANNEL = re.compile(r'(?<="wsChannel")(\s*:\s*)(\{[^{}]*\}?)')

#: Maximum length of a text, multiplied by the length of the secrets, for a search without sets of pieces. The sets need
#: 50 KiB for the secrets of one login, and a process may have thousands of clients.
_SEARCHED = 1_000_000

#: Maximum number of remembered secrets: those of a few logins, so that they stay hidden after a logout.
_REMEMBERED = 16

#: Maximum length of a server's text in an error, in characters.
_LONGEST_TEXT = 1000


class Secrets:
    """Remembers the newest secrets and hides them in texts, whole or in part.

    A server may quote a credential, and may cut it: a close reason has at most 123 bytes, a jwt is longer. So every
    piece of :data:`SHORTEST_PIECE` characters is hidden. The text keeps its length, so that it can be cut to length
    afterwards.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced as a whole: reading takes no lock.
        self._known: Tuple[str, ...] = ()
        _all.add(self)  # now it is complete: any thread may log

    def add(self, *secrets: str) -> None:
        """Remember secrets, and their JSON form if it differs."""
        forms = [form for secret in secrets if len(secret) >= SHORTEST for form in (secret, json.dumps(secret)[1:-1])]
        with self._lock:
            new = dict.fromkeys(form for form in forms if form not in self._known)
            if new:
                self._known = (*self._known, *new)[-_REMEMBERED:]

    def known(self) -> Tuple[str, ...]:
        """Return the remembered secrets."""
        return self._known

    def scrub(self, text: str) -> str:
        """Return the text with asterisks instead of each secret or piece of a secret. Keeps the length."""
        known = self._known
        windows: Container[str]
        pieces: Container[str]
        windows = pieces = joined = "\0".join(known)
        if len(text) * len(joined) > _SEARCHED:  # a server could make a search slow
            windows, pieces = _pieces(known, _WINDOW), _pieces(known, SHORTEST_PIECE)
        text = _CHANNEL.sub(lambda found: found[1] + "*" * len(found[2]), text)
        return _scrubbed(text, windows, pieces, _short(known))

    def scrub_error(self, error: CometChatException) -> None:
        """Remove secrets from the texts of an error and its causes, in place, and cut the server's texts to length."""
        for each in exception_chain(error):
            if isinstance(each, CometChatException):
                self._scrub_one(each)
        cause = error.__cause__
        if cause is not None and self._are_in(cause):
            error.__cause__ = error.__context__ = None  # a library quotes the server's text, which contained a secret

    def _scrub_one(self, error: CometChatException) -> None:
        for name in ("code", "name", "message", "details"):
            text = getattr(error, name)
            if text is not None:
                # A secret that begins before the cut ends before the first limit.
                text = self.scrub(writable(text[: _LONGEST_TEXT + LONGEST_TOKEN]))
                setattr(error, name, text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}...")
        error.args = (error.code, error.message)

    def _are_in(self, error: BaseException) -> bool:
        """Return True if the error, or an error that it wraps, shows a secret."""
        shows = (str, repr, lambda each: repr(each.args))
        text = "\0".join([_shown(show, each) for each in exception_chain(error) for show in shows])
        return self.scrub(text) != text


def _shown(show: Callable[[BaseException], str], error: BaseException) -> str:
    """Return a text of an error. An application's exception may be unable to show itself."""
    try:
        return show(error)
    except Exception as failure:
        return type(failure).__name__


def writable(text: str) -> str:
    """Escape lone surrogates, which terminals, logs and SQLite can't write."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_all: weakref.WeakSet[Secrets] = weakref.WeakSet()


#: A cache: the secrets of all clients at the last call, and their merged form. A process may have a thousand clients.
_merged: Tuple[List[Tuple[str, ...]], FrozenSet[str], FrozenSet[str], Tuple[str, ...]] = (
    [],
    frozenset(),
    frozenset(),
    (),
)


def scrub_all(text: str) -> str:
    """Return the text without the secrets of any client of this process."""
    global _merged
    clients = _all_clients()
    asked, windows, pieces, short = _merged
    now = [secrets.known() for secrets in clients]
    if len(now) != len(asked) or any(new is not old for new, old in zip(now, asked)):
        known = frozenset().union(*now)
        windows, pieces = _pieces(known, _WINDOW), _pieces(known, SHORTEST_PIECE)
        short = _short(known)
        _merged = (now, windows, pieces, short)
    return _scrubbed(text, windows, pieces, short)


def _all_clients() -> List[Secrets]:
    while True:
        try:
            return list(_all)
        except RuntimeError:  # another thread is creating a client; a fork could leave a lock held
            continue


def _scrubbed(text: str, windows: Container[str], pieces: Container[str], short: Sequence[str]) -> str:
    # At most one check per position, for any text, so that a server can't make this slow.
    blots, hidden = [], 0
    for at in range(0, len(text) - _WINDOW + 1 if windows else 0, _WINDOW):
        if text[at : at + _WINDOW] in windows:
            for begin in range(max(at - _WINDOW + 1, 0), at + 1):
                end = begin + SHORTEST_PIECE
                if end <= len(text) and text[begin:end] in pieces:
                    blots.append((max(begin, hidden), end))
                    hidden = end
    if blots:
        text = _blotted(text, blots)
    # This comes last. A short secret may be part of a long one, and no piece of the long one may remain.
    for secret in short:
        text = text.replace(secret, "*" * len(secret))
    return text


def _short(secrets: Iterable[str]) -> Tuple[str, ...]:
    """Return the secrets that are hidden only as a whole, longest first."""
    return tuple(sorted([secret for secret in secrets if len(secret) < SHORTEST_PIECE], key=len, reverse=True))


def _pieces(secrets: Iterable[str], length: int) -> FrozenSet[str]:
    return frozenset(secret[at : at + length] for secret in secrets for at in range(len(secret) - length + 1))


def _blotted(text: str, blots: List[Tuple[int, int]]) -> str:
    """Return the text with asterisks in each span. The spans are sorted, and do not overlap."""
    parts, at = [], 0
    for begin, end in blots:
        parts += [text[at:begin], "*" * (end - begin)]
        at = end
    return "".join([*parts, text[at:]])


#: Texts that look like a jwt: three parts in base64url, the first of which encodes ``{"``. The lookahead comes first
#: and runs once per run of such characters, so that the time is linear in the length of the text.
_JWT = re.compile(r"(?<![\w-])(?=[\w-]+\.[\w-]{5,}\.)([\w-]*?)\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")

#: Names of fields that hold a secret.
_NAMES = "(?:api[_-]?key|auth[_-]?key|auth[_-]?token|authorization|jwt)"
_NAME = re.compile(_NAMES, re.IGNORECASE)

#: A key and its value in JSON, a header, a URL, a command line, or Python's repr of one of them, or of a pair.
_KEYED = re.compile(
    r"""((?:--auth-(?:key|token)\s+(?!-)"""
    rf"""|{_NAMES}(?:(?:\\*["']|%22)?\s*(?:[:=]|%3[AD])\s*|["'],\s*(?=b?["'][^"']*["']\))))(?:b(?=["']))?)"""
    # In JSON within JSON, each quotation mark has backslashes. A text that was cut lacks the second one.
    r"""(?:(\\+["'])[^\s"',}&\\]+\2?|(["']?)(?:(?:basic|bearer|digest|negotiate|ntlm|token)\s+)?[^\s"',}&]+\3?)""",
    re.IGNORECASE,
)

#: The password in a URL.
_IN_URL = re.compile(r"""(://[^\s/:@"'<>]*:)[^\s/@"'<>]+(?=@)""")

#: The attributes of a record that ``extra`` has not set.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"taskName"}

#: Maximum depth of the containers in a field that are searched.
_DEEPEST = 5


class SecretsFilter(logging.Filter):
    """Hides auth keys, auth tokens and jwts. Add it to a handler: ``handler.addFilter(SecretsFilter())``.

    The SDK's own records contain no secret. A filter on a handler also gets the records of other libraries and of your
    code. It hides the secrets of all clients of this process, texts that look like a jwt, values that are named like a
    secret, and passwords in URLs. It searches the text, the traceback, the stack and the fields of ``extra`` (strings,
    and dicts, lists and tuples of strings). A record with a secret in its traceback loses its ``exc_info``;
    ``exc_text`` has the rewritten traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the secrets in the record's text, traceback and fields. Returns True."""
        for name in vars(record).keys() - _STANDARD:
            setattr(record, name, _scrub_field(name, getattr(record, name)))
        try:
            text = record.getMessage()
        except Exception:  # the arguments do not match the format: the handler prints both
            record.msg, record.args = _scrub_field("", record.msg), _scrub_field("", record.args)
            return True
        clean = _scrub(text)
        if clean != text:
            record.msg, record.args = clean, None
        trace: Optional[str] = record.exc_text
        if record.exc_info and record.exc_info[0] is not None and not trace:
            trace = logging.Formatter().formatException(record.exc_info)
        if trace:
            clean = _scrub(trace)
            if clean != trace:  # without exc_info, every formatter uses this
                record.exc_text, record.exc_info = clean, None
        if record.stack_info:
            record.stack_info = _scrub(record.stack_info)
        return True


def _scrub(text: str) -> str:
    text = _JWT.sub(r"\1***", scrub_all(text))
    return _IN_URL.sub(r"\1***", _KEYED.sub(r"\1***", text))


def _scrub_field(name: object, value: Any, depth: int = 0) -> Any:
    """Return the value of a field without secrets; the same object if it contains no secret."""
    if isinstance(value, str):
        clean = "***" if isinstance(name, str) and _NAME.search(name) else _scrub(value)
        return value if clean == value else clean
    if depth > _DEEPEST:
        return value
    if type(value) is dict:
        items = {key: _scrub_field(key, item, depth + 1) for key, item in value.items()}
        return value if all(items[key] is value[key] for key in value) else items
    if type(value) in (list, tuple):
        parts = [_scrub_field(name, item, depth + 1) for item in value]
        if len(value) == 2 and isinstance(value[0], str) and _NAME.search(value[0]):  # a header, for example
            parts[1] = _scrub_field(value[0], value[1], depth + 1)
        return value if all(new is old for new, old in zip(parts, value)) else type(value)(parts)
    return value
