"""Reports changes of links, addresses and routes from Linux's netlink: the network came back, or changed."""

from __future__ import annotations

import select
import socket
import struct
from typing import Dict

#: rtnetlink(7): the groups of links, and of addresses and routes of IPv4 and IPv6.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24

#: The flag of a link that is up and has a carrier.
_RUNNING = 0x40

_HEADER = struct.Struct("=LHHLL")
_LINK = struct.Struct("=BxHiII")


class NetworkChanges:
    """Waits for the network to come back. :meth:`wait` on one thread, :meth:`stop` on any.

    :raises OSError: this system has no netlink or no ``poll()``, or no descriptors left.
    """

    def __init__(self) -> None:
        family = getattr(socket, "AF_NETLINK", None)
        if family is None or not hasattr(select, "poll"):
            raise OSError("no netlink and poll() on this system")
        self._netlink = socket.socket(family, socket.SOCK_RAW, 0)
        try:
            self._netlink.bind((0, _GROUPS))
            self._netlink.setblocking(False)
            self._bell, self._ring = socket.socketpair()
        except OSError:
            self._netlink.close()
            raise
        self._bell.setblocking(False)
        self._running: Dict[int, bool] = {}

    def wait(self) -> bool:
        """Wait. Returns True when a link, an address or a route was added, and False after :meth:`stop`."""
        poller = select.poll()
        poller.register(self._netlink, select.POLLIN)
        poller.register(self._bell, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._bell.fileno() in ready:
                self._bell.recv(64)
                return False
            if self._is_return():
                return True

    def stop(self) -> None:
        """End the current wait, or the next one."""
        self._ring.send(b".")

    def close(self) -> None:
        """Release the descriptors."""
        for one in (self._netlink, self._bell, self._ring):
            one.close()

    def _is_return(self) -> bool:
        try:
            data = self._netlink.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:  # ENOBUFS: the buffer was full, and reports were lost
            return True
        return self.has_return(data)

    def has_return(self, data: bytes) -> bool:
        """Return True if one of these netlink messages reports that a link, an address or a route was added."""
        found, at = False, 0
        while at + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if length < _HEADER.size:
                break
            if kind == _NEW_LINK and length >= _HEADER.size + _LINK.size and at + length <= len(data):
                _, _, index, flags, _ = _LINK.unpack_from(data, at + _HEADER.size)
                runs = bool(flags & _RUNNING)
                found = found or (runs and not self._running.get(index, False))
                self._running[index] = runs
            found = found or kind in (_NEW_ADDRESS, _NEW_ROUTE)
            at += (length + 3) & ~3
        return found
