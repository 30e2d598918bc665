"""The listener methods of a client: add and remove, for each kind of listener."""

from __future__ import annotations

import logging
from typing import Any, Callable, ContextManager, Optional, Union

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

#: The default of ``listener_id``: the SDK chooses an id. Known by its identity; an equal id of a user is an id.
NEW_ID = "a new id"


class Listening:
    """The part of :class:`Client` that adds and removes listeners. On any thread, callbacks included."""

    _registry: ListenerRegistry

    def _check_open(self) -> None:
        raise NotImplementedError

    def _listeners_changed(self, kind: str) -> None:
        raise NotImplementedError

    def connection_listener(self, listener: ConnectionListener) -> ContextManager[ConnectionListener]:
        """Register a connection listener for the duration of a ``with`` block.

        :param listener: an instance of ConnectionListener: of your subclass, or made from callables.
        :returns: a context manager; its ``as`` name is the listener.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER``, ``ERR_CLIENT_CLOSED``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        self._check_open()
        checked = checked_listener("connection", listener)
        return ScopedListener(self._registry, checked, self._listeners_changed, self._check_open)

    def add_connection_listener(
        self, listener_id: Union[str, ConnectionListener] = NEW_ID, listener: Optional[ConnectionListener] = None
    ) -> str:
        """Register a connection listener. It gets the connection's events from now on, on the dispatcher thread.

        ::

            client.add_connection_listener(ConnectionListener(on_connected=lambda: print("green")))

        :param listener_id: a name that you choose. Without it, pass the listener alone, and the SDK chooses an id. If
            another listener has this id, the new one replaces it, and a warning is logged.
        :param listener: an instance of ConnectionListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_connection_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("connection", listener_id, listener)

    def remove_connection_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("connection", listener_id)

    def add_login_listener(
        self, listener_id: Union[str, LoginListener] = NEW_ID, listener: Optional[LoginListener] = None
    ) -> str:
        """Register a listener for logins and logouts.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of LoginListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_login_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("login", listener_id, listener)

    def remove_login_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("login", listener_id)

    def add_user_listener(
        self, listener_id: Union[str, UserListener] = NEW_ID, listener: Optional[UserListener] = None
    ) -> str:
        """Register a listener for the presence of users.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of UserListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_user_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("user", listener_id, listener)

    def remove_user_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("user", listener_id)

    def add_group_listener(
        self, listener_id: Union[str, GroupListener] = NEW_ID, listener: Optional[GroupListener] = None
    ) -> str:
        """Register a listener for changes of group members.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of GroupListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_group_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("group", listener_id, listener)

    def remove_group_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("group", listener_id)

    def add_message_listener(
        self, listener_id: Union[str, MessageListener] = NEW_ID, listener: Optional[MessageListener] = None
    ) -> str:
        """Register a listener for messages, receipts, reactions and typing indicators.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of MessageListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_message_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("message", listener_id, listener)

    def remove_message_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("message", listener_id)

    def add_call_listener(
        self, listener_id: Union[str, CallListener] = NEW_ID, listener: Optional[CallListener] = None
    ) -> str:
        """Register a listener for call signalling.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of CallListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_call_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("call", listener_id, listener)

    def remove_call_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("call", listener_id)

    def add_ai_assistant_listener(
        self, listener_id: Union[str, AIAssistantListener] = NEW_ID, listener: Optional[AIAssistantListener] = None
    ) -> str:
        """Register a listener for the events of AI assistants.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of AIAssistantListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_ai_assistant_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("ai_assistant", listener_id, listener)

    def remove_ai_assistant_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("ai_assistant", listener_id)

    def add_conversation_listener(
        self, listener_id: Union[str, ConversationListener] = NEW_ID, listener: Optional[ConversationListener] = None
    ) -> str:
        """Register a listener for pinned conversations.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of ConversationListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_conversation_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("conversation", listener_id, listener)

    def remove_conversation_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("conversation", listener_id)

    def add_event_listener(
        self, listener_id: Union[str, EventListener] = NEW_ID, listener: Optional[EventListener] = None
    ) -> str:
        """Register a listener for the frames that have no callback of their own.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of EventListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_event_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("event", listener_id, listener)

    def remove_event_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("event", listener_id)

    def add_outbox_listener(
        self, listener_id: Union[str, OutboxListener] = NEW_ID, listener: Optional[OutboxListener] = None
    ) -> str:
        """Register a listener for the results of outbox items.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of OutboxListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_outbox_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        return self._add("outbox", listener_id, listener)

    def remove_outbox_listener(self, listener_id: str) -> None:
        """End a registration. No-op for an unknown id.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("outbox", listener_id)

    def _add(self, kind: str, listener_id: object, listener: object) -> str:
        self._check_open()
        return add_listener(self._registry, kind, listener_id, listener, self._listeners_changed)

    def _remove(self, kind: str, listener_id: str) -> None:
        self._registry.remove(kind, arguments.listener_id(listener_id))


def add_listener(
    registry: ListenerRegistry, kind: str, listener_id: object, listener: object, changed: Callable[[str], None]
) -> str:
    """Check the arguments, and register. Returns the id.

    :param changed: starts what a client needs for a listener of this kind. If it raises, the registration ends.
    """
    if listener_id is NEW_ID:
        listener_id = registry.new_id("listener")
    elif listener is None and (isinstance(listener_id, tuple(KINDS.values())) or callable(listener_id)):
        # A listener of another kind, a class or a function is a wrong listener, and not a wrong id.
        listener_id, listener = registry.new_id("listener"), listener_id
    name = arguments.listener_id(listener_id)
    registry.add(kind, name, checked_listener(kind, listener))
    try:
        changed(kind)
    except BaseException:
        registry.remove(kind, name)
        raise
    return name


def checked_listener(kind: str, listener: object) -> Any:
    """Return a listener that can be registered. A callback that would never be called is logged as a warning."""
    checked = arguments.listener(listener, KINDS[kind])
    warning = check_listener(checked, kind)
    if warning is not None:
        logger.warning(warning)
    return checked
