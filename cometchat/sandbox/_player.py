"""A user of the sandbox whom a test plays, and the form of a message in a report."""

from __future__ import annotations

from typing import Any, Dict, Literal, Mapping, Sequence, Union

from .chat import ChatControls

#: Maximum number of messages that a report lists. It lists the newest.
_LISTED = 20


class Player:
    """One user, as ``Sandbox.play(uid)`` returns it. Its methods raise the same exceptions as those of the sandbox."""

    def __init__(self, sandbox: ChatControls, uid: str) -> None:
        self._sandbox = sandbox
        #: The user's uid.
        self.uid = uid

    def __repr__(self) -> str:
        return f"<Player {self.uid}>"

    def say(self, text: str, to: str, **options: Any) -> Dict[str, Any]:
        """Send a text message, and return it as it is stored.

        :param to: a uid, or a guid with ``receiver_type="group"``.
        :param options: those of ``Sandbox.send_message``.
        """
        return self._sandbox.send_message(self.uid, to, text, **options)

    def typing(
        self, to: str, started: bool = True, receiver_type: Literal["user", "group"] = "user"
    ) -> None:
        """Start typing, or stop it with ``started=False``.

        :param to: a uid, or a guid with ``receiver_type="group"``.
        """
        self._sandbox.typing(self.uid, to, started, receiver_type)

    def read(self, message: Union[str, Mapping[str, Any]]) -> None:
        """Read everything up to a message. Its sender gets the receipt.

        :param message: the message's id, or the message as the sandbox returns it.
        """
        self._sandbox.mark_read(message if isinstance(message, str) else str(message["id"]), self.uid)


def fits(message: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return True if a message (not an action or a call) has these values of ``text``, ``sender`` and ``receiver``."""
    has = {"text": message["data"].get("text"), "sender": message["sender"], "receiver": message["receiver"]}
    return message["category"] not in ("action", "call") and all(has[key] == value for key, value in wanted.items())


def report(wanted: Mapping[str, str], messages: Sequence[Mapping[str, Any]], timeout: float) -> str:
    """Return a report on a missing message, with the stored messages, one per line."""
    what = ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any"
    head = f"no message ({what}) within {timeout:g} s; stored: {len(messages)}"
    listed = messages[-_LISTED:]
    if len(listed) < len(messages):
        head += f", the newest {len(listed)}"
    return "\n".join([head, *map(_line, listed)])


def _line(message: Mapping[str, Any]) -> str:
    kind = f"{message['category']} {message['type']}"
    content = "" if message["data"].get("text") is None else f": {message['data']['text']!r}"
    return f"  {message['id']} {message['sender']} -> {message['receiver']}, {kind}{content}"
