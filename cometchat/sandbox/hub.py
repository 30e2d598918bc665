"""The sockets that are up, and what goes between them. Loop thread only, but for the counts."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Protocol

from .state import State


class Peer(Protocol):
    """What the hub knows of a connection."""

    uid: Optional[str]
    device_id: str

    def post_frame(self, frame: Dict[str, Any]) -> None:
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
        """Bring a typing indicator, a transient message or a receipt to its receiver's sockets."""
        if self._state.faults.mode == "NO_TRANSIENT":
            return
        routed = {**frame, "body": dict(frame["body"])}
        account = self._state.accounts.users[connection.uid or ""]
        # As the service knows the sender, whatever the sender says of itself.
        routed["body"]["user"] = account.fields(online=True)
        if frame["type"] == "receipts":
            routed["body"]["timestamp"] = int(time.time())
        if frame["receiverType"] == "user":
            for receiver in self.of(frame["receiver"]):
                receiver.post_frame(routed)

    def deliver(self, message: Dict[str, Any], resource: str) -> None:
        """Bring a stored message to its receivers' sockets."""
        frame = {
            "appId": self._state.app_id,
            "receiver": message["receiver"],
            "receiverType": message["receiverType"],
            "deviceId": resource,
            "sender": message["sender"],
            "type": "message",
            "body": message,
        }
        for uid in self._state.messages.receivers(message):
            for connection in self.of(uid):
                connection.post_frame(frame)

    def _announce(self, about: Peer, action: str) -> None:
        if self._state.faults.mode == "NO_TRANSIENT":
            return
        account = self._state.accounts.users[about.uid or ""]
        frame = {
            "appId": self._state.app_id,
            "receiver": "",
            "receiverType": "",
            "deviceId": about.device_id,
            "type": "presence",
            "sender": account.uid,
            "body": {
                "action": action,
                "user": account.fields(online=action == "online"),
                "timestamp": int(time.time()),
            },
        }
        for connection in self.joined:
            if connection.uid != about.uid and connection.wants_presence(account.role):
                connection.post_frame(frame)
