"""The listener methods of a client: one pair for each kind."""

from __future__ import annotations

from typing import ContextManager

from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry, ScopedListener
from .listeners import (
    KINDS,
    MESSAGE_KINDS,
    CallListener,
    ConnectionListener,
    GroupListener,
    LoginListener,
    MessageListener,
    OutboxListener,
    UserListener,
)


class Listening:
    """Adds and removes listeners: a part of :class:`Client`. On any thread; also from inside a callback."""

    _registry: ListenerRegistry

    def _check_open(self) -> None:
        raise NotImplementedError

    def _listeners_changed(self) -> None:
        raise NotImplementedError

    def add_connection_listener(self, listener_id: str, listener: ConnectionListener) -> None:
        """Register a listener; it hears of what happens from now on, on the dispatcher thread.

        :param listener_id: a name of your own. In use already: the new one takes its place, and a warning is logged.
        :param listener: an instance of a subclass of ConnectionListener.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``, ``INVALID_LISTENER``,
            ``ERR_CLIENT_CLOSED``.
        """
        self._add("connection", listener_id, listener)

    def remove_connection_listener(self, listener_id: str) -> None:
        """End a registration. An unknown id: nothing.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER_ID``.
        """
        self._remove("connection", listener_id)

    def connection_listener(self, listener: ConnectionListener) -> ContextManager[ConnectionListener]:
        """A context manager: the listener is registered on entry, and removed on exit.

        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_LISTENER``, ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return ScopedListener(self._registry, "connection", arguments.listener(listener, ConnectionListener))

    def add_login_listener(self, listener_id: str, listener: LoginListener) -> None:
        """The same as :meth:`add_connection_listener`, for a LoginListener."""
        self._add("login", listener_id, listener)

    def remove_login_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for a LoginListener."""
        self._remove("login", listener_id)

    def add_user_listener(self, listener_id: str, listener: UserListener) -> None:
        """The same as :meth:`add_connection_listener`, for a UserListener."""
        self._add("user", listener_id, listener)

    def remove_user_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for a UserListener."""
        self._remove("user", listener_id)

    def add_group_listener(self, listener_id: str, listener: GroupListener) -> None:
        """The same as :meth:`add_connection_listener`, for a GroupListener."""
        self._add("group", listener_id, listener)

    def remove_group_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for a GroupListener."""
        self._remove("group", listener_id)

    def add_message_listener(self, listener_id: str, listener: MessageListener) -> None:
        """The same as :meth:`add_connection_listener`, for a MessageListener."""
        self._add("message", listener_id, listener)

    def remove_message_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for a MessageListener."""
        self._remove("message", listener_id)

    def add_call_listener(self, listener_id: str, listener: CallListener) -> None:
        """The same as :meth:`add_connection_listener`, for a CallListener."""
        self._add("call", listener_id, listener)

    def remove_call_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for a CallListener."""
        self._remove("call", listener_id)

    def add_outbox_listener(self, listener_id: str, listener: OutboxListener) -> None:
        """The same as :meth:`add_connection_listener`, for an OutboxListener."""
        self._add("outbox", listener_id, listener)

    def remove_outbox_listener(self, listener_id: str) -> None:
        """The same as :meth:`remove_connection_listener`, for an OutboxListener."""
        self._remove("outbox", listener_id)

    def _add(self, kind: str, listener_id: str, listener: object) -> None:
        self._check_open()
        add_listener(self._registry, kind, listener_id, listener)
        if kind in MESSAGE_KINDS:
            self._listeners_changed()

    def _remove(self, kind: str, listener_id: str) -> None:
        self._registry.remove(kind, arguments.listener_id(listener_id))


def add_listener(registry: ListenerRegistry, kind: str, listener_id: str, listener: object) -> None:
    """Check the arguments, and register."""
    registry.add(kind, arguments.listener_id(listener_id), arguments.listener(listener, KINDS[kind]))
