"""The methods of a client that send, change and read messages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, Iterator, Literal, Mapping, Optional, TypeVar, Union

from ._lazy import LazyModule
from ._runtime import _arguments as arguments
from .exceptions import invalid, missing, unusable

if TYPE_CHECKING:
    from . import _wiring, models
else:
    _wiring, models = LazyModule(f"{__package__}._wiring"), LazyModule(f"{__package__}.models")

M = TypeVar("M", bound="models.BaseMessage")


class Sending:
    """The part of :class:`Client` that sends, changes and reads messages. On any thread, callbacks included."""

    _core: _wiring.Core

    def _check_open(self) -> None:
        raise NotImplementedError

    def send_message(self, message: M) -> M:
        """Send a text or custom message. Makes one HTTP call and waits for it; ``connect_timeout`` limits each step.

        ::

            client.send_message(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="Hello"))

        :param message: a TextMessage (``text``) or CustomMessage (``type``, ``custom_data``) with ``receiver_id`` and
            ``receiver_type``; a message without a ``muid`` gets one. ``quoted_message`` is a stored message of the
            conversation, which the new one quotes.
        :returns: the message as the service has stored it.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``,
            ``INVALID_{FIELD}`` for a wrong field of the message, such as ``INVALID_RECEIVER_TYPE``,
            ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, ``ERR_TOKEN_REFRESH``,
            ``ERR_CLIENT_CLOSED``, or the server's own code.
        """
        self._check_open()
        arguments.message(message)
        return self._core.sender.send(message)  # type: ignore[return-value]

    def send_text(
        self,
        text: str,
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        parent_message_id: Optional[str] = None,
    ) -> models.TextMessage:
        """Send a text to a user or a group. Makes one HTTP call; see :meth:`send_message`.

        ::

            client.send_text("Hello", uid="cometchat-uid-2")

        :param uid: of the receiver, if it is a user.
        :param guid: of the receiver, if it is a group.
        :param parent_message_id: the id of the message whose thread this text is a reply in.
        :returns: the message as the service has stored it.
        :raises CometChatException: as :meth:`send_message`; ``INVALID_UID``, ``INVALID_GUID``, ``INVALID_TEXT``,
            ``INVALID_PARENT_MESSAGE_ID``.
        """
        self._check_open()
        receiver_id, receiver_type = arguments.one_receiver(uid, guid)
        parent = _parent(parent_message_id)
        return self.send_message(
            models.TextMessage(
                text=text, receiver_id=receiver_id, receiver_type=receiver_type, parent_message_id=parent
            )
        )

    def send_media_message(
        self,
        path_or_file: Union[str, os.PathLike[str], bytes, BinaryIO],
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        caption: Optional[str] = None,
        parent_message_id: Optional[str] = None,
        name: Optional[str] = None,
    ) -> models.MediaMessage:
        """Send a file to a user or a group. Makes three HTTP calls: for an address, for the upload, for the message.

        ::

            client.send_media_message("report.pdf", uid="cometchat-uid-2", caption="The report")

        The file is read while it is sent, and never loaded whole. The maximum size is 100 MiB (104857600 bytes), unless
        the app's settings name another limit. The upload ends if it makes no progress for 30 s. For an app without
        storage for uploads, the file goes with the message, in one call.

        :param path_or_file: a path, bytes, or a file opened in binary mode. A file is sent from its current position
            on, and stays open. A file that can't seek, such as a pipe, is copied to the disk first.
        :param uid: of the receiver, if it is a user.
        :param guid: of the receiver, if it is a group.
        :param caption: a text that is shown with the file.
        :param parent_message_id: the id of the message whose thread this message is a reply in.
        :param name: the file's name for the receiver. Its ending decides the type: ``.png`` makes an image message.
            Default: the name of the path or file.
        :returns: the message as the service has stored it; its ``attachments`` have the address of the file.
        :raises CometChatException: as :meth:`send_text`; ``INVALID_PATH_OR_FILE``, ``INVALID_CAPTION``,
            ``INVALID_NAME``, ``ERR_FILE_SIZE_EXCEEDED``, ``ERR_S3_UPLOAD_FAILED``, ``ERR_PRESIGNED_URL_EXPIRED``;
            ``ERR_INTERNAL``: the system has no descriptor, memory or room on the disk to read the file.
        """
        self._check_open()
        if path_or_file is None or (isinstance(path_or_file, str) and not path_or_file):
            raise missing("path_or_file", "a path, bytes, or a file opened in binary mode")
        receiver_id, receiver_type = arguments.one_receiver(uid, guid)
        parent = _parent(parent_message_id)
        if caption is not None:
            caption = arguments.text("caption", caption, "the caption, or None")
        if name is not None:
            name = arguments.text("name", name, "the name of the file, or None")
        message = {"receiver": receiver_id, "receiverType": receiver_type, **({"parentId": parent} if parent else {})}
        return self._core.media.send(path_or_file, name, caption, message)  # type: ignore[return-value]

    def edit_message(self, message: M, text: str) -> M:
        """Replace the text of a message, or the caption of a media message. Makes one HTTP call.

        The receivers get ``on_message_edited``. Users may edit their own messages, and moderators those of a group.

        :param message: a stored TextMessage or MediaMessage, from ``send_...()``, :meth:`get_messages` or a listener.
        :param text: the new text, or the new caption.
        :returns: the message as it is now.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``,
            ``INVALID_TEXT``, ``INVALID_DATA``, ``INVALID_METADATA``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``,
            ``ERR_BAD_RESPONSE``, ``ERR_TOKEN_REFRESH``, ``ERR_CLIENT_CLOSED``, or the server's own code, such as
            ``ERR_MESSAGE_NOT_A_SENDER``.
        """
        self._check_open()
        arguments.stored_message(message)
        if not isinstance(message, (models.TextMessage, models.MediaMessage)):
            raise invalid("message", "a TextMessage or a MediaMessage", message)
        for field in ("data", "metadata"):  # an edit sends them again
            arguments.json_object(field, getattr(message, field))
        text = arguments.text("text", text, "the new text")
        return self._core.messages.edit(message, text)  # type: ignore[return-value]

    def delete_message(self, message: M) -> M:
        """Delete a message for all users. Makes one HTTP call. The receivers get ``on_message_deleted``.

        :param message: a stored message; see :meth:`edit_message`.
        :returns: the message with its ``deleted_at`` and ``deleted_by``, and without its content; ``message`` itself if
            the service's answer lacks it.
        :raises CometChatException: as :meth:`edit_message`.
        """
        self._check_open()
        return self._core.messages.delete(arguments.stored_message(message))  # type: ignore[return-value]

    def add_reaction(self, message: M, reaction: str) -> M:
        """Add a reaction to a message. Makes one HTTP call. The other users get ``on_message_reaction_added``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji. Adding the same one again changes nothing.
        :returns: the message as it is now, with its ``reactions``.
        :raises CometChatException: as :meth:`edit_message`; ``INVALID_REACTION``.
        """
        self._check_open()
        stored, emoji = arguments.stored_message(message), arguments.reaction(reaction)
        return self._core.messages.react(stored, emoji, added=True)  # type: ignore[return-value]

    def remove_reaction(self, message: M, reaction: str) -> M:
        """Remove the user's own reaction. Makes one HTTP call. The other users get ``on_message_reaction_removed``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji.
        :returns: the message as it is now, with its ``reactions``; ``message`` itself if the service's answer
            lacks it.
        :raises CometChatException: as :meth:`edit_message`; ``INVALID_REACTION``.
        """
        self._check_open()
        stored, emoji = arguments.stored_message(message), arguments.reaction(reaction)
        return self._core.messages.react(stored, emoji, added=False)  # type: ignore[return-value]

    def get_messages(
        self,
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        parent_message_id: Optional[str] = None,
        before: Optional[Union[models.BaseMessage, str]] = None,
        after: Optional[Union[models.BaseMessage, str]] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.BaseMessage]:
        """Read the history, newest message first. With ``after``: read from there on, oldest message first.

        ::

            for message in client.get_messages(uid="cometchat-uid-2", limit=20):
                if isinstance(message, TextMessage):
                    print(message.sender.uid, message.text)

        Returns an iterator that makes one HTTP call per 100 messages, when they are needed. If a call fails, the
        iterator raises, and a later ``next()`` repeats the call, so no message is left out. The history also has
        entries for edits, deletions, group actions and calls (``Action``, ``Call``).

        :param uid: read the conversation with this user.
        :param guid: read the conversation of this group. Without uid and guid, all conversations are read.
        :param parent_message_id: read the thread of this message. Not together with uid or guid.
        :param before: a message or its id. Only older messages are read.
        :param after: a message or its id. Only newer messages are read; ``"0"`` starts with the first message.
        :param limit: maximum number of messages.
        :raises CometChatException: here ``USER_NOT_LOGGED_IN``, ``INVALID_UID``, ``INVALID_GUID``,
            ``INVALID_PARENT_MESSAGE_ID``, ``INVALID_BEFORE``, ``INVALID_AFTER``, ``INVALID_LIMIT``,
            ``MISSING_PARAMETERS``, ``ERR_CLIENT_CLOSED``; the iterator, before an HTTP call, ``ERR_CLIENT_CLOSED``, or
            ``USER_NOT_LOGGED_IN`` after a logout or a login of another user; else as :meth:`edit_message`.
        """
        from ._runtime.messages import history_path

        self._check_open()
        uid, guid = arguments.conversation(uid, guid)
        parent = _parent(parent_message_id)
        if parent is not None and (uid is not None or guid is not None):
            raise unusable("parent_message_id", "parent_message_id alone, without uid and guid")
        return self._core.messages.history(
            history_path(uid, guid, parent),
            before=None if before is None else arguments.message_id("before", before),
            after=None if after is None else arguments.message_id("after", after),
            limit=arguments.count("limit", limit),
            uid=self._core.account.require().uid,
            check_open=self._check_open,
        )

    def start_typing(
        self,
        receiver_id: str,
        receiver_type: Literal["user", "group"] = "user",
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Tell a user or group that the user is typing. Sent at most once per 5 s and receiver, until ``end_typing()``.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``,
            ``MISSING_PARAMETERS``, ``INVALID_RECEIVER_ID``, ``INVALID_RECEIVER_TYPE``, ``INVALID_METADATA``,
            ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does not read, or the connection broke.
        """
        self._typing(receiver_id, receiver_type, metadata, True)

    def end_typing(
        self,
        receiver_id: str,
        receiver_type: Literal["user", "group"] = "user",
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Tell a user or group that the user has stopped typing.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: as :meth:`start_typing`.
        """
        self._typing(receiver_id, receiver_type, metadata, False)

    def send_transient_message(
        self, receiver_id: str, receiver_type: Literal["user", "group"], data: Mapping[str, Any]
    ) -> None:
        """Send a message that the service does not store. It reaches only receivers that are connected.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param data: a JSON object.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_DATA``.
        """
        self._check_open()
        receiver, kind = arguments.receiver(receiver_id, receiver_type)
        self._core.sender.transient_message(receiver, kind, arguments.json_object("data", data))

    def mark_as_delivered(self, message: models.BaseMessage) -> None:
        """Tell the sender that a message, and all before it, were delivered. The SDK does not do this by itself.

        :param message: a message that a MessageListener received.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``,
            ``RECEIPTS_TEMPORARILY_BLOCKED`` (the app is throttled), ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``,
            ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does not read, or the connection broke.
        """
        self._receipt(message, "delivered")

    def mark_as_read(self, message: models.BaseMessage) -> None:
        """Tell the sender that a message, and all before it, were read. The SDK does not do this by itself.

        :param message: a message that a MessageListener received.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``,
            ``RECEIPTS_TEMPORARILY_BLOCKED`` (the app is throttled), ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``,
            ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does not read, or the connection broke.
        """
        self._receipt(message, "read")

    def _typing(
        self, receiver_id: str, receiver_type: str, metadata: Optional[Mapping[str, Any]], started: bool
    ) -> None:
        self._check_open()
        receiver_id, receiver_type = arguments.receiver(receiver_id, receiver_type)
        values = None if metadata is None else arguments.json_object("metadata", metadata)
        self._core.sender.typing(receiver_id, receiver_type, values, started)

    def _receipt(self, message: models.BaseMessage, action: str) -> None:
        self._check_open()
        if not isinstance(message, models.BaseMessage):
            raise invalid("message", "a message that a MessageListener received", message)
        self._core.sender.receipt(message, action)


def _parent(value: object) -> Optional[str]:
    return None if value is None else arguments.message_id("parent_message_id", value)
