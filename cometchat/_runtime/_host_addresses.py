"""The last known addresses of hosts: an attempt is not held up by a name server that the network's outage hides.

Look-ups of a host that is known run on a thread, one a host, since nothing can end the system's; who asks waits a
second for it. A host that is not known yet is looked up as ever, on the thread that asks.
"""

from __future__ import annotations

import copy
import ipaddress
import logging
import socket
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple

from .. import _fork
from .._transport import Address, LookUp, look_up

logger = logging.getLogger("cometchat.connection")

#: Seconds that a look-up may take until the last known addresses count.
PATIENCE = 1.0

#: Hosts. The one that was found longest ago is forgotten.
_MOST = 64

_Key = Tuple[str, int]


class _LookUp:
    """One that is under way."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.done = threading.Event()
        self.found: List[Address] = []
        self.error: Optional[BaseException] = None


class AddressBook(_fork.ForkSafeDefaults):
    """What was found last. Any thread.

    :param addresses_of: asks the system.
    :param clock: monotonic seconds.
    """

    def __init__(self, addresses_of: LookUp = look_up, clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = addresses_of
        self._clock = clock
        self._known: Dict[_Key, List[Address]] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In the child of a fork: the threads are not here."""
        self._lock = threading.Lock()
        self._under_way: Dict[_Key, _LookUp] = {}

    def addresses(self, host: str, port: int) -> List[Address]:
        """The host's addresses: new ones, or the last known ones where the name server has no answer within a second.

        :raises OSError, UnicodeError: there are none.
        """
        if _is_address(host):
            return self._look_up(host, port)
        key = (host, port)
        with self._lock:
            known = self._known.get(key)
        look = None if known is None else self._begin(key)
        if known is None or look is None:
            found = self._look_up(host, port)
            self._keep(key, found)
            return found
        # Who comes to one that hangs already does not wait as long again.
        if look.done.wait(max(0.0, look.began + PATIENCE - self._clock())):
            if look.error is None:
                return look.found
            if not _is_passing(look.error):
                raise copy.copy(look.error)  # others may raise it too
        logger.debug("no name server answers for %s: its last known addresses are tried", host)
        return known

    def _keep(self, key: _Key, found: List[Address]) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = found
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def _begin(self, key: _Key) -> Optional[_LookUp]:
        """The look-up that is under way, or a new one; None: the system has no more threads."""
        with self._lock:
            look = self._under_way.get(key)
            if look is not None:
                return look
            look = self._under_way[key] = _LookUp(self._clock())
        try:
            threading.Thread(target=self._run, args=(key, look), name="cometchat-look-up", daemon=True).start()
        except RuntimeError as error:
            logger.debug("a name is looked up without a thread: %s", error)
            self._end(key, look)
            return None
        return look

    def _run(self, key: _Key, look: _LookUp) -> None:
        try:
            look.found = self._look_up(*key)
            self._keep(key, look.found)
        except Exception as error:  # told by whoever waits for it
            look.error = error
        finally:
            self._end(key, look)

    def _end(self, key: _Key, look: _LookUp) -> None:
        with self._lock:
            if self._under_way.get(key) is look:
                del self._under_way[key]
        if not look.found and look.error is None:  # it never ran
            look.error = socket.gaierror(socket.EAI_AGAIN, "not looked up")
        look.done.set()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_passing(error: BaseException) -> bool:
    """Nobody has said that there is no such name."""
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


#: Of this process.
ADDRESSES = AddressBook()

_fork.register(_fork.Layer.PROCESS, ADDRESSES)
