"""The listener methods of CometChat. They do the same as Client's, and work before ``init`` too."""

from __future__ import annotations

from typing import ContextManager, Optional, Union

from ._listening import NEW_ID, add_listener, checked_listener
from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry, ScopedListener
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


class SharedListening:
    """The part of :class:`CometChat` that adds and removes listeners. They outlive the shared client."""

    _registry: ListenerRegistry

    @classmethod
    def add_connection_listener(
        cls, listener_id: Union[str, ConnectionListener] = NEW_ID, listener: Optional[ConnectionListener] = None
    ) -> str:
        """Register a connection listener. It gets the connection's events from now on, on the dispatcher thread.
        Works before :meth:`init`.

        ::

            CometChat.add_connection_listener(ConnectionListener(on_connected=lambda: print("green")))

        :param listener_id: a name that you choose. Without it, pass the listener alone, and the SDK chooses an id. If
            another listener has this id, the new one replaces it, and a warning is logged.
        :param listener: an instance of ConnectionListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_connection_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("connection", listener_id, listener)

    @classmethod
    def remove_connection_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("connection", arguments.listener_id(listener_id))

    @classmethod
    def add_login_listener(
        cls, listener_id: Union[str, LoginListener] = NEW_ID, listener: Optional[LoginListener] = None
    ) -> str:
        """Register a listener for logins and logouts. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of LoginListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_login_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("login", listener_id, listener)

    @classmethod
    def remove_login_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("login", arguments.listener_id(listener_id))

    @classmethod
    def add_user_listener(
        cls, listener_id: Union[str, UserListener] = NEW_ID, listener: Optional[UserListener] = None
    ) -> str:
        """Register a listener for the presence of users. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of UserListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_user_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("user", listener_id, listener)

    @classmethod
    def remove_user_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("user", arguments.listener_id(listener_id))

    @classmethod
    def add_group_listener(
        cls, listener_id: Union[str, GroupListener] = NEW_ID, listener: Optional[GroupListener] = None
    ) -> str:
        """Register a listener for changes of group members. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of GroupListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_group_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("group", listener_id, listener)

    @classmethod
    def remove_group_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("group", arguments.listener_id(listener_id))

    @classmethod
    def add_message_listener(
        cls, listener_id: Union[str, MessageListener] = NEW_ID, listener: Optional[MessageListener] = None
    ) -> str:
        """Register a listener for messages, receipts, reactions and typing indicators. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of MessageListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_message_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("message", listener_id, listener)

    @classmethod
    def remove_message_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("message", arguments.listener_id(listener_id))

    @classmethod
    def add_call_listener(
        cls, listener_id: Union[str, CallListener] = NEW_ID, listener: Optional[CallListener] = None
    ) -> str:
        """Register a listener for call signalling. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of CallListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_call_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("call", listener_id, listener)

    @classmethod
    def remove_call_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("call", arguments.listener_id(listener_id))

    @classmethod
    def add_ai_assistant_listener(
        cls, listener_id: Union[str, AIAssistantListener] = NEW_ID, listener: Optional[AIAssistantListener] = None
    ) -> str:
        """Register a listener for the events of AI assistants. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of AIAssistantListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_ai_assistant_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("ai_assistant", listener_id, listener)

    @classmethod
    def remove_ai_assistant_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("ai_assistant", arguments.listener_id(listener_id))

    @classmethod
    def add_conversation_listener(
        cls, listener_id: Union[str, ConversationListener] = NEW_ID, listener: Optional[ConversationListener] = None
    ) -> str:
        """Register a listener for pinned conversations. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of ConversationListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_conversation_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("conversation", listener_id, listener)

    @classmethod
    def remove_conversation_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("conversation", arguments.listener_id(listener_id))

    @classmethod
    def add_event_listener(
        cls, listener_id: Union[str, EventListener] = NEW_ID, listener: Optional[EventListener] = None
    ) -> str:
        """Register a listener for the frames that have no callback of their own. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of EventListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_event_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("event", listener_id, listener)

    @classmethod
    def remove_event_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("event", arguments.listener_id(listener_id))

    @classmethod
    def add_outbox_listener(
        cls, listener_id: Union[str, OutboxListener] = NEW_ID, listener: Optional[OutboxListener] = None
    ) -> str:
        """Register a listener for the results of outbox items. Works before :meth:`init`.

        :param listener_id: a name, or the listener alone, as in :meth:`add_connection_listener`.
        :param listener: an instance of OutboxListener: of your subclass, or made from callables.
        :returns: the id, for :meth:`remove_outbox_listener`.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``;
            ``ERR_INTERNAL``: the system can't start a thread.
        """
        return cls._add("outbox", listener_id, listener)

    @classmethod
    def remove_outbox_listener(cls, listener_id: str) -> None:
        """End a registration. No-op for an unknown id. Works before :meth:`init`.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        cls._registry.remove("outbox", arguments.listener_id(listener_id))

    @classmethod
    def connection_listener(cls, listener: ConnectionListener) -> ContextManager[ConnectionListener]:
        """Register a connection listener for the duration of a ``with`` block. Works before :meth:`init`.

        :param listener: an instance of ConnectionListener: of your subclass, or made from callables.
        :returns: a context manager; its ``as`` name is the listener.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER``; ``ERR_INTERNAL``: the system can't
            start a thread.
        """
        return ScopedListener(cls._registry, checked_listener("connection", listener), cls._listeners_changed)

    @classmethod
    def _add(cls, kind: str, listener_id: object, listener: object) -> str:
        return add_listener(cls._registry, kind, listener_id, listener, cls._listeners_changed)

    @classmethod
    def _listeners_changed(cls, kind: str) -> None:
        """Notify the shared client, if there is one."""
        raise NotImplementedError
