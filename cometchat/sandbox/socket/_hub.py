"""The sockets that are up, and what goes between them. Loop thread only, but for the counts."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List, Optional, Protocol

from .._state import State
from ..chat._publisher import Outgoing


class Peer(Protocol):
    """What the hub knows of a connection."""

    uid: Optional[str]
    device_id: str

    def post(self, data: str) -> None:
        """Send a frame."""

    def wants_presence(self, role: str) -> bool:
        """Whether it asked for the presence of users of this role."""


class Hub:
    """Who is connected, and the way of a frame from one user to another."""

    def __init__(self, state: State) -> None:
        self._state = state
        #: The accepted connections.
        self.joined: List[Peer] = []

    def of(self, uid: Optional[str]) -> List[Peer]:
        """The accepted connections of one user; of all for None."""
        return [connection for connection in self.joined if uid in (None, connection.uid)]

    def is_online(self, uid: str) -> bool:
        """Whether a user has an accepted connection."""
        return bool(self.of(uid))

    def join(self, connection: Peer) -> None:
        """A connection has been accepted. Others hear of it where it is the user's first."""
        first = not self.of(connection.uid)
        self.joined.append(connection)
        self._state.journal.changed()
        if first:
            self._announce(connection, "online")

    def leave(self, connection: Peer) -> None:
        """A connection is gone. Others hear of it where it was the user's last."""
        if connection in self.joined:
            self.joined.remove(connection)
            if not self.of(connection.uid):
                self._announce(connection, "offline")
        self._state.journal.changed()

    def route(self, connection: Peer, frame: Dict[str, Any]) -> None:
        """Bring a typing indicator, a transient message or a receipt to its receiver's sockets.

        One to a group goes to its members' sockets, the sender's others too; only a member reaches a group.
        """
        account = self._state.accounts.users[connection.uid or ""]
        routed = {**frame, "body": dict(frame["body"])}
        # As the service knows the sender, whatever the sender says of itself.
        routed["body"]["user"] = account.fields(online=True)
        if frame["type"] == "receipts":
            routed["body"]["timestamp"] = int(time.time())
            if frame["body"]["action"] == "read":
                self._state.messages.note_receipt(account.uid, frame["body"]["messageId"])
        uids = frozenset({frame["receiver"]})
        if frame["receiverType"] == "group":
            group = self._state.groups.heard_by(frame["receiver"], account.uid)
            uids = frozenset() if group is None else frozenset(group.members)
        self.bring(Outgoing(routed, uids, account.uid, connection.device_id, transient=True))

    def bring(self, outgoing: Outgoing) -> None:
        """Bring a frame to the sockets that it is for."""
        if outgoing.transient and self._state.faults.mode == "NO_TRANSIENT":
            return
        text = json.dumps(outgoing.frame)
        for connection in self.joined:
            sent_it = connection.uid == outgoing.by and connection.device_id == outgoing.resource
            if connection.uid in outgoing.uids and not sent_it:
                connection.post(text)

    def announce(self, uid: str, action: str, device_id: str) -> None:
        """Tell those who asked for it that a user is ``online`` or ``offline``."""
        if self._state.faults.mode == "NO_TRANSIENT":
            return
        account = self._state.accounts.users[uid]
        frame = {
            "appId": self._state.app_id,
            "receiver": "",
            "receiverType": "",
            "deviceId": device_id,
            "type": "presence",
            "sender": account.uid,
            "body": {
                "action": action,
                "user": account.fields(online=action == "online"),
                "timestamp": int(time.time()),
            },
        }
        text = json.dumps(frame)
        for connection in self.joined:
            if connection.uid != uid and connection.wants_presence(account.role):
                connection.post(text)

    def _announce(self, about: Peer, action: str) -> None:
        self.announce(about.uid or "", action, about.device_id)
