"""The log of a client's frames, for a report on the service: the logger ``cometchat.frames``, at DEBUG."""

from __future__ import annotations

import logging
from typing import Callable

from .._log import SafeLog
from ._account import Account
from ._session import LONGEST_TOKEN

logger = logging.getLogger("cometchat.frames")

#: Maximum length of a logged frame, in characters.
_LONGEST_LOGGED = 2000


class FrameLog:
    """Logs what goes out. The router of frames logs what comes in. Any thread; no method raises."""

    def __init__(self, account: Account) -> None:
        self._log = SafeLog(logger, account.client_name)
        self._account = account

    def opened(self, url: str) -> None:
        """Log that the socket is open."""
        self._log.debug("= open %s", url)

    def sent_auth(self, uid: str) -> None:
        """Log the frame that has the jwt, without it."""
        self._log.debug("> auth of %s (jwt not shown)", uid)

    def sent(self, frame: str) -> None:
        """Log any other frame."""
        if self._log.isEnabledFor(logging.DEBUG):
            self._log.debug("> %s", shown(frame, self._account.scrub))


def shown(text: str, scrub: Callable[[str], str]) -> str:
    """Return the text for a log: first without secrets, then cut, so that no piece of a secret remains."""
    if len(text) <= _LONGEST_LOGGED:
        return scrub(text)
    # A secret that begins before the cut ends before the second limit.
    beginning = scrub(text[: _LONGEST_LOGGED + LONGEST_TOKEN])[:_LONGEST_LOGGED]
    return f"{beginning} ... {len(text)} characters"
