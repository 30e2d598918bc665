"""Builds the parts of a client, by constructors only, from the bottom up.

``client`` imports this module only when it creates a client: importing the package must not load requests,
websocket-client, tenacity and sqlite3.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any, Callable, List, Optional, Tuple

from . import _fork
from ._fork_marks import process_mark
from ._log import SafeLog
from ._protocol._states import CometChatWSState
from ._runtime._lifecycle import Lifecycle
from ._runtime._registry import ListenerRegistry
from ._runtime._running import run_until
from ._runtime._threads import Wakeup, on_service_thread
from ._runtime.account import Account
from ._runtime.connection import (
    ADDRESSES,
    NETWORK,
    ConnectionState,
    ConnectionThread,
    Counters,
    FrameRouter,
    ReconnectPolicy,
    SettingsRefresh,
)
from ._runtime.delivery import AccountHistory, Dispatcher, EventQueue, History, Inbox, InboxStore, Journal, Truncation
from ._runtime.messages import Media, Messages, Sender
from ._runtime.outbox import OutboxDelivery, OutboxStore
from ._runtime.sharing import SharedConnection, SharedHistory
from ._runtime.storage import SqliteFile
from ._transport._json_decoder import decoder
from ._transport.http import RequestsRest, shared_connections
from ._transport.websocket import socket_factory
from .exceptions import CometChatException
from .outbox import Outbox
from .session_store import MemorySessionStore
from .settings import AppSettings
from .status_store import AsksOnce

logger = logging.getLogger("cometchat.client")
_messages_logger = logging.getLogger("cometchat.messages")
_outbox_logger = logging.getLogger("cometchat.outbox")

_numbers = itertools.count(1)

#: Maximum number of dead letters of one user.
_MAX_DEAD = 1000

#: Maximum time, in seconds, that the end of a client waits for each of its threads.
_JOIN = 0.2


class Core(_fork.ForkSafe):
    """The parts of one client, behind its public methods.

    :param registry: of the listeners. It outlives the core where an application changes its client.
    """

    def __init__(self, app_id: str, settings: AppSettings, registry: ListenerRegistry) -> None:
        self._app_id = app_id
        self._settings = settings
        self._registry = registry
        self._warned_of_presence = False
        self._connects_after_fork = False
        #: Set when the client ends, or is to end. The same in the child of a fork, whose main thread may wait for it.
        self.ended = Wakeup()
        self._assemble()
        _fork.register(_fork.Layer.CLIENT, self)
        if settings.subscription_type == "NONE" and registry.audience("user").entries:
            self.warn_of_presence()

    def _assemble(self) -> None:
        """Build the parts, from the bottom up. Each part gets everything that it uses through its constructor.

        No thread runs and no file is open after it.
        """
        self.mark = process_mark()
        number = next(_numbers)
        thread_name = f"cometchat-{{}}-{number}"  # with {} for the task of the thread
        self.truncation = Truncation(self._registry.lock, self._client_name)
        decode = decoder(self.truncation.note)
        self._stores: List[SqliteFile] = []
        self._assemble_account(decode, number)
        self._assemble_delivery(thread_name)
        self._assemble_outbox(thread_name)
        self._assemble_connection(decode, thread_name)

    def _assemble_account(self, decode: Callable[[bytes], Any], number: int) -> None:
        """Build the HTTP transport and the login."""
        settings = self._settings
        self.rest = RequestsRest(
            proxies=settings.proxies,
            ca_certs=settings.ca_certs,
            client_cert=settings.client_cert,
            connections=shared_connections(settings.ca_certs, settings.client_cert, ADDRESSES.addresses),
            decode=decode,
            client_name=self._client_name,
        )
        self.account = Account(
            self._app_id,
            settings,
            self.rest,
            settings.session_store or MemorySessionStore(),
            lock=self._registry.lock,
            number=number,
            end_login=lambda session, error: self.lifecycle.end_login(session, error),
        )
        self.log = SafeLog(logger, self._client_name)

    def _client_name(self) -> str:
        """Return the client's name for log records."""
        return self.account.client_name()

    def _assemble_delivery(self, thread_name: str) -> None:
        """Build the parts that take an event to the listeners."""
        settings, registry, client_name = self._settings, self._registry, self._client_name
        self.events = EventQueue(registry, settings.max_queued_events)
        journal = self._journal()
        store, account, own = settings.status_store, self.account, AccountHistory(self.account)
        self.history: History = (
            SharedHistory(store, account, own) if store is not None and isinstance(store, AsksOnce) else own
        )
        self.inbox = Inbox(
            registry,
            self.events,
            account,
            self.history,
            journal=journal,
            enabled=settings.fetch_missed_messages,
            name=thread_name.format("missed"),
        )
        self.dispatcher = Dispatcher(
            registry,
            self.events,
            thread_name.format("dispatcher"),
            client_name,
            inbox=None if journal is None else self.inbox,
        )

    def _assemble_outbox(self, thread_name: str) -> None:
        """Build the parts that send, over the connection and over HTTP, and the state of the connection."""
        settings, client_name = self._settings, self._client_name
        self.counters = Counters()
        self.state = ConnectionState(self._registry, self.events, self.counters, self.account)
        self.sender = Sender(self.account, self.state, self.inbox, timeout=settings.pong_timeout)
        self.messages = Messages(self.account, self.inbox)
        self.media = Media(self.account, self.sender, self.rest, timeout=settings.connect_timeout)
        log = SafeLog(_outbox_logger, client_name)
        self.outbox_store, delivered = self._outbox_stores(log)
        self.outbox_delivery = OutboxDelivery(
            delivered,
            account=self.account,
            sender=self.sender,
            events=self.events,
            log=log,
            name=thread_name.format("outbox"),
        )
        self.outbox = Outbox(
            self.outbox_store,
            self.outbox_delivery,
            account=self.account,
            sender=self.sender,
            limit=settings.outbox_max_items,
        )

    def _assemble_connection(self, decode: Callable[[bytes], Any], thread_name: str) -> None:
        """Build the connection thread, and the part with which user threads control it and the login."""
        settings, account, client_name = self._settings, self.account, self._client_name
        new_socket = socket_factory(settings, ADDRESSES.addresses)
        sharing: Optional[SharedConnection] = None
        if settings.status_store is not None:
            sharing = SharedConnection(settings.status_store, account, lambda: self.state.status, new_socket)
        self.sharing = sharing
        self.router = FrameRouter(account, self.events, self.inbox, self.counters, sharing, read=decode)
        settings_refresh = SettingsRefresh(
            self.state,
            account=account,
            retry_outbox=self.outbox_delivery.retry_now,
            sharing=sharing,
            interval=settings.settings_refresh_interval,
            thread_name=thread_name,
        )
        worker = ConnectionThread(
            self.state,
            account=account,
            settings=settings,
            new_socket=new_socket,
            router=self.router,
            inbox=self.inbox,
            dispatcher=self.dispatcher,
            retry_outbox=self.outbox_delivery.retry_now,
            policy=ReconnectPolicy(settings.reconnect_wait, settings.reconnect_stop, NETWORK.watched, client_name),
            settings_refresh=settings_refresh,
            sharing=sharing,
            thread_name=thread_name,
        )
        self.lifecycle = Lifecycle(
            self.state,
            worker,
            account=account,
            inbox=self.inbox,
            events=self.events,
            dispatcher=self.dispatcher,
            outbox=self.outbox_delivery,
            sharing=sharing,
            auto_connect=settings.auto_establish_socket_connection,
            thread_name=thread_name,
        )

    @property
    def _workers(self) -> Tuple[Lifecycle, OutboxDelivery, Dispatcher]:
        """The parts that have a thread, in the order in which these end."""
        return self.lifecycle, self.outbox_delivery, self.dispatcher

    def _journal(self) -> Optional[Journal]:
        """Return the journal of a durable inbox."""
        path = self._settings.inbox_path
        if path is None:
            return None
        log = SafeLog(_messages_logger, self._client_name)
        store = InboxStore(path, log=log)
        self._stores.append(store)
        return Journal(store, self._app_id, log=log)

    def _outbox_stores(self, log: SafeLog) -> Tuple[OutboxStore, OutboxStore]:
        """Return the store that puts items and the store of the outbox thread. In memory they are the same."""
        path, max_dead = self._settings.outbox_path, min(self._settings.outbox_max_items, _MAX_DEAD)
        store = delivered = OutboxStore(path, log=log, max_dead=max_dead)
        self._stores.append(store)
        if path is not None:
            delivered = OutboxStore(path, log=log, durable=False, max_dead=max_dead)
            self._stores.append(delivered)
        return store, delivered

    def warn_of_presence(self) -> None:
        """Log once that the added listener will get no presence events."""
        if not self._warned_of_presence:
            self._warned_of_presence = True
            self.log.warning(
                "A UserListener was added, but presence is off: set"
                ' AppSettings(subscription_type="ALL_USERS"), or "FRIENDS" or "ROLES".'
            )

    # --- the end

    @property
    def running(self) -> bool:
        """Whether threads of the client run, and it is not closed."""
        return any(part.alive for part in self._workers) and not self.lifecycle.closed

    def run_forever(self) -> None:
        """Wait for the end, and close; see ``Client.run_forever``."""
        run_until(self.ended, self.close, self._warn_of_no_connection)

    def close(self) -> None:
        """End the client; see ``Client.close``."""
        if not self.lifecycle.hand_over_if_interrupted(self.close):
            self.stop()
            self.join(time.monotonic() + 2 * _JOIN)

    def stop(self, *, at_exit: bool = False) -> None:
        """Make all threads end. Does not wait. Producers stop before the dispatcher, which delivers their events."""
        if self.lifecycle.close():
            self._warn_of_unsent_items()
        self.ended.set()
        self.outbox_delivery.close()
        self.lifecycle.close_connection(at_exit=at_exit)
        self.dispatcher.close()  # its thread ends after the outbox thread
        self.outbox_store.close()
        self.rest.close()
        _fork.unregister(self)
        _abandoned.discard(self)

    def join(self, deadline: float) -> None:
        """Wait for the threads, for a moment each, until ``deadline`` (monotonic seconds)."""
        for part in self._workers:
            part.join(max(0.0, min(_JOIN, deadline - time.monotonic())))

    def abandon(self) -> None:
        """Keep the parts that the threads use, although the user dropped the client without ``close()``."""
        _abandoned.add(self)

    def _warn_of_no_connection(self) -> None:
        manual = not self._settings.auto_establish_socket_connection
        if self.account.session is None:
            self.log.warning("No user is logged in, so run_forever() only waits. Call login() before it.")
        elif manual and self.state.status is CometChatWSState.DISCONNECTED:
            self.log.warning(
                "run_forever() waits without a connection. Call connect() before it, or leave out"
                " auto_establish_socket_connection=False."
            )

    def _warn_of_unsent_items(self) -> None:
        if self._settings.outbox_path is not None or self.account.session is None:
            return
        try:
            unsent = self.outbox.pending()
        except CometChatException as error:  # a signal handler that interrupted the outbox
            self.log.info("the outbox could not be counted: %s", error)
            return
        if unsent:
            self.log.warning(
                "%d item%s of the outbox end%s with this client. AppSettings(outbox_path=...) keeps them.",
                unsent,
                *("", "s") if unsent == 1 else ("s", ""),
            )

    # --- forks

    def check_process(self) -> None:
        """Reset at the first use in a child that was forked without Python's fork hooks, as by uWSGI."""
        if not self.mark[0] and _fork.is_unnoticed():
            self.log.warning(
                "This process was forked without Python's fork hooks, so that the client is reset only now, at its"
                " first use. Under uWSGI: --py-call-uwsgi-fork-hooks or --lazy-apps."
            )
            _fork.after_unnoticed_fork()

    def pause_for_fork(self) -> None:
        """See :class:`ForkSafe`."""
        for store in self._stores:
            store.pause_for_fork()

    def resume_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        for store in reversed(self._stores):
            store.resume_after_fork()

    def reset_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        account, closed = self.account, self.lifecycle.closed
        wanted = self._settings.connect_after_fork and self.state.wanted
        self._connects_after_fork = wanted and not on_service_thread()  # a child that a callback forks ends with it
        # The garbage collector must not touch the parent's objects: it would end the parent's connection.
        _left_alone.extend([account, self.rest, self.lifecycle, *self._stores, self.outbox_delivery])
        self.lifecycle.release_after_fork()
        for store in self._stores:
            store.release_after_fork()
        self._assemble()
        self.account.take_over(account)
        self.lifecycle.closed = closed

    def start_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        if not self._connects_after_fork:
            return
        try:
            self.lifecycle.reconnect_after_fork()
        except CometChatException as error:
            self.log.warning("The child of a fork can't connect by itself: %s", error)


#: Cores whose clients were dropped without close(). Their threads still run.
_abandoned: set[Core] = set()

#: In the child of a fork: the parent's objects.
_left_alone: List[object] = []
