"""The listener methods of a client: ten kinds, added and removed in the same way."""

from __future__ import annotations

import logging
from typing import Any, ContextManager, Optional, Union

from ._log import SafeLog
from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry, ScopedListener
from .listeners import (
    KINDS,
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
    check_listener,
)

logger = SafeLog(logging.getLogger("cometchat.listeners"))


class Listening:
    """Adds and removes listeners: a part of :class:`Client`. On any thread; also from inside a callback."""

    _registry: ListenerRegistry

    def _check_open(self) -> None:
        raise NotImplementedError

    def _listeners_changed(self, kind: str) -> None:
        raise NotImplementedError

    def connection_listener(self, listener: ConnectionListener) -> ContextManager[ConnectionListener]:
        """Register a listener for the time of a ``with`` block.

        :param listener: a ConnectionListener: an instance of a subclass, or one made from callables.
        :returns: a context manager; its ``as`` name is the listener.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER``, ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return ScopedListener(self._registry, "connection", checked_listener("connection", listener))

    def add_connection_listener(
        self, listener_id: Union[str, ConnectionListener], listener: Optional[ConnectionListener] = None
    ) -> str:
        """Register a listener. It hears of what happens to the connection from now on, on the dispatcher thread.

        ::

            client.add_connection_listener(ConnectionListener(on_connected=lambda: print("green")))

        :param listener_id: a name of your own, or the listener alone: then an id is made. If a listener has this id
            already, the new one takes its place, and a warning is logged.
        :param listener: a ConnectionListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_connection_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("connection", listener_id, listener)

    def remove_connection_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("connection", listener_id)

    def add_login_listener(
        self, listener_id: Union[str, LoginListener], listener: Optional[LoginListener] = None
    ) -> str:
        """Register a listener for logins and logouts.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a LoginListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_login_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("login", listener_id, listener)

    def remove_login_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("login", listener_id)

    def add_user_listener(
        self, listener_id: Union[str, UserListener], listener: Optional[UserListener] = None
    ) -> str:
        """Register a listener for the presence of users.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a UserListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_user_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("user", listener_id, listener)

    def remove_user_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("user", listener_id)

    def add_group_listener(
        self, listener_id: Union[str, GroupListener], listener: Optional[GroupListener] = None
    ) -> str:
        """Register a listener for the members of groups.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a GroupListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_group_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("group", listener_id, listener)

    def remove_group_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("group", listener_id)

    def add_message_listener(
        self, listener_id: Union[str, MessageListener], listener: Optional[MessageListener] = None
    ) -> str:
        """Register a listener for messages and what goes with them.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a MessageListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_message_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("message", listener_id, listener)

    def remove_message_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("message", listener_id)

    def add_call_listener(
        self, listener_id: Union[str, CallListener], listener: Optional[CallListener] = None
    ) -> str:
        """Register a listener for the signalling of calls.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a CallListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_call_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("call", listener_id, listener)

    def remove_call_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("call", listener_id)

    def add_ai_assistant_listener(
        self, listener_id: Union[str, AIAssistantListener], listener: Optional[AIAssistantListener] = None
    ) -> str:
        """Register a listener for the streams of AI assistants.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an AIAssistantListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_ai_assistant_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("ai_assistant", listener_id, listener)

    def remove_ai_assistant_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("ai_assistant", listener_id)

    def add_conversation_listener(
        self, listener_id: Union[str, ConversationListener], listener: Optional[ConversationListener] = None
    ) -> str:
        """Register a listener for pinned conversations.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: a ConversationListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_conversation_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("conversation", listener_id, listener)

    def remove_conversation_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("conversation", listener_id)

    def add_event_listener(
        self, listener_id: Union[str, EventListener], listener: Optional[EventListener] = None
    ) -> str:
        """Register a listener for every frame without a callback of its own.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an EventListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_event_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("event", listener_id, listener)

    def remove_event_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("event", listener_id)

    def add_outbox_listener(
        self, listener_id: Union[str, OutboxListener], listener: Optional[OutboxListener] = None
    ) -> str:
        """Register a listener for what becomes of the outbox's items.

        :param listener_id: a name of your own, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an OutboxListener: an instance of a subclass, or one made from callables.
        :returns: the id, for :meth:`remove_outbox_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        return self._add("outbox", listener_id, listener)

    def remove_outbox_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("outbox", listener_id)

    def _add(self, kind: str, listener_id: object, listener: object) -> str:
        self._check_open()
        listener_id = add_listener(self._registry, kind, listener_id, listener)
        self._listeners_changed(kind)
        return listener_id

    def _remove(self, kind: str, listener_id: str) -> None:
        self._registry.remove(kind, arguments.listener_id(listener_id))


def add_listener(registry: ListenerRegistry, kind: str, listener_id: object, listener: object) -> str:
    """Check the arguments, and register. Returns the id."""
    if listener is None and isinstance(listener_id, KINDS[kind]):
        listener_id, listener = registry.new_id("listener"), listener_id
    name = arguments.listener_id(listener_id)
    registry.add(kind, name, checked_listener(kind, listener))
    return name


def checked_listener(kind: str, listener: object) -> Any:
    """Return a listener that can be registered. A callback that would never be called is logged as a warning."""
    checked = arguments.listener(listener, KINDS[kind])
    warning = check_listener(checked, kind)
    if warning is not None:
        logger.warning(warning)
    return checked
