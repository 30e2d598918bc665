"""The open sockets, and the delivery of frames to them. Other threads than the loop's read only the counts."""

from __future__ import annotations

import json
from typing import Collection, Dict, List, Optional, Protocol

from .._journal import Journal
from ..chat._publisher import Frame
from ..chat._users import User
from ..faults import Faults


class Peer(Protocol):
    """A connection, as the hub sees it."""

    uid: Optional[str]
    device_id: str

    def post(self, data: str) -> None:
        """Send a frame."""

    def wants_presence(self, about: User) -> bool:
        """Return whether it asked for this user's presence."""


class Hub:
    """The accepted connections of each user. It stays when the sandbox stops, without any connection."""

    def __init__(self, faults: Faults, journal: Journal) -> None:
        self._faults = faults
        self._journal = journal
        self._by_uid: Dict[str, List[Peer]] = {}

    @property
    def count(self) -> int:
        """The number of accepted connections."""
        return sum(len(peers) for peers in list(self._by_uid.values()))

    def is_online(self, uid: str) -> bool:
        """Return whether a user has an accepted connection."""
        return bool(self._by_uid.get(uid))

    def join(self, uid: str, peer: Peer) -> bool:
        """Add an accepted connection. Returns whether it is the user's first."""
        peers = self._by_uid.setdefault(uid, [])
        peers.append(peer)
        self._journal.changed()
        return len(peers) == 1

    def leave(self, uid: Optional[str], peer: Peer) -> bool:
        """Remove a connection, accepted or not. Returns whether it was the user's last."""
        peers = self._by_uid.get(uid or "", [])
        joined = peer in peers
        if joined:
            peers.remove(peer)
        self._journal.changed()
        return joined and not peers

    def deliver(self, frame: Frame, uids: Collection[str], by: str, resource: str) -> None:
        """Send a frame to the users' sockets, except to the one that caused it, unless the ``MODE`` stops it."""
        if self._faults.stops(frame["type"]):
            return
        text: Optional[str] = None
        for uid in uids:
            for peer in self._by_uid.get(uid, ()):
                if uid == by and peer.device_id == resource:
                    continue
                text = json.dumps(frame) if text is None else text
                peer.post(text)

    def announce(self, frame: Frame, about: User) -> None:
        """Send a presence frame to the sockets of other users that asked for it."""
        if self._faults.stops(frame["type"]):
            return
        text = json.dumps(frame)
        for uid, peers in self._by_uid.items():
            for peer in peers:
                if uid != about.uid and peer.wants_presence(about):
                    peer.post(text)
