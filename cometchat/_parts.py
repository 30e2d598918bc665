"""What a client is made of, put together.

Apart from ``client``, which loads this only when a client is made: importing the package must not load requests,
websocket-client, tenacity and sqlite3.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ._protocol.states import CometChatWSState
from ._runtime.account import Account
from ._runtime.addresses import ADDRESSES
from ._runtime.connection import Connection
from ._runtime.counters import Counters
from ._runtime.dispatcher import Dispatcher
from ._runtime.inbox import Inbox
from ._runtime.link import Link
from ._runtime.network import NETWORK
from ._runtime.outbox_delivery import OutboxDelivery
from ._runtime.outbox_store import OutboxStore
from ._runtime.reconnect import ReconnectPolicy
from ._runtime.registry import Registry
from ._runtime.sender import Sender
from ._runtime.session import MemorySessionStore
from ._runtime.shared import Shared
from ._runtime.worker import Worker
from ._sending import check_message
from ._transport import SocketFactory
from ._transport.http import RequestsRest
from ._transport.websocket import socket_factory
from .listeners import MESSAGE_KINDS
from .outbox import Outbox
from .settings import AppSettings


class Parts(NamedTuple):
    """Those that the client speaks to."""

    rest: RequestsRest
    account: Account
    connection: Connection
    inbox: Inbox
    sender: Sender
    outbox_store: OutboxStore
    outbox_delivery: OutboxDelivery
    outbox: Outbox
    counters: Counters


def assemble(app_id: str, settings: AppSettings, registry: Registry, dispatcher: Dispatcher, number: int) -> Parts:
    """The parts of the client with this number, wired and at rest: no thread runs, no file is open."""
    rest = RequestsRest(proxies=settings.proxies, ca_certs=settings.ca_certs, addresses_of=ADDRESSES.addresses)
    account = Account(app_id, settings, rest, settings.session_store or MemorySessionStore())
    counters = Counters()
    connection = Connection(
        dispatcher=dispatcher,
        start=lambda run: worker.start(run),
        send_ping=lambda socket, timeout: link.send_ping(socket, timeout),
        counters=counters,
    )
    inbox = Inbox(
        account,
        connection.post,
        wanted=lambda: any(registry.entries(kind) for kind in MESSAGE_KINDS),
        me=lambda: account.me,
        enabled=settings.fetch_missed_messages,
        name=f"cometchat-missed-{number}",
        has_room=dispatcher.queue.has_room,
    )
    _introduce(inbox, connection, registry, dispatcher)
    sender = Sender(account, connection, inbox.sent, timeout=settings.pong_timeout)
    store, delivery = _outbox(settings, account, connection, sender, dispatcher, f"cometchat-outbox-{number}")
    new_socket: SocketFactory = socket_factory(settings, ADDRESSES.addresses)
    shared = _share(app_id, settings, account, new_socket)
    if shared is not None:
        new_socket = shared.new_socket
    link = Link(account, settings, new_socket, connection.post_events, inbox.take, counters)
    worker = Worker(
        connection,
        account=account,
        settings=settings,
        link=link,
        inbox=inbox,
        policy=ReconnectPolicy(settings.reconnect_wait, settings.reconnect_stop, watched=NETWORK.watched),
        on_up=delivery.hurry,
        report=dispatcher.report,
        counters=counters,
        shared=shared,
        name=f"cometchat-{{}}-{number}",
    )
    if shared is not None:
        shared.serve(connection, link)
    limit = settings.outbox_max_items
    outbox = Outbox(store, delivery, account=account, sender=sender, check_message=check_message, limit=limit)
    return Parts(rest, account, connection, inbox, sender, store, delivery, outbox, counters)


def _introduce(inbox: Inbox, connection: Connection, registry: Registry, dispatcher: Dispatcher) -> None:
    """What these tell one another."""
    registry.is_down = lambda: connection.status is CometChatWSState.DISCONNECTED
    registry.on_add = lambda kind: inbox.look_again() if kind in MESSAGE_KINDS else None
    dispatcher.queue.on_room = inbox.go_on
    connection.on_cut = inbox.cut


def _outbox(
    settings: AppSettings, account: Account, connection: Connection, sender: Sender, dispatcher: Dispatcher, name: str
) -> Tuple[OutboxStore, OutboxDelivery]:
    """Where the outbox's items are put, and what delivers them."""
    store = OutboxStore(settings.outbox_path)
    delivered = store if settings.outbox_path is None else OutboxStore(settings.outbox_path, durable=False)
    return store, OutboxDelivery(
        delivered, account=account, connection=connection, sender=sender, dispatcher=dispatcher, name=name
    )


def _share(app_id: str, settings: AppSettings, account: Account, new_real: SocketFactory) -> Optional[Shared]:
    store = settings.status_store
    return None if store is None else Shared(store, app_id, account, new_real)
