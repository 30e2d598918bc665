"""CometChat: the process-wide default client, as a class whose methods act on one shared Client."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterator, Literal, Mapping, Optional, Union

from . import _fork
from ._lazy import LazyModule
from ._protocol._states import CometChatWSState
from ._runtime._registry import ListenerRegistry
from ._sending import M
from ._shared_listening import SharedListening
from .client import Client
from .exceptions import COMETCHAT_INITIALIZATION_NOT_DONE, exception_for
from .outbox import Outbox
from .settings import AppSettings

if TYPE_CHECKING:
    from . import models, status
else:
    models, status = LazyModule(f"{__package__}.models"), LazyModule(f"{__package__}.status")


class _SharedOutbox(Outbox):
    """Stands for the shared client's outbox. It exists before ``init``; its methods raise until then."""

    def __init__(self) -> None:
        """Create it without its own items."""

    def __getattr__(self, name: str) -> Any:
        if name not in Outbox.__annotations__:  # tools that look at objects must not need a client
            raise AttributeError(name)
        return getattr(CometChat._shared().outbox, name)


#: The shared client. Reading a variable of the module is faster than reading one of the class.
_client: Optional[Client] = None

#: Maximum wait of an init() for that of another thread, in seconds.
_PATIENCE = 5.0


class CometChat(SharedListening):
    """The process-wide default client: ``CometChat.init(...)``, ``CometChat.login(...)``, and so on.

    Every method does the same as the method of :class:`Client` with that name. Before :meth:`init` it raises
    ``COMETCHAT_INITIALIZATION_NOT_DONE``, except :meth:`get_connection_status` and the methods for listeners.
    """

    # init() holds it until the new client has resumed its session, so that a second init() returns after that. Such
    # an init() waits for a limited time: the session store and the log handlers of the first one may wait for it.
    _init_turn = threading.RLock()
    # The listeners outlive the client: they can be added before init(), and stay when init() changes the app.
    _registry = ListenerRegistry()

    #: See :attr:`Client.outbox`.
    outbox: Outbox = _SharedOutbox()

    @classmethod
    def init(cls, app_id: str, settings: AppSettings) -> None:
        """Create the shared client. No-op for the same arguments; other arguments close the old client first.

        :param app_id: from your dashboard.
        :param settings: everything else.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_APP_ID``, ``INVALID_SETTINGS``; ``ERR_INTERNAL``:
            the system can't start a thread for a resumed session.
        """
        turn = cls._init_turn
        has_turn = turn.acquire(timeout=_PATIENCE)
        try:
            cls._replace_client(app_id, settings)
        finally:
            if has_turn:
                turn.release()

    @classmethod
    def _replace_client(cls, app_id: str, settings: AppSettings) -> None:
        global _client
        old = _client
        if old is not None and not old._core.lifecycle.closed and (old.app_id, old.settings) == (app_id, settings):
            return
        new = Client._idle(app_id, settings, cls._registry)
        _client = new
        try:
            if old is not None:
                old.close()
            new._resume()
        except BaseException:  # a KeyboardInterrupt too: the next init() must find no client that is half done
            for client in (old, new):
                if client is not None:
                    client.close()
            raise

    @classmethod
    def close(cls) -> None:
        """Disconnect and end the threads. No-op when called twice. You can call :meth:`init` again.

        Waits up to 0.2 s for each of the two threads. A thread that is in a blocked callback or a hanging handshake
        ends when the callback or the handshake returns. The stored login stays.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        cls._shared().close()

    @classmethod
    def run_forever(cls) -> None:
        """Block until :meth:`close`, SIGINT or SIGTERM, then close the client and return. For scripts and bots.

        ::

            CometChat.login("cometchat-uid-1", "AUTH_KEY")
            CometChat.run_forever()

        In the main thread it handles both signals, also if they were ignored, and restores their handlers before it
        returns. In another thread only ``close()`` ends it. You can call ``close()`` on another thread, in a callback
        and in a signal handler.
        If the client is already closed, this call returns at once. A signal ends it within 0.5 s.
        An :meth:`init` that closes the client ends it too.

        A refused credential ends the connection, but not this call. See ``on_connection_error``. Logs a warning if
        after 5 s no user is logged in, or in manual mode the program has not called ``connect()``.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        cls._shared().run_forever()

    @classmethod
    def login(cls, uid: str, auth_key: str) -> models.User:
        """Log in as a user with the app's auth key. For development; on a server, prefer auth tokens.

        Makes two HTTP calls and waits for them; ``connect_timeout`` limits each step of a call. In auto mode this then
        starts the connection and does not wait for it. A login as another user ends the previous user's connection.

        :param uid: the uid of an existing user. Upper and lower case are the same.
        :param auth_key: from your dashboard. The SDK does not keep it.
        :returns: the logged-in user.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``MISSING_PARAMETERS``, ``INVALID_UID``,
            ``INVALID_AUTH_KEY``, ``LOGIN_IN_PROGRESS``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``,
            ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's own code; ``ERR_INTERNAL``: the system can't
            start a thread.
        """
        try:
            return cls._shared().login(uid, auth_key)
        finally:
            del auth_key  # a traceback may show variables

    @classmethod
    def login_with_auth_token(cls, auth_token: str, refresh: Optional[Callable[[], str]] = None) -> models.User:
        """Log in with an auth token that your server got from CometChat's REST API.

        Makes one HTTP call. Otherwise the same as :meth:`login`.

        :param auth_token: the token.
        :param refresh: returns a new auth token. The SDK calls it when the service refuses the current one: on this
            thread during this call, later on one of the threads that need the token. If it raises, the call or the
            attempt fails with ``ERR_TOKEN_REFRESH``. Give its requests a time limit: the other threads wait for it, the
            connection's and the outbox's too, for 30 s before they call it themselves.
        :returns: the logged-in user.
        :raises CometChatException: as :meth:`login`; ``INVALID_AUTH_TOKEN``, ``INVALID_REFRESH``,
            ``ERR_TOKEN_REFRESH``.
        """
        try:
            return cls._shared().login_with_auth_token(auth_token, refresh)
        finally:
            del auth_token  # as in login()

    @classmethod
    def logout(cls) -> None:
        """Disconnect, void the auth token, and clear the session store. Makes one HTTP call.

        If the call fails, the user is disconnected but still logged in. You can call ``logout()`` again. A login that
        another process has put into the session store stays there.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``FAILED_TO_FETCH``,
            ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's own code;
            ``LOGIN_IN_PROGRESS``: ``refresh`` or the session store called it during a login or logout;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        cls._shared().logout()

    @classmethod
    def get_logged_in_user(cls) -> Optional[models.User]:
        """Return the logged-in user, or None. Makes no HTTP call.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().get_logged_in_user()

    @classmethod
    def connect(cls, timeout: Optional[float] = 30.0) -> None:
        """Connect, and wait until the client is connected. Ends a wait between two attempts.

        It can end five such waits, and one more every 10 s. In a callback it never ends a wait that the server asked
        for (``Retry-After``), and a call after the attempts ended with an error counts too. After too many of them the
        client waits before it connects.

        The listeners are called before it returns or raises, unless a callback blocks the dispatcher thread for over
        50 ms.

        :param timeout: maximum wait, in seconds; 0 does not wait; None waits without limit.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``; what stopped the attempts; ``NO_WEBSOCKET_CONNECTION``: ``disconnect()`` was called;
            ``LOGIN_IN_PROGRESS``: the session store called it during a logout; ``ERR_INTERNAL``: the system can't start
            a thread; or ``ERR_CONNECT_TIMEOUT``: not connected in time (the attempts continue; the cause is the newest
            failure).
        """
        cls._shared().connect(timeout)

    @classmethod
    def disconnect(cls) -> None:
        """Close the connection, or stop trying to connect. The status is then ``disconnected``.

        Returns within 0.2 s in every state. After it only the final ``on_disconnected`` is still called.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        cls._shared().disconnect()

    @classmethod
    def ping(cls, timeout: Optional[float] = None) -> float:
        """Send a ping and wait for the answer. Events that arrived before it are then queued for the listeners.

        :param timeout: maximum wait, in seconds. Default: ``pong_timeout`` of the settings.
        :returns: the round-trip time in seconds. A pong does not say which ping it answers. So after a call that
            timed out, its late pong may end the next call, with too short a time.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``NO_WEBSOCKET_CONNECTION``, ``ERR_PONG_TIMEOUT``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``;
            ``WS_CONNECTION_FAIL``: the server does not read, or the connection broke.
        """
        return cls._shared().ping(timeout)

    @classmethod
    def send_message(cls, message: M) -> M:
        """Send a text or custom message. Makes one HTTP call and waits for it; ``connect_timeout`` limits each step.

        ::

            CometChat.send_message(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="Hello"))

        :param message: a TextMessage (``text``) or CustomMessage (``type``, ``custom_data``) with ``receiver_id`` and
            ``receiver_type``; a message without a ``muid`` gets one. ``quoted_message`` is a stored message of the
            conversation, which the new one quotes.
        :returns: the message as the service has stored it.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``INVALID_{FIELD}`` for a wrong field of the message, such as
            ``INVALID_RECEIVER_TYPE``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``,
            ``ERR_TOKEN_REFRESH``, ``ERR_CLIENT_CLOSED``, or the server's own code.
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
    ) -> models.TextMessage:
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
    ) -> models.MediaMessage:
        """Send a file to a user or a group. Makes three HTTP calls: for an address, for the upload, for the message.

        ::

            CometChat.send_media_message("report.pdf", uid="cometchat-uid-2", caption="The report")

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
        return cls._shared().send_media_message(
            path_or_file, uid=uid, guid=guid, caption=caption, parent_message_id=parent_message_id, name=name
        )

    @classmethod
    def edit_message(cls, message: M, text: str) -> M:
        """Replace the text of a message, or the caption of a media message. Makes one HTTP call.

        The receivers get ``on_message_edited``. Users may edit their own messages, and moderators those of a group.

        :param message: a stored TextMessage or MediaMessage, from ``send_...()``, :meth:`get_messages` or a listener.
        :param text: the new text, or the new caption.
        :returns: the message as it is now.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``INVALID_TEXT``, ``INVALID_DATA``, ``INVALID_METADATA``,
            ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, ``ERR_TOKEN_REFRESH``,
            ``ERR_CLIENT_CLOSED``, or the server's own code, such as ``ERR_MESSAGE_NOT_A_SENDER``.
        """
        return cls._shared().edit_message(message, text)

    @classmethod
    def delete_message(cls, message: M) -> M:
        """Delete a message for all users. Makes one HTTP call. The receivers get ``on_message_deleted``.

        :param message: a stored message; see :meth:`edit_message`.
        :returns: the message with its ``deleted_at`` and ``deleted_by``, and without its content; ``message`` itself if
            the service's answer lacks it.
        :raises CometChatException: as :meth:`edit_message`.
        """
        return cls._shared().delete_message(message)

    @classmethod
    def add_reaction(cls, message: M, reaction: str) -> M:
        """Add a reaction to a message. Makes one HTTP call. The other users get ``on_message_reaction_added``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji. Adding the same one again changes nothing.
        :returns: the message as it is now, with its ``reactions``.
        :raises CometChatException: as :meth:`edit_message`; ``INVALID_REACTION``.
        """
        return cls._shared().add_reaction(message, reaction)

    @classmethod
    def remove_reaction(cls, message: M, reaction: str) -> M:
        """Remove the user's own reaction. Makes one HTTP call. The other users get ``on_message_reaction_removed``.

        :param message: a stored message; see :meth:`edit_message`.
        :param reaction: an emoji.
        :returns: the message as it is now, with its ``reactions``; ``message`` itself if the service's answer
            lacks it.
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
        before: Optional[Union[models.BaseMessage, str]] = None,
        after: Optional[Union[models.BaseMessage, str]] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.BaseMessage]:
        """Read the history, newest message first. With ``after``: read from there on, oldest message first.

        ::

            for message in CometChat.get_messages(uid="cometchat-uid-2", limit=20):
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
        :raises CometChatException: here ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``, ``INVALID_UID``,
            ``INVALID_GUID``, ``INVALID_PARENT_MESSAGE_ID``, ``INVALID_BEFORE``, ``INVALID_AFTER``, ``INVALID_LIMIT``,
            ``MISSING_PARAMETERS``, ``ERR_CLIENT_CLOSED``; the iterator, before an HTTP call, ``ERR_CLIENT_CLOSED``, or
            ``USER_NOT_LOGGED_IN`` after a logout or a login of another user; else as :meth:`edit_message`.
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
        """Tell a user or group that the user is typing. Sent at most once per 5 s and receiver, until ``end_typing()``.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param metadata: a JSON object for the receiver.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``, ``MISSING_PARAMETERS``, ``INVALID_RECEIVER_ID``,
            ``INVALID_RECEIVER_TYPE``, ``INVALID_METADATA``, ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server
            does not read, or the connection broke.
        """
        cls._shared().start_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def end_typing(
        cls,
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
        cls._shared().end_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def send_transient_message(
        cls, receiver_id: str, receiver_type: Literal["user", "group"], data: Mapping[str, Any]
    ) -> None:
        """Send a message that the service does not store. It reaches only receivers that are connected.

        :param receiver_id: uid or guid.
        :param receiver_type: ``"user"`` or ``"group"``.
        :param data: a JSON object.
        :raises CometChatException: as :meth:`start_typing`; ``INVALID_DATA``.
        """
        cls._shared().send_transient_message(receiver_id, receiver_type, data)

    @classmethod
    def mark_as_delivered(cls, message: models.BaseMessage) -> None:
        """Tell the sender that a message, and all before it, were delivered. The SDK does not do this by itself.

        :param message: a message that a MessageListener received.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``NO_WEBSOCKET_CONNECTION``, ``RECEIPTS_TEMPORARILY_BLOCKED`` (the app is throttled),
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does
            not read, or the connection broke.
        """
        cls._shared().mark_as_delivered(message)

    @classmethod
    def mark_as_read(cls, message: models.BaseMessage) -> None:
        """Tell the sender that a message, and all before it, were read. The SDK does not do this by itself.

        :param message: a message that a MessageListener received.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``USER_NOT_LOGGED_IN``,
            ``NO_WEBSOCKET_CONNECTION``, ``RECEIPTS_TEMPORARILY_BLOCKED`` (the app is throttled),
            ``MISSING_PARAMETERS``, ``INVALID_MESSAGE``, ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does
            not read, or the connection broke.
        """
        cls._shared().mark_as_read(message)

    # Programs may poll this. So it is a static method, and repeats Client's method instead of calling it.
    @staticmethod
    def get_connection_status() -> CometChatWSState:
        """Return the status; ``disconnected`` before :meth:`init`. Never blocks, takes no lock, raises nothing."""
        if _client is not None and _client._core.mark[0]:
            return _client._core.state.status
        return CometChatWSState.DISCONNECTED if _client is None else _client.get_connection_status()

    @classmethod
    def wait_for_status(
        cls,
        status: Union[CometChatWSState, Literal["connected", "connecting", "disconnected", "featureThrottled"]],
        timeout: Optional[float] = None,
    ) -> bool:
        """Wait until the connection has a status. A short moment in this status is enough.

        :param status: a CometChatWSState or its string.
        :param timeout: maximum wait, in seconds; None waits without limit.
        :returns: False if the time is over or the client was closed.
        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``INVALID_STATUS``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().wait_for_status(status, timeout)

    @classmethod
    def connection_info(cls) -> status.ConnectionInfo:
        """Return where this client is connected and its newest error, for diagnosis. Makes no HTTP call.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``, ``ERR_CLIENT_CLOSED``.
        """
        return cls._shared().connection_info()

    @classmethod
    def stats(cls) -> status.Stats:
        """Return counts since the client was created, for metrics and diagnosis. Works after ``close()`` too.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        return cls._shared().stats()

    @classmethod
    def _listeners_changed(cls, kind: str) -> None:
        if _client is not None:
            _client._listeners_changed(kind)

    @classmethod
    def _shared(cls) -> Client:
        client = _client
        if client is None:
            raise exception_for(
                COMETCHAT_INITIALIZATION_NOT_DONE, "Call CometChat.init(app_id, settings) before anything else."
            )
        return client


class _ForkOfCometChat(_fork.ForkSafe):
    """Replaces the lock in the child of a fork: another thread of the parent may have held it."""

    def reset_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        CometChat._init_turn = threading.RLock()


_fork_of_cometchat = _ForkOfCometChat()
_fork.register(_fork.Layer.APPLICATION, _fork_of_cometchat)
