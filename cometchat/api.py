"""CometChat: the process-wide default, a class whose methods act on one shared Client."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterator, Literal, Mapping, Optional, Union

from . import _fork
from ._protocol._states import CometChatWSState
from ._runtime._registry import ListenerRegistry
from ._sending import M
from ._shared_listening import SharedListening
from .client import Client
from .exceptions import COMETCHAT_INITIALIZATION_NOT_DONE, exception_for
from .outbox import Outbox
from .settings import AppSettings

if TYPE_CHECKING:
    from .models import BaseMessage, MediaMessage, TextMessage, User
    from .status import ConnectionInfo, Stats


class _SharedOutbox(Outbox):
    """The shared client's outbox, looked up at each call: before ``init`` it can be named, and raises when called."""

    def __init__(self) -> None:
        """None of its own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # tools that look at objects must not need a client
            raise AttributeError(name)
        return getattr(CometChat._shared().outbox, name)


class CometChat(SharedListening):
    """The SDK's front door: ``CometChat.init(...)``, ``CometChat.login(...)``, and so on.

    Every method is :class:`Client`'s of the same name. Before :meth:`init` it raises
    ``COMETCHAT_INITIALIZATION_NOT_DONE``, except :meth:`get_connection_status` and the methods for listeners.
    """

    # Held by init(), for the short time in which it closes the old client: both have the same listeners, which must not
    # hear the new connection before the end of the old one.
    _init_turn = threading.RLock()
    _client: Optional[Client] = None
    # The listeners outlive the client: they may come before init, and stay when the app is changed.
    _registry = ListenerRegistry()

    #: See :attr:`Client.outbox`.
    outbox: Outbox = _SharedOutbox()

    @classmethod
    def init(cls, app_id: str, settings: AppSettings) -> None:
        """Make the shared client. With the same arguments again: nothing; with others: the old one is closed first.

        :param app_id: of your dashboard.
        :param settings: the rest.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_APP_ID``, ``INVALID_SETTINGS``.
        """
        with cls._init_turn:
            old = cls._client
            if old is not None and not old._core.lifecycle.closed and (old.app_id, old.settings) == (app_id, settings):
                return
            new = Client._idle(app_id, settings, cls._registry)
            cls._client = new
            if old is not None:
                old.close()
            new._resume()

    @classmethod
    def close(cls) -> None:
        """Disconnect and end the threads; :meth:`init` may be called again. Again: nothing.

        Waits up to 0.2 s for each of the two threads; one that a blocked listener or a hanging handshake holds ends
        when the listener or the handshake returns. The stored login stays.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        cls._shared().close()

    @classmethod
    def run_forever(cls) -> None:
        """Block until :meth:`close`, SIGINT or SIGTERM; then close the client and return. For scripts and bots.

        ::

            CometChat.login("cometchat-uid-1", "AUTH_KEY")
            CometChat.run_forever()

        In the main thread it handles both signals, and restores their handlers before it returns. In another thread
        only ``close()`` ends it. ``close()`` may be called anywhere: on another thread, in a callback, in a signal
        handler, and before this call, which then returns at once. A signal ends it within 0.5 s.
        An :meth:`init` that closes the client ends it, too.

        A refused credential ends the connection, not this call: see ``on_connection_error``.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        cls._shared().run_forever()

    @classmethod
    def login(cls, uid: str, auth_key: str) -> User:
        """Log in as a user, with the app's auth key. Fit for development; on a server of yours, prefer auth tokens.

        Makes two HTTP calls and waits for them, each up to ``connect_timeout`` seconds. In auto mode the connection is
        then started, and not waited for. A login in place of another user's ends that user's connection.

        :param uid: the user, who has to exist. Capitals count as lower case.
        :param auth_key: of your dashboard. Kept nowhere.
        :returns: the logged-in user.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``MISSING_PARAMETERS``, ``INVALID_UID``,
            ``INVALID_AUTH_KEY``, ``LOGIN_IN_PROGRESS``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``,
            ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's own code.
        """
        return cls._shared().login(uid, auth_key)

    @classmethod
    def login_with_auth_token(cls, auth_token: str, refresh: Optional[Callable[[], str]] = None) -> User:
        """Log in with an auth token, which your server got from CometChat's REST API.

        Makes one HTTP call; as for the rest, see :meth:`login`.

        :param auth_token: the token.
        :param refresh: returns a new auth token; called once the old one is refused: now on this thread, later on the
            connection thread. What it raises counts as a failed attempt (``ERR_TOKEN_REFRESH``).
        :returns: the logged-in user.
        :raises CometChatException: as :meth:`login`; ``INVALID_AUTH_TOKEN``, ``INVALID_REFRESH``,
            ``ERR_TOKEN_REFRESH``.
        """
        return cls._shared().login_with_auth_token(auth_token, refresh)

    @classmethod
    def logout(cls) -> None:
        """Disconnect, void the auth token, and empty the store. Makes one HTTP call.

        Should the call fail, the user is disconnected but still logged in, so that it can be made again.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``FAILED_TO_FETCH``,
            ``ERR_CLIENT_CLOSED``, or the server's own code.
        """
        cls._shared().logout()

    @classmethod
    def get_logged_in_user(cls) -> Optional[User]:
        """The logged-in user, or None. Makes no call.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().get_logged_in_user()

    @classmethod
    def connect(cls, timeout: Optional[float] = 30.0) -> None:
        """Connect, and wait for it. The wait for the next attempt ends.

        Five such waits may end early, and one more each 10 s; then the wait lasts. A wait that the server asked for
        (``Retry-After``) lasts too.

        When it is back, the listeners have heard of it, unless one of them holds the dispatcher thread for over 50 ms.

        :param timeout: seconds to wait; 0: not at all; None: without limit.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``; what stopped the attempts; ``NO_WEBSOCKET_CONNECTION``: ``disconnect()`` was called;
            or ``ERR_CONNECT_TIMEOUT``: not connected in time (the attempts go on; the newest failure is its cause).
        """
        cls._shared().connect(timeout)

    @classmethod
    def disconnect(cls) -> None:
        """Close the connection, or stop making it; the status is ``disconnected`` from here on.

        Returns within 0.2 s in every state. Afterwards no callback but the final ``on_disconnected`` arrives.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        cls._shared().disconnect()

    @classmethod
    def ping(cls, timeout: Optional[float] = None) -> float:
        """Send a ping and wait for the answer.

        :param timeout: seconds; default: the settings' ``pong_timeout``.
        :returns: the round-trip time in seconds.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``NO_WEBSOCKET_CONNECTION``,
            ``ERR_PONG_TIMEOUT``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().ping(timeout)

    @classmethod
    def send_message(cls, message: M) -> M:
        """Send a text or custom message. Makes one HTTP call and waits for it, up to ``connect_timeout`` seconds.

        ::

            CometChat.send_message(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="Hello"))

        :param message: a TextMessage (``text``) or CustomMessage (``type``, ``custom_data``) with ``receiver_id`` and
            ``receiver_type``; a message without a ``muid`` gets one.
        :returns: the message as the service has stored it.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``INVALID_{FIELD}`` for a wrong field of the message, such as
            ``INVALID_RECEIVER_TYPE``, ``FAILED_TO_FETCH``, ``ERR_CLIENT_CLOSED``, or the server's own code.
        """
        return cls._shared().send_message(message)

    @classmethod
    def send_text(
        cls,
        text: str,
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        parent_message_id: Optional[str] = None,
    ) -> TextMessage:
        """Send a text to a user or a group. Makes one HTTP call; see :meth:`send_message`.

        ::

            CometChat.send_text("Hello", uid="cometchat-uid-2")

        :param uid: of the receiver, if it is a user.
        :param guid: of the receiver, if it is a group.
        :param parent_message_id: the id of the message whose thread this text is a reply in.
        :returns: the message as the service has stored it.
        :raises CometChatException: as :meth:`send_message`; ``INVALID_UID``, ``INVALID_GUID``, ``INVALID_TEXT``,
            ``INVALID_PARENT_MESSAGE_ID``.
        """
        return cls._shared().send_text(text, uid=uid, guid=guid, parent_message_id=parent_message_id)

    @classmethod
    def send_media_message(
        cls,
        path_or_file: Union[str, os.PathLike[str], bytes, BinaryIO],
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        caption: Optional[str] = None,
        parent_message_id: Optional[str] = None,
        name: Optional[str] = None,
    ) -> MediaMessage:
        """Send a file to a user or a group. Makes three HTTP calls: for an address, for the upload, for the message.

        ::

            CometChat.send_media_message("report.pdf", uid="cometchat-uid-2", caption="The report")

        The file is read while it is sent, and not loaded whole. It may have 100 MiB (104857600 bytes), unless the app's
        settings name another limit. The upload may take as long as it moves: 30 s without progress end it. An app
        without storage for uploads gets the file with the message, in one call.

        :param path_or_file: a path; bytes; or a file that is open in binary mode, which is sent from its present
            position on, and stays open. One that can't be sought, such as a pipe, is copied to the disk first.
        :param uid: of the receiver, if it is a user.
        :param guid: of the receiver, if it is a group.
        :param caption: a text that is shown with the file.
        :param parent_message_id: the id of the message whose thread this message is a reply in.
        :param name: the file's name for the receiver, whose ending says what it is: ``.png`` makes an image message.
            Default: the name of the path or file.
        :returns: the message as the service has stored it; its ``attachments`` have the address of the file.
        :raises CometChatException: as :meth:`send_text`; ``INVALID_PATH_OR_FILE``, ``INVALID_CAPTION``,
            ``INVALID_NAME``, ``ERR_FILE_SIZE_EXCEEDED``, ``ERR_S3_UPLOAD_FAILED``, ``ERR_PRESIGNED_URL_EXPIRED``,
            ``ERR_BAD_RESPONSE``.
        """
        return cls._shared().send_media_message(
            path_or_file, uid=uid, guid=guid, caption=caption, parent_message_id=parent_message_id, name=name
        )

    @classmethod
    def edit_message(cls, message: M, text: str) -> M:
        """Put another text into a message; into a media message, another caption. Makes one HTTP call.

        The other side hears ``on_message_edited``. Users may edit their own messages, and moderators those of a group.

        :param message: a stored TextMessage or MediaMessage: returned by ``send_...()`` or :meth:`get_messages`, or got
            by a listener.
        :param text: the new text, or the new caption.
        :returns: the message as it is now.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``INVALID_TEXT``, ``FAILED_TO_FETCH``, ``ERR_CLIENT_CLOSED``,
            or the server's own code, such as ``ERR_MESSAGE_NOT_A_SENDER``.
        """
        return cls._shared().edit_message(message, text)

    @classmethod
    def delete_message(cls, message: M) -> M:
        """Delete a message for everyone. Makes one HTTP call. The other side hears ``on_message_deleted``.

        :param message: a stored message; see :meth:`edit_message`.
        :returns: what is left of it: its ``deleted_at`` and ``deleted_by``, without its content.
        :raises CometChatException: as :meth:`edit_message`.
        """
        return cls._shared().delete_message(message)

    @classmethod
    def add_reaction(cls, message: M, reaction: str) -> M:
        """Add a reaction to a message. Makes one HTTP call. The others hear ``on_message_reaction_added``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji. The same one again: nothing.
        :returns: the message as it is now, with its ``reactions``.
        :raises CometChatException: as :meth:`edit_message`; ``INVALID_REACTION``.
        """
        return cls._shared().add_reaction(message, reaction)

    @classmethod
    def remove_reaction(cls, message: M, reaction: str) -> M:
        """Take a reaction of one's own back. Makes one HTTP call. The others hear ``on_message_reaction_removed``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji.
        :returns: the message as it is now, with its ``reactions``.
        :raises CometChatException: as :meth:`edit_message`; ``INVALID_REACTION``.
        """
        return cls._shared().remove_reaction(message, reaction)

    @classmethod
    def get_messages(
        cls,
        *,
        uid: Optional[str] = None,
        guid: Optional[str] = None,
        parent_message_id: Optional[str] = None,
        before: Optional[Union[BaseMessage, str]] = None,
        after: Optional[Union[BaseMessage, str]] = None,
        limit: Optional[int] = None,
    ) -> Iterator[BaseMessage]:
        """Read the history, the newest message first; with ``after``, from there on, the oldest first.

        ::

            for message in CometChat.get_messages(uid="cometchat-uid-2", limit=20):
                print(message.sender, message)

        An iterator, which makes one HTTP call for each 100 messages, when they are needed. Edits, deletions, group
        actions and calls have entries of their own, as the service has them (``Action``, ``Call``).

        :param uid: read the conversation with this user.
        :param guid: read the conversation of this group. Without either: all conversations.
        :param parent_message_id: in place of these: read the thread of this message.
        :param before: a message or its id: only older ones.
        :param after: a message or its id: only newer ones. ``"0"`` starts with the first message.
        :param limit: maximum number of messages.
        :raises CometChatException: here ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``INVALID_UID``,
            ``INVALID_GUID``, ``INVALID_PARENT_MESSAGE_ID``, ``INVALID_BEFORE``, ``INVALID_AFTER``, ``INVALID_LIMIT``,
            ``MISSING_PARAMETERS``, ``ERR_CLIENT_CLOSED``; the iterator ``FAILED_TO_FETCH``, or the server's own code.
        """
        return cls._shared().get_messages(
            uid=uid, guid=guid, parent_message_id=parent_message_id, before=before, after=after, limit=limit
        )

    @classmethod
    def start_typing(
        cls,
        receiver_id: str,
        receiver_type: Literal["user", "group"] = "user",
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Tell a user or group that the user types. Sent at most once per 5 s and receiver; more often: nothing.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``, ``MISSING_PARAMETERS``, ``INVALID_RECEIVER_ID``,
            ``INVALID_RECEIVER_TYPE``, ``INVALID_METADATA``, ``ERR_CLIENT_CLOSED``.
        """
        cls._shared().start_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def end_typing(
        cls,
        receiver_id: str,
        receiver_type: Literal["user", "group"] = "user",
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Tell a user or group that the user types no longer.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: as :meth:`start_typing`.
        """
        cls._shared().end_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def send_transient_message(
        cls, receiver_id: str, receiver_type: Literal["user", "group"], data: Mapping[str, Any]
    ) -> None:
        """Send a message that is not stored: it reaches who is connected now.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param data: a JSON object.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_DATA``.
        """
        cls._shared().send_transient_message(receiver_id, receiver_type, data)

    @classmethod
    def mark_as_delivered(cls, message: BaseMessage) -> None:
        """Tell the sender that a message was delivered.

        :param message: as a MessageListener got it.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_MESSAGE``.
        """
        cls._shared().mark_as_delivered(message)

    @classmethod
    def mark_as_read(cls, message: BaseMessage) -> None:
        """Tell the sender that a message was read.

        :param message: as a MessageListener got it.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_MESSAGE``.
        """
        cls._shared().mark_as_read(message)

    @classmethod
    def get_connection_status(cls) -> CometChatWSState:
        """The status, now; before :meth:`init`: ``disconnected``. Never blocks, takes no lock, raises nothing."""
        client = cls._client
        if client is None:
            return CometChatWSState.DISCONNECTED
        # As the client does it, without a call more: it may be polled.
        core = client._core
        return core.state.status if core.mark[0] else client.get_connection_status()

    @classmethod
    def wait_for_status(
        cls,
        status: Union[CometChatWSState, Literal["connected", "connecting", "disconnected", "featureThrottled"]],
        timeout: Optional[float] = None,
    ) -> bool:
        """Wait until the connection has a status, if only for a moment.

        :param status: a CometChatWSState or its string.
        :param timeout: seconds; None: without limit.
        :returns: False: the time is over.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``INVALID_STATUS``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().wait_for_status(status, timeout)

    @classmethod
    def connection_info(cls) -> ConnectionInfo:
        """Where this client is connected, and what went wrong last: for diagnosis. Makes no call.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().connection_info()

    @classmethod
    def stats(cls) -> Stats:
        """What has happened so far, counted: for metrics and diagnosis. Makes no call; works after ``close()`` too.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        return cls._shared().stats()

    @classmethod
    def _shared(cls) -> Client:
        client = cls._client
        if client is None:
            raise exception_for(
                COMETCHAT_INITIALIZATION_NOT_DONE, "Call CometChat.init(app_id, settings) before anything else."
            )
        return client


class _ForkOfCometChat(_fork.ForkSafeDefaults):
    """In the child of a fork, another thread of the parent may hold the lock."""

    def reset_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        CometChat._init_turn = threading.RLock()


_fork_of_cometchat = _ForkOfCometChat()
_fork.register(_fork.Layer.APPLICATION, _fork_of_cometchat)
