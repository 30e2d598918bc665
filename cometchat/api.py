"""CometChat: the process-wide default, a class whose methods act on one shared Client."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, ContextManager, Iterator, Mapping, Optional, Union

from . import _fork
from ._listening import add_listener, checked_listener
from ._protocol._states import CometChatWSState
from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry, ScopedListener
from ._sending import M
from .client import Client
from .exceptions import COMETCHAT_INITIALIZATION_NOT_DONE, exception_for
from .listeners import (
    AIAssistantListener,
    CallListener,
    ConnectionListener,
    ConversationListener,
    EventListener,
    GroupListener,
    LoginListener,
    MessageListener,
    OutboxListener,
    UserListener,
)
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


class CometChat:
    """The SDK's front door: ``CometChat.init(...)``, ``CometChat.login(...)``, and so on.

    Every method is :class:`Client`'s of the same name, and says there what it does and raises; before :meth:`init` it
    raises ``COMETCHAT_INITIALIZATION_NOT_DONE``, except :meth:`get_connection_status` and the listeners.
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
            new = Client(app_id, settings, _registry=cls._registry, _start=False)
            cls._client = new
            if old is not None:
                old.close()
            new._resume()

    @classmethod
    def close(cls) -> None:
        """End the shared client's threads; :meth:`init` may be called again. Closed already: nothing.

        :raises CometChatException: ``COMETCHAT_INITIALIZATION_NOT_DONE``.
        """
        cls._shared().close()

    @classmethod
    def run_forever(cls) -> None:
        """See :meth:`Client.run_forever`. An :meth:`init` that closes the client ends it, too."""
        cls._shared().run_forever()

    @classmethod
    def login(cls, uid: str, auth_key: str) -> User:
        """See :meth:`Client.login`."""
        return cls._shared().login(uid, auth_key)

    @classmethod
    def login_with_auth_token(cls, auth_token: str, refresh: Optional[Callable[[], str]] = None) -> User:
        """See :meth:`Client.login_with_auth_token`."""
        return cls._shared().login_with_auth_token(auth_token, refresh)

    @classmethod
    def logout(cls) -> None:
        """See :meth:`Client.logout`."""
        cls._shared().logout()

    @classmethod
    def get_logged_in_user(cls) -> Optional[User]:
        """See :meth:`Client.get_logged_in_user`."""
        return cls._shared().get_logged_in_user()

    @classmethod
    def connect(cls, timeout: Optional[float] = 30.0) -> None:
        """See :meth:`Client.connect`."""
        cls._shared().connect(timeout)

    @classmethod
    def disconnect(cls) -> None:
        """See :meth:`Client.disconnect`."""
        cls._shared().disconnect()

    @classmethod
    def ping(cls, timeout: Optional[float] = None) -> float:
        """See :meth:`Client.ping`."""
        return cls._shared().ping(timeout)

    @classmethod
    def send_message(cls, message: M) -> M:
        """See :meth:`Client.send_message`."""
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
        """See :meth:`Client.send_text`."""
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
        """See :meth:`Client.send_media_message`."""
        return cls._shared().send_media_message(
            path_or_file, uid=uid, guid=guid, caption=caption, parent_message_id=parent_message_id, name=name
        )

    @classmethod
    def edit_message(cls, message: M, text: str) -> M:
        """See :meth:`Client.edit_message`."""
        return cls._shared().edit_message(message, text)

    @classmethod
    def delete_message(cls, message: M) -> M:
        """See :meth:`Client.delete_message`."""
        return cls._shared().delete_message(message)

    @classmethod
    def add_reaction(cls, message: M, reaction: str) -> M:
        """See :meth:`Client.add_reaction`."""
        return cls._shared().add_reaction(message, reaction)

    @classmethod
    def remove_reaction(cls, message: M, reaction: str) -> M:
        """See :meth:`Client.remove_reaction`."""
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
        """See :meth:`Client.get_messages`."""
        return cls._shared().get_messages(
            uid=uid, guid=guid, parent_message_id=parent_message_id, before=before, after=after, limit=limit
        )

    @classmethod
    def start_typing(
        cls, receiver_id: str, receiver_type: str = "user", metadata: Optional[Mapping[str, Any]] = None
    ) -> None:
        """See :meth:`Client.start_typing`."""
        cls._shared().start_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def end_typing(
        cls, receiver_id: str, receiver_type: str = "user", metadata: Optional[Mapping[str, Any]] = None
    ) -> None:
        """See :meth:`Client.end_typing`."""
        cls._shared().end_typing(receiver_id, receiver_type, metadata)

    @classmethod
    def send_transient_message(cls, receiver_id: str, receiver_type: str, data: Mapping[str, Any]) -> None:
        """See :meth:`Client.send_transient_message`."""
        cls._shared().send_transient_message(receiver_id, receiver_type, data)

    @classmethod
    def mark_as_delivered(cls, message: BaseMessage) -> None:
        """See :meth:`Client.mark_as_delivered`."""
        cls._shared().mark_as_delivered(message)

    @classmethod
    def mark_as_read(cls, message: BaseMessage) -> None:
        """See :meth:`Client.mark_as_read`."""
        cls._shared().mark_as_read(message)

    @classmethod
    def get_connection_status(cls) -> CometChatWSState:
        """See :meth:`Client.get_connection_status`; before ``init``: ``disconnected``."""
        client = cls._client
        if client is None:
            return CometChatWSState.DISCONNECTED
        # As the client does it, without a call more: it may be polled.
        core = client._core
        return core.state.status if core.mark[0] else client.get_connection_status()

    @classmethod
    def wait_for_status(cls, status: Union[CometChatWSState, str], timeout: Optional[float] = None) -> bool:
        """See :meth:`Client.wait_for_status`."""
        return cls._shared().wait_for_status(status, timeout)

    @classmethod
    def connection_info(cls) -> ConnectionInfo:
        """See :meth:`Client.connection_info`."""
        return cls._shared().connection_info()

    @classmethod
    def stats(cls) -> Stats:
        """See :meth:`Client.stats`."""
        return cls._shared().stats()

    @classmethod
    def add_connection_listener(
        cls, listener_id: Union[str, ConnectionListener], listener: Optional[ConnectionListener] = None
    ) -> str:
        """See :meth:`Client.add_connection_listener`. May come before ``init``."""
        return cls._add("connection", listener_id, listener)

    @classmethod
    def remove_connection_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_connection_listener`. May come before ``init``."""
        cls._registry.remove("connection", arguments.listener_id(listener_id))

    @classmethod
    def add_login_listener(
        cls, listener_id: Union[str, LoginListener], listener: Optional[LoginListener] = None
    ) -> str:
        """See :meth:`Client.add_login_listener`. May come before ``init``."""
        return cls._add("login", listener_id, listener)

    @classmethod
    def remove_login_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_login_listener`. May come before ``init``."""
        cls._registry.remove("login", arguments.listener_id(listener_id))

    @classmethod
    def add_user_listener(
        cls, listener_id: Union[str, UserListener], listener: Optional[UserListener] = None
    ) -> str:
        """See :meth:`Client.add_user_listener`. May come before ``init``."""
        return cls._add("user", listener_id, listener)

    @classmethod
    def remove_user_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_user_listener`. May come before ``init``."""
        cls._registry.remove("user", arguments.listener_id(listener_id))

    @classmethod
    def add_group_listener(
        cls, listener_id: Union[str, GroupListener], listener: Optional[GroupListener] = None
    ) -> str:
        """See :meth:`Client.add_group_listener`. May come before ``init``."""
        return cls._add("group", listener_id, listener)

    @classmethod
    def remove_group_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_group_listener`. May come before ``init``."""
        cls._registry.remove("group", arguments.listener_id(listener_id))

    @classmethod
    def add_message_listener(
        cls, listener_id: Union[str, MessageListener], listener: Optional[MessageListener] = None
    ) -> str:
        """See :meth:`Client.add_message_listener`. May come before ``init``."""
        return cls._add("message", listener_id, listener)

    @classmethod
    def remove_message_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_message_listener`. May come before ``init``."""
        cls._registry.remove("message", arguments.listener_id(listener_id))

    @classmethod
    def add_call_listener(
        cls, listener_id: Union[str, CallListener], listener: Optional[CallListener] = None
    ) -> str:
        """See :meth:`Client.add_call_listener`. May come before ``init``."""
        return cls._add("call", listener_id, listener)

    @classmethod
    def remove_call_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_call_listener`. May come before ``init``."""
        cls._registry.remove("call", arguments.listener_id(listener_id))

    @classmethod
    def add_ai_assistant_listener(
        cls, listener_id: Union[str, AIAssistantListener], listener: Optional[AIAssistantListener] = None
    ) -> str:
        """See :meth:`Client.add_ai_assistant_listener`. May come before ``init``."""
        return cls._add("ai_assistant", listener_id, listener)

    @classmethod
    def remove_ai_assistant_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_ai_assistant_listener`. May come before ``init``."""
        cls._registry.remove("ai_assistant", arguments.listener_id(listener_id))

    @classmethod
    def add_conversation_listener(
        cls, listener_id: Union[str, ConversationListener], listener: Optional[ConversationListener] = None
    ) -> str:
        """See :meth:`Client.add_conversation_listener`. May come before ``init``."""
        return cls._add("conversation", listener_id, listener)

    @classmethod
    def remove_conversation_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_conversation_listener`. May come before ``init``."""
        cls._registry.remove("conversation", arguments.listener_id(listener_id))

    @classmethod
    def add_event_listener(
        cls, listener_id: Union[str, EventListener], listener: Optional[EventListener] = None
    ) -> str:
        """See :meth:`Client.add_event_listener`. May come before ``init``."""
        return cls._add("event", listener_id, listener)

    @classmethod
    def remove_event_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_event_listener`. May come before ``init``."""
        cls._registry.remove("event", arguments.listener_id(listener_id))

    @classmethod
    def add_outbox_listener(
        cls, listener_id: Union[str, OutboxListener], listener: Optional[OutboxListener] = None
    ) -> str:
        """See :meth:`Client.add_outbox_listener`. May come before ``init``."""
        return cls._add("outbox", listener_id, listener)

    @classmethod
    def remove_outbox_listener(cls, listener_id: str) -> None:
        """See :meth:`Client.remove_outbox_listener`. May come before ``init``."""
        cls._registry.remove("outbox", arguments.listener_id(listener_id))

    @classmethod
    def connection_listener(cls, listener: ConnectionListener) -> ContextManager[ConnectionListener]:
        """See :meth:`Client.connection_listener`. May come before ``init``."""
        return ScopedListener(cls._registry, "connection", checked_listener("connection", listener))

    @classmethod
    def _shared(cls) -> Client:
        client = cls._client
        if client is None:
            raise exception_for(
                COMETCHAT_INITIALIZATION_NOT_DONE, "Call CometChat.init(app_id, settings) before anything else."
            )
        return client

    @classmethod
    def _add(cls, kind: str, listener_id: object, listener: object) -> str:
        name = add_listener(cls._registry, kind, listener_id, listener)
        client = cls._client
        if client is not None:
            client._listeners_changed(kind)
        return name


class _ForkOfCometChat(_fork.ForkSafeDefaults):
    """In the child of a fork, another thread of the parent may hold the lock."""

    def reset_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        CometChat._init_turn = threading.RLock()


_fork_of_cometchat = _ForkOfCometChat()
_fork.register(_fork.Layer.APPLICATION, _fork_of_cometchat)
