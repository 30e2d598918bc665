"""Client: checks what it is given, puts the parts together, and hands each call to the part that does it."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import threading
import time
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Callable, List, Optional, Type, Union

from . import _forking
from ._listening import Listening
from ._protocol import jwt_expiry
from ._protocol.states import CometChatWSState
from ._runtime import arguments
from ._runtime.registry import Registry
from ._runtime.session import Session
from ._sending import Sending
from .exceptions import (
    LOGIN_IN_PROGRESS,
    CometChatException,
    client_closed,
    exception_for,
    invalid,
    missing,
)
from .outbox import Outbox
from .settings import AppSettings

if TYPE_CHECKING:
    from .connection_info import ConnectionInfo
    from .models import User
    from .stats import Stats

logger = logging.getLogger("cometchat.client")

_numbers = itertools.count(1)

#: Seconds that close() waits for each of the client's threads.
_JOIN = 0.2


class Client(Listening, Sending):
    """One app, one user, one connection. ``CometChat`` is the same as a process-wide default.

    All methods may be called from any thread, and from inside a listener's callback. A session in the settings' store
    is taken up again, and in auto mode connected, without waiting.

    :param app_id: of your dashboard.
    :param settings: the rest.
    :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_APP_ID``, ``INVALID_SETTINGS``.
    """

    def __init__(
        self, app_id: str, settings: AppSettings, *, _registry: Optional[Registry] = None, _start: bool = True
    ) -> None:
        _check_settings(settings)
        self.app_id = arguments.app_id(app_id, not (settings.admin_host and settings.client_host))
        self.settings = settings
        self._registry = _registry or Registry()
        self._closed = False
        self._beginning_anew = threading.Lock()
        self._assemble()
        _clients.add(self)
        _forking.warn_where_threads_stand_still()
        if _start:
            self._resume()

    def _assemble(self) -> None:
        # Here, so that importing the package does not load requests, websocket-client, tenacity and sqlite3.
        from ._parts import assemble
        from ._runtime.dispatcher import Dispatcher

        self._pid = os.getpid()
        self._mark = _forking.new_mark()  # the same, to be read at the least cost
        number = next(_numbers)
        self._dispatcher = Dispatcher(self._registry, f"cometchat-dispatcher-{number}", self.settings.max_queued_events)
        self._dispatcher.keeps = self  # a client that is only listened to has no other reference
        parts = assemble(self.app_id, self.settings, self._registry, self._dispatcher, number)
        self._rest, self._account, self._connection, self._inbox, self._sender = parts[:5]
        self._outbox_store, self._outbox_delivery, self._outbox, self._counters = parts[5:]
        self._logging_in = threading.Lock()

    def _before_fork(self) -> None:
        self._outbox_store.pause()
        self._outbox_delivery.pause()

    def _after_fork(self) -> None:
        self._outbox_delivery.resume()
        self._outbox_store.resume()

    def _begin_anew(self) -> List[object]:
        account, old = self._account, [self._rest, self._connection, self._outbox_store, self._outbox_delivery]
        self._goes_on = self.settings.connect_after_fork and self._connection.wanted
        self._connection.forsake()
        self._outbox_store.forsake()
        self._outbox_delivery.forsake()
        self._registry.begin_anew()
        self._assemble()
        self._account.take_over(account)
        return [account, *old]

    def _go_on(self) -> None:
        if self._goes_on:
            try:
                self._connection.connect()
            except CometChatException as error:
                logger.warning("The child of a fork can't connect by itself: %s", error)

    def _check_process(self) -> None:
        """A fork past Python's hooks, as uWSGI makes them, is found out at the first use in the child."""
        if self._pid == os.getpid():
            return
        with self._beginning_anew:
            if self._pid != os.getpid():
                _forking.begin_anew_late(self)

    def _resume(self) -> None:
        """Take up the stored session. Apart from the constructor, so that CometChat can close the old client before."""
        if self._account.restore() and self.settings.auto_establish_socket_connection:
            self._connection.connect()

    def __repr__(self) -> str:
        session = self._account.session
        return (
            f"<Client app_id={self.app_id!r} uid={session.uid if session else None!r} {self.get_connection_status()}>"
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    # --- login

    def login(self, uid: str, auth_key: str) -> User:
        """Log in as a user, with the app's auth key. Fit for development; on a server of yours, prefer auth tokens.

        Makes two HTTP calls and waits for them, each up to ``connect_timeout`` seconds. In auto mode the connection is
        then started, and not waited for. A login in place of another user's ends that user's connection.

        :param uid: the user, who has to exist.
        :param auth_key: of your dashboard. Kept nowhere.
        :returns: the logged-in user.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_UID``, ``INVALID_AUTH_KEY``,
            ``LOGIN_IN_PROGRESS``,
            ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's
            own code.
        """
        self._check_open()
        uid = arguments.text("uid", uid, "give the uid of a user that exists")
        auth_key = arguments.header("auth_key", auth_key, "give the auth key of your CometChat dashboard")
        return self._login(lambda: self._account.login(uid, auth_key))

    def login_with_auth_token(self, auth_token: str, refresh: Optional[Callable[[], str]] = None) -> User:
        """Log in with an auth token, which your server got from CometChat's REST API.

        Makes one HTTP call; as for the rest, see :meth:`login`.

        :param auth_token: the token.
        :param refresh: returns a new auth token; called once the old one is refused: now on this thread, later on the
            connection thread. What it raises counts as a failed attempt (``ERR_TOKEN_REFRESH``).
        :returns: the logged-in user.
        :raises CometChatException: as :meth:`login`; ``INVALID_AUTH_TOKEN``, ``INVALID_REFRESH``,
            ``ERR_TOKEN_REFRESH``.
        """
        self._check_open()
        auth_token = arguments.header("auth_token", auth_token, "give an auth token of CometChat's REST API")
        refresh = arguments.refresh(refresh)
        return self._login(lambda: self._account.login_with_auth_token(auth_token, refresh))

    def logout(self) -> None:
        """Disconnect, void the auth token, and empty the store. Makes one HTTP call.

        Should the call fail, the user is disconnected but still logged in, so that it can be made again.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``FAILED_TO_FETCH``, ``ERR_CLIENT_CLOSED``, or the server's
            own code.
        """
        self._check_open()
        session = self._account.require()
        self._dispatcher.start()
        self._connection.disconnect()
        try:
            self._account.logout(session)
        except CometChatException as error:
            self._dispatcher.post("login", "logout_failure", error)
            raise
        self._inbox.forget()
        self._dispatcher.post("login", "logout_success")

    def get_logged_in_user(self) -> Optional[User]:
        """The logged-in user, or None. Makes no call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        session = self._account.session
        return session.to_user() if session else None

    @property
    def outbox(self) -> Outbox:
        """Takes messages and receipts while the connection is down, and sends them once it is up."""
        return self._outbox

    # --- connection

    def connect(self, timeout: Optional[float] = 30.0) -> None:
        """Connect, and wait for it. While a retry is being waited for, it is tried at once.

        When it is back, the listeners have heard of it, unless one of them holds the dispatcher thread for over 50 ms.

        :param timeout: seconds to wait; 0: not at all; None: without limit.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``; what stopped the
            attempts; ``NO_WEBSOCKET_CONNECTION``: ``disconnect()`` was called meanwhile; or ``ERR_CONNECT_TIMEOUT``:
            not connected in time (the attempts go on; the newest failure is its cause).
        """
        self._check_open()
        limit = arguments.timeout(timeout, zero=True)
        self._account.require()
        self._connection.connect()
        if limit != 0:
            self._connection.wait_until_up(limit)

    def disconnect(self) -> None:
        """Close the connection, or stop making it; the status is ``disconnected`` from here on.

        Returns within 0.2 s in every state. Afterwards no callback but the final ``on_disconnected`` arrives.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        self._connection.disconnect()

    def ping(self, timeout: Optional[float] = None) -> float:
        """Send a ping and wait for the answer.

        :param timeout: seconds; default: the settings' ``pong_timeout``.
        :returns: the round-trip time in seconds.
        :raises CometChatException: ``NO_WEBSOCKET_CONNECTION``, ``ERR_PONG_TIMEOUT``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return self._connection.ping(arguments.timeout(timeout) or self.settings.pong_timeout)

    def get_connection_status(self) -> CometChatWSState:
        """The status, now. Never blocks, takes no lock, raises nothing."""
        if not self._mark[0]:
            self._check_process()
        return self._connection.status

    def wait_for_status(self, status: Union[CometChatWSState, str], timeout: Optional[float] = None) -> bool:
        """Wait until the connection has a status, if only for a moment.

        :param status: a CometChatWSState or its string.
        :param timeout: seconds; None: without limit.
        :returns: False: the time is over.
        :raises CometChatException: ``INVALID_STATUS``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return self._connection.wait_for_status(arguments.status(status), arguments.timeout(timeout, zero=True))

    def connection_info(self) -> ConnectionInfo:
        """Where this client is connected, and what went wrong last: for diagnosis. Makes no call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        from .connection_info import ConnectionInfo

        self._check_open()
        session = self._account.session
        url: Optional[str] = None
        if session is not None and session.settings is not None:
            with contextlib.suppress(CometChatException):  # an address that can't be read is none
                url = self._account.websocket_url(session)
        connection = self._connection
        return ConnectionInfo(
            admin_url=self._account.endpoints.admin,
            client_url=self._account.endpoints.client,
            websocket_url=url,
            uid=session.uid if session else None,
            device_id=session.device_id if session else None,
            jwt_expires_at=jwt_expiry(session.jwt) if session else None,
            mode=self._account.mode if session else None,
            failed_in=connection.failed_in.value if connection.failed_in else None,
            last_error=connection.last_error,
        )

    def stats(self) -> Stats:
        """What has happened so far, counted: for metrics and diagnosis. Makes no call; works after ``close()`` too."""
        queue = self._dispatcher.queue
        return self._counters.stats(fetched=self._inbox.fetched, queued=len(queue), dropped=queue.dropped)

    # --- end

    def close(self) -> None:
        """Disconnect and end the threads; the object is done. Again: nothing.

        Waits up to 0.2 s for each of the two threads; one that a blocked listener or a hanging handshake holds ends
        when that lets go of it. The stored login stays.
        """
        self._shut()
        self._join(time.monotonic() + 2 * _JOIN)

    def _shut(self, *, at_exit: bool = False) -> None:
        if not self._closed:
            self._warn_of_unsent()
        self._closed = True
        self._outbox_delivery.close()
        self._connection.close(at_exit=at_exit)
        self._dispatcher.close()
        self._outbox_store.close()
        self._rest.close()
        _clients.discard(self)

    def _warn_of_unsent(self) -> None:
        if self.settings.outbox_path is not None or self._account.session is None:
            return
        unsent = self._outbox.pending()
        if unsent:
            logger.warning(
                "%d item%s of the outbox end%s with this client: AppSettings(outbox_path=...) keeps them.",
                unsent,
                *("", "s") if unsent == 1 else ("s", ""),
            )

    def _join(self, deadline: float) -> None:
        self._connection.join(max(0.0, min(_JOIN, deadline - time.monotonic())))
        self._outbox_delivery.join(max(0.0, min(_JOIN, deadline - time.monotonic())))
        self._dispatcher.join(max(0.0, min(_JOIN, deadline - time.monotonic())))

    def _login(self, act: Callable[[], Session]) -> User:
        if not self._logging_in.acquire(blocking=False):
            raise exception_for(LOGIN_IN_PROGRESS, "Another login of this client is under way: wait for it.")
        try:
            self._dispatcher.start()
            before, disconnects = self._account.session, self._connection.disconnects
            try:
                session = act()
            except CometChatException as error:
                self._dispatcher.post("login", "login_failure", error)
                raise
            if self._closed:
                raise client_closed()
            if before is not None and before.uid != session.uid:
                self._connection.drop()
                self._inbox.forget()
            user = session.to_user()
            self._dispatcher.post("login", "login_success", user)
            if self.settings.auto_establish_socket_connection:
                # A disconnect() or logout() that came meanwhile stands.
                self._connection.connect(unless_after=disconnects)
            return user
        finally:
            self._logging_in.release()

    def _check_open(self) -> None:
        self._check_process()
        if self._closed:
            raise client_closed()


def _check_settings(settings: object) -> None:
    expected = 'give AppSettings, such as AppSettings(region="us")'
    if settings is None:
        raise missing("settings", expected)
    if not isinstance(settings, AppSettings):
        raise invalid("settings", expected, settings)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()

_forking.see_to(_clients)


@atexit.register
def _close_all() -> None:
    """The interpreter ends: say goodbye to the servers, within half a second for all."""
    # Not what a fork past Python's hooks has left of the parent's.
    clients = [client for client in _clients if client._pid == os.getpid()]
    for client in clients:
        client._shut(at_exit=True)
    deadline = time.monotonic() + 0.5
    for client in clients:
        client._join(deadline)
