"""Messages sent over HTTP: checked, numbered, stored. Plain data: no network, no loop, no threads.

To whom a message is delivered is said here (``receivers``); that it is delivered is the hub's work.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List

from . import errors
from .accounts import Account, Accounts

#: What ``POST /messages`` must have, each a text that is not empty.
_TEXT_FIELDS = ("receiver", "receiverType", "category", "type")


class MessageStore:
    """The app's messages, in the order they came."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._messages: List[Dict[str, Any]] = []

    @property
    def messages(self) -> List[Dict[str, Any]]:
        """Copies, oldest first."""
        return [dict(message) for message in list(self._messages)]

    def post(self, sender: str, body: Any, resource: str) -> Dict[str, Any]:
        """Store a message as it was posted; the stored message.

        :param resource: what the sending client calls itself.
        :raises ApiError: the body is not a message, or nobody is there to receive it.
        """
        _check(body)
        receiver = self._receiver(body["receiver"], body["receiverType"])
        now = int(time.time())
        entities = {"sender": _entity(self._accounts.users[sender]), "receiver": _entity(receiver)}
        message: Dict[str, Any] = {
            "id": str(len(self._messages) + 1),
            "conversationId": _conversation(sender, receiver.uid),
            "sender": sender,
            "receiverType": body["receiverType"],
            "receiver": receiver.uid,
            "category": body["category"],
            "type": body["type"],
            "sentAt": now,
            "updatedAt": now,
            "data": {**body["data"], "resource": resource, "entities": entities},
        }
        for key in ("muid", "parentId", "tags", "metadata"):
            if key in body:
                message[key] = body[key]
        self._messages.append(message)
        return message

    def receivers(self, message: Dict[str, Any]) -> List[str]:
        """The uids of those whose sockets get the message."""
        return [message["receiver"]]

    def _receiver(self, receiver: str, receiver_type: str) -> Account:
        if receiver_type == "group":
            raise errors.guid_not_found(receiver)
        account = self._accounts.users.get(receiver)
        if account is None:
            raise errors.uid_not_found(receiver)
        return account


def _check(body: Any) -> None:
    if not isinstance(body, dict):
        raise errors.bad_request("The body is not a JSON object.")
    for field in _TEXT_FIELDS:
        if not isinstance(body.get(field), str) or not body[field]:
            raise errors.bad_request(f"The field {field} is missing, or not a text.")
    if body["receiverType"] not in ("user", "group"):
        raise errors.bad_request("The field receiverType is neither user nor group.")
    if not isinstance(body.get("data"), dict):
        raise errors.bad_request("The field data is missing, or not an object.")


def _conversation(sender: str, receiver: str) -> str:
    first, second = sorted((sender, receiver))
    return f"{first}_user_{second}"


def _entity(account: Account) -> Dict[str, Any]:
    return {"entity": account.fields(online=True), "entityType": "user"}
