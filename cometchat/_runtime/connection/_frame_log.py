"""The log of a client's frames, for a report on the service: the logger ``cometchat.frames``, at DEBUG."""

from __future__ import annotations

import logging

from ..._log import SafeLog
from ..account import LONGEST_TOKEN, Account

logger = logging.getLogger("cometchat.frames")

#: Maximum length of a logged frame, in characters.
_LONGEST_LOGGED = 2000


class FrameLog:
    """Logs what goes out and what comes in. Any thread; no method raises.

    :ivar log: for failures with a frame.
    """

    def __init__(self, account: Account) -> None:
        self.log = SafeLog(logger, account.client_name)
        self._account = account

    def opened(self, url: str) -> None:
        """Log that the socket is open."""
        self.log.debug("= open %s", url)

    def sent_auth(self, uid: str) -> None:
        """Log the frame that has the jwt, without it."""
        self.log.debug("> auth of %s (jwt not shown)", uid)

    def sent(self, frame: str) -> None:
        """Log any other frame that was sent."""
        if logger.isEnabledFor(logging.DEBUG):
            self.log.debug("> %s", self.shown(frame))

    def received(self, data: bytes, ignored: str = "") -> None:
        """Log a frame of the server.

        :param ignored: why the client does not use it; empty if it does.
        """
        if logger.isEnabledFor(logging.DEBUG):
            self.log.debug("< %s", self.shown(data.decode("utf-8", "replace")))
            if ignored:
                self.log.debug("ignored: %s", self.shown(ignored))

    def shown(self, text: str) -> str:
        """Return the text: first without secrets, then cut, so that no piece of a secret remains."""
        scrub = self._account.secrets.scrub
        if len(text) <= _LONGEST_LOGGED:
            return scrub(text)
        # A secret that begins before the cut ends before the second limit.
        beginning = scrub(text[: _LONGEST_LOGGED + LONGEST_TOKEN])[:_LONGEST_LOGGED]
        return f"{beginning} ... {len(text)} characters"
