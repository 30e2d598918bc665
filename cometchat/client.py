"""Client: checks arguments, and hands each call to the part that does it."""

from __future__ import annotations

import atexit
import sys
import time
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Literal, Optional, Type, Union, cast

from . import _fork
from ._fork_marks import warn_where_threads_stand_still
from ._listening import Listening
from ._protocol import jwt_expiry
from ._protocol._states import CometChatWSState
from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry
from ._sending import Sending
from .exceptions import client_closed, invalid, missing
from .listeners import MESSAGE_KINDS
from .outbox import Outbox
from .settings import AppSettings

if TYPE_CHECKING:
    from ._runtime._account import Login
    from ._wiring import Core
    from .models import User
    from .status import ConnectionInfo, Stats


class Client(Listening, Sending):
    """One app, one user, one connection. ``CometChat`` is the same as a process-wide default.

    All methods may be called from any thread, and from inside a listener's callback. A session in the settings' store
    is taken up again, and in auto mode connected, without waiting.

    :param app_id: of your dashboard.
    :param settings: the rest.
    :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_APP_ID``, ``INVALID_SETTINGS``.
    """

    def __init__(self, app_id: str, settings: AppSettings) -> None:
        self._assemble(app_id, settings, ListenerRegistry())
        self._resume()

    @classmethod
    def _idle(cls, app_id: str, settings: AppSettings, registry: ListenerRegistry) -> Client:
        """Make a client with these listeners, whose stored session waits for :meth:`_resume`."""
        client = cls.__new__(cls)
        client._assemble(app_id, settings, registry)
        return client

    def _assemble(self, app_id: str, settings: AppSettings, registry: ListenerRegistry) -> None:
        # Here, so that importing the package does not load requests, websocket-client, tenacity and sqlite3.
        from ._wiring import Core

        _check_settings(settings)
        self.app_id: str = arguments.app_id(app_id, not (settings.admin_host and settings.client_host))
        self.settings = settings
        self._registry = registry
        self._core = Core(self.app_id, settings, self._registry)
        warn_where_threads_stand_still()

    def _resume(self) -> None:
        """Take up the stored session. Apart from the constructor, so that CometChat can close the old client before."""
        self._core.lifecycle.resume()

    def __del__(self) -> None:
        core: Optional[Core] = getattr(self, "_core", None)
        if core is not None and core.running and not sys.is_finalizing():
            core.abandon()  # its listeners go on to hear, as long as the process lives
            warnings.warn(f"unclosed {self!r}: call close()", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        session = self._core.account.session
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

        :param uid: the user, who has to exist. Capitals count as lower case.
        :param auth_key: of your dashboard. Kept nowhere.
        :returns: the logged-in user.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_UID``, ``INVALID_AUTH_KEY``,
            ``LOGIN_IN_PROGRESS``,
            ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's
            own code.
        """
        self._check_open()
        uid = arguments.uid(uid)
        auth_key = arguments.header("auth_key", auth_key, "the auth key from your CometChat dashboard")
        return self._login(lambda: self._core.account.login(uid, auth_key))

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
        auth_token = arguments.header("auth_token", auth_token, "an auth token from CometChat's REST API")
        refresh = arguments.refresh(refresh)
        return self._login(lambda: self._core.account.login_with_auth_token(auth_token, refresh))

    def logout(self) -> None:
        """Disconnect, void the auth token, and empty the store. Makes one HTTP call.

        Should the call fail, the user is disconnected but still logged in, so that it can be made again.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``FAILED_TO_FETCH``, ``ERR_CLIENT_CLOSED``, or the server's
            own code.
        """
        self._check_open()
        self._core.lifecycle.logout()

    def get_logged_in_user(self) -> Optional[User]:
        """The logged-in user, or None. Makes no call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        session = self._core.account.session
        return session.to_user() if session else None

    @property
    def outbox(self) -> Outbox:
        """Takes messages and receipts while the connection is down, and sends them once it is up."""
        return self._core.outbox

    # --- connection

    def connect(self, timeout: Optional[float] = 30.0) -> None:
        """Connect, and wait for it. The wait for the next attempt ends.

        Five such waits may end early, and one more each 10 s; then the wait lasts. A wait that the server asked for
        (``Retry-After``) lasts too.

        When it is back, the listeners have heard of it, unless one of them holds the dispatcher thread for over 50 ms.

        :param timeout: seconds to wait; 0: not at all; None: without limit.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``; what stopped the
            attempts; ``NO_WEBSOCKET_CONNECTION``: ``disconnect()`` was called; or ``ERR_CONNECT_TIMEOUT``:
            not connected in time (the attempts go on; the newest failure is its cause).
        """
        self._check_open()
        self._core.lifecycle.connect(arguments.timeout(timeout, zero=True))

    def disconnect(self) -> None:
        """Close the connection, or stop making it; the status is ``disconnected`` from here on.

        Returns within 0.2 s in every state. Afterwards no callback but the final ``on_disconnected`` arrives.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        self._core.connection.disconnect()

    def ping(self, timeout: Optional[float] = None) -> float:
        """Send a ping and wait for the answer.

        :param timeout: seconds; default: the settings' ``pong_timeout``.
        :returns: the round-trip time in seconds.
        :raises CometChatException: ``NO_WEBSOCKET_CONNECTION``, ``ERR_PONG_TIMEOUT``, ``INVALID_TIMEOUT``,
            ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return self._core.channel.ping(arguments.timeout(timeout) or self.settings.pong_timeout)

    def get_connection_status(self) -> CometChatWSState:
        """The status, now. Never blocks, takes no lock, raises nothing."""
        core = self._core
        if not core.mark[0]:
            core.check_process()
        return core.state.status

    def wait_for_status(
        self,
        status: Union[CometChatWSState, Literal["connected", "connecting", "disconnected", "featureThrottled"]],
        timeout: Optional[float] = None,
    ) -> bool:
        """Wait until the connection has a status, if only for a moment.

        :param status: a CometChatWSState or its string.
        :param timeout: seconds; None: without limit.
        :returns: False: the time is over.
        :raises CometChatException: ``INVALID_STATUS``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return self._core.connection.wait_for_status(arguments.status(status), arguments.timeout(timeout, zero=True))

    def connection_info(self) -> ConnectionInfo:
        """Where this client is connected, and what went wrong last: for diagnosis. Makes no call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        from .status import ConnectionInfo

        self._check_open()
        account, state = self._core.account, self._core.state
        session = account.session
        return ConnectionInfo(
            admin_url=account.endpoints.admin,
            client_url=account.endpoints.client,
            websocket_url=account.likely_websocket_url,
            uid=session.uid if session else None,
            device_id=session.device_id if session else None,
            jwt_expires_at=jwt_expiry(session.jwt) if session else None,
            mode=account.mode if session else None,
            failed_in=state.failed_in.value if state.failed_in else None,
            last_error=state.last_error,
            leader=self._core.sharing.leader if self._core.sharing is not None else None,
        )

    def stats(self) -> Stats:
        """What has happened so far, counted: for metrics and diagnosis. Makes no call; works after ``close()`` too."""
        core = self._core
        return core.counters.stats(
            fetched=core.inbox.fetched,
            queued=len(core.events),
            dropped=core.events.dropped,
            dead_letters=core.outbox_delivery.dead_letters,
            rate_limit_remaining=core.account.rate_limit_remaining,
            leads=core.sharing.leads if core.sharing is not None else None,
        )

    # --- end

    def run_forever(self) -> None:
        """Block until :meth:`close`, SIGINT or SIGTERM; then close the client and return. For scripts and bots.

        ::

            client.login("cometchat-uid-1", "AUTH_KEY")
            client.run_forever()

        In the main thread it handles both signals, and restores their handlers before it returns. In another thread
        only ``close()`` ends it. ``close()`` may be called anywhere: on another thread, in a callback, in a signal
        handler, and before this call, which then returns at once. A signal ends it within 0.5 s. Raises nothing.

        A refused credential ends the connection, not this call: see ``on_connection_error``.
        """
        self._core.check_process()
        self._core.run_forever()

    def close(self) -> None:
        """Disconnect and end the threads; the object is done. Again: nothing.

        Waits up to 0.2 s for each of the two threads; one that a blocked listener or a hanging handshake holds ends
        when the listener or the handshake returns. The stored login stays.
        """
        self._core.check_process()
        self._core.close()

    def _login(self, act: Callable[[], Login]) -> User:
        return self._core.lifecycle.login(act).to_user()

    def _check_open(self) -> None:
        core = self._core
        if not core.mark[0]:
            core.check_process()
        if core.lifecycle.closed:
            raise client_closed()

    def _listeners_changed(self, kind: str) -> None:
        if kind in MESSAGE_KINDS:
            self._core.inbox.listeners_changed()
        elif kind == "user" and self.settings.subscription_type == "NONE":
            self._core.warn_of_presence()


def _check_settings(settings: object) -> None:
    expected = 'an AppSettings object, such as AppSettings(region="us")'
    if settings is None:
        raise missing("settings", expected)
    if not isinstance(settings, AppSettings):
        raise invalid("settings", expected, settings)


@atexit.register
def _close_all() -> None:
    """The interpreter ends: say goodbye to the servers, within half a second for all."""
    # Not to what a fork past Python's hooks has left of the parent's.
    cores = [core for core in cast("list[Core]", _fork.registered(_fork.Layer.CLIENT)) if core.mark[0]]
    for core in cores:
        core.stop(at_exit=True)
    deadline = time.monotonic() + 0.5
    for core in cores:
        core.join(deadline)
