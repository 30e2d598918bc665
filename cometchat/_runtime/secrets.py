"""The secrets of one client, and how they are kept out of whatever the server says. Any thread."""

from __future__ import annotations

import json
import threading
import weakref
from typing import Dict, List, Tuple

#: Characters. A shorter piece of a secret is of no use to anybody, and may be an ordinary word.
SHORTEST_PIECE = 20

#: Characters. A shorter secret is a word of some test, and blotting it out would garble every text.
SHORTEST = 6

#: Every run of SHORTEST_PIECE characters has, at a multiple of this, a window of this many within it.
_WINDOW = SHORTEST_PIECE // 2

#: How many are remembered: those of a few logins, so that a logout does not make them public.
_REMEMBERED = 16


class Secrets:
    """Remembers the newest secrets and blots them out of texts, whole or in part.

    A server may repeat a credential, and may cut it: a close reason has 123 bytes, and a jwt has more. So every piece
    of :data:`SHORTEST_PIECE` characters counts. A blot is as long as what it hides, so that a text can be cut to
    length after it was scrubbed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)
        # Replaced as wholes: reading takes no lock.
        self._known: Tuple[str, ...] = ()
        self._windows: Dict[str, List[Tuple[str, int]]] = {}

    def add(self, *secrets: str) -> None:
        """Remember secrets, in their JSON form too where that differs."""
        forms = [form for secret in secrets if len(secret) >= SHORTEST for form in (secret, json.dumps(secret)[1:-1])]
        with self._lock:
            new = dict.fromkeys(form for form in forms if form not in self._known)
            if not new:
                return
            known = (*self._known, *new)[-_REMEMBERED:]
            windows: Dict[str, List[Tuple[str, int]]] = {}
            for secret in known:
                for start in range(len(secret) - _WINDOW + 1):
                    windows.setdefault(secret[start : start + _WINDOW], []).append((secret, start))
            self._known, self._windows = known, windows

    def known(self) -> Tuple[str, ...]:
        """Those that are remembered."""
        return self._known

    def scrub(self, text: str) -> str:
        """The text, of the same length, with asterisks in place of each secret or piece of one."""
        for secret in self._known:
            text = text.replace(secret, "*" * len(secret))
        windows, at = self._windows, 0
        while at + _WINDOW <= len(text):
            end = at
            for secret, start in windows.get(text[at : at + _WINDOW], ()):
                begin, end_of_piece = _grow(text, at, secret, start)
                if end_of_piece - begin >= SHORTEST_PIECE:
                    text = text[:begin] + "*" * (end_of_piece - begin) + text[end_of_piece:]
                    end = end_of_piece
            at += _WINDOW * max(1, (end - at) // _WINDOW)
        return text


_all: weakref.WeakSet[Secrets] = weakref.WeakSet()


def scrub_all(text: str) -> str:
    """The text without the secrets of any client of this process."""
    for secrets in list(_all):
        text = secrets.scrub(text)
    return text


def _grow(text: str, at: int, secret: str, start: int) -> Tuple[int, int]:
    """Where the piece of the secret that holds a window common to both begins and ends in the text."""
    before = after = 0
    while before < min(at, start) and text[at - before - 1] == secret[start - before - 1]:
        before += 1
    room = min(len(text) - at, len(secret) - start)
    while after < room and text[at + after] == secret[start + after]:
        after += 1
    return at - before, at + after
