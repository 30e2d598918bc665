"""The sending methods of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, TypeVar

from ._runtime import _arguments as arguments
from .exceptions import invalid

if TYPE_CHECKING:
    from ._wiring import Core
    from .models import BaseMessage

M = TypeVar("M", bound="BaseMessage")


class Sending:
    """Sends: a part of :class:`Client`. On any thread; also from inside a callback."""

    _core: Core

    def _check_open(self) -> None:
        raise NotImplementedError

    def send_message(self, message: M) -> M:
        """Send a text or custom message. Makes one HTTP call and waits for it, up to ``connect_timeout`` seconds.

        ::

            client.send_message(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="Hello"))

        :param message: a TextMessage (``text``) or CustomMessage (``type``, ``custom_data``) with ``receiver_id`` and
            ``receiver_type``; a message without a ``muid`` gets one.
        :returns: the message as the service has stored it.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``,
            ``INVALID_{FIELD}`` for a wrong field of the message, such as ``INVALID_RECEIVER_TYPE``,
            ``FAILED_TO_FETCH``, ``ERR_CLIENT_CLOSED``, or the server's own code.
        """
        self._check_open()
        arguments.message(message)
        return self._core.sender.send(message)  # type: ignore[return-value]

    def start_typing(
        self, receiver_id: str, receiver_type: str = "user", metadata: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Tell a user or group that the user types. Sent at most once per 5 s and receiver; more often: nothing.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``,
            ``MISSING_PARAMETERS``, ``INVALID_RECEIVER_ID``, ``INVALID_RECEIVER_TYPE``, ``INVALID_METADATA``,
            ``ERR_CLIENT_CLOSED``.
        """
        self._typing(receiver_id, receiver_type, metadata, True)

    def end_typing(
        self, receiver_id: str, receiver_type: str = "user", metadata: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Tell that the user types no longer; see :meth:`start_typing`."""
        self._typing(receiver_id, receiver_type, metadata, False)

    def send_transient_message(self, receiver_id: str, receiver_type: str, data: Mapping[str, Any]) -> None:
        """Send a message that is not stored: it reaches who is connected now.

        :param data: a JSON object.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_DATA``.
        """
        self._check_open()
        receiver_id, receiver_type = arguments.receiver(receiver_id, receiver_type)
        self._core.sender.transient_message(receiver_id, receiver_type, arguments.json_object("data", data))

    def mark_as_delivered(self, message: BaseMessage) -> None:
        """Tell the sender that a message was delivered.

        :param message: as a MessageListener got it.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_MESSAGE``.
        """
        self._receipt(message, "delivered")

    def mark_as_read(self, message: BaseMessage) -> None:
        """Tell the sender that a message was read; see :meth:`mark_as_delivered`."""
        self._receipt(message, "read")

    def _typing(
        self, receiver_id: str, receiver_type: str, metadata: Optional[Mapping[str, Any]], started: bool
    ) -> None:
        self._check_open()
        receiver_id, receiver_type = arguments.receiver(receiver_id, receiver_type)
        values = None if metadata is None else arguments.json_object("metadata", metadata)
        self._core.sender.typing(receiver_id, receiver_type, values, started)

    def _receipt(self, message: BaseMessage, action: str) -> None:
        from .models import BaseMessage  # here, so that importing the package does not load them

        self._check_open()
        if not isinstance(message, BaseMessage):
            raise invalid("message", "give a message that a MessageListener got", message)
        self._core.sender.receipt(message, action)
