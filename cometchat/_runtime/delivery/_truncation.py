"""Counts the messages that were nested too deeply to be read whole, and warns of each."""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any, Callable, Sequence

from ..._log import SafeLog

logger = logging.getLogger("cometchat.messages")

#: Maximum number of ids that are remembered, so that a message counts once although it is fetched again.
REMEMBERED = 1000


class Truncation:
    """The truncated messages of one client.

    :param lock: the client's lock.
    :ivar count: number of truncated messages.
    """

    def __init__(self, lock: AbstractContextManager[Any], client_name: Callable[[], str]) -> None:
        self._lock = lock
        self._log = SafeLog(logger, client_name)
        self._known: OrderedDict[str, None] = OrderedDict()
        self.count = 0

    def note(self, ids: Sequence[str]) -> None:
        """Count truncated messages, and warn of each once. Any thread.

        :param ids: of the messages; ``""`` for data without an id. Printable.
        """
        with self._lock:
            new = [each for each in ids if each not in self._known]
            self.count += len(new)
            self._known.update(dict.fromkeys(new))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        for each in new:
            what = f"Message {each}" if each else "An event or answer without an id"
            self._log.warning("%s is nested too deeply. Values below 128 levels are read as None.", what)
