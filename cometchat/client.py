"""Client: checks the arguments of each call and passes it to the part that does the work."""

from __future__ import annotations

import atexit
import sys
import time
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Literal, NoReturn, Optional, Type, Union, cast

from . import _fork
from ._lazy import LazyModule
from ._listening import Listening
from ._log import warn_if_switched_off
from ._protocol._endpoints import jwt_expiry
from ._protocol._states import CometChatWSState
from ._runtime import _arguments as arguments
from ._runtime._registry import ListenerRegistry
from ._sending import Sending
from ._thread_start import warn_if_uwsgi_has_no_threads
from .exceptions import CometChatException, client_closed, invalid, missing, without_frames
from .listeners import MESSAGE_KINDS
from .outbox import Outbox
from .settings import AppSettings

if TYPE_CHECKING:
    from . import models, status
    from ._runtime.account import Session
    from ._wiring import Core
else:
    models, status = LazyModule(f"{__package__}.models"), LazyModule(f"{__package__}.status")


class Client(Listening, Sending):
    """One app, one user, one connection. ``CometChat`` is the same as a process-wide default.

    You can call every method on any thread, and inside a callback. If ``session_store`` holds a session, the client
    resumes it, and in auto mode connects, without waiting.

    :param app_id: from your dashboard.
    :param settings: everything else.
    :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_APP_ID``, ``INVALID_SETTINGS``; ``ERR_INTERNAL``: the
        system can't start a thread for a resumed session.
    """

    def __init__(self, app_id: str, settings: AppSettings) -> None:
        self._assemble(app_id, settings, ListenerRegistry())
        try:
            self._resume()
        except BaseException:  # the caller gets no client that it could close
            self._core.close()
            raise

    @classmethod
    def _idle(cls, app_id: str, settings: AppSettings, registry: ListenerRegistry) -> Client:
        """Create a client with these listeners. :meth:`_resume` then resumes its stored session."""
        client = cls.__new__(cls)
        client._assemble(app_id, settings, registry)
        return client

    def _assemble(self, app_id: str, settings: AppSettings, registry: ListenerRegistry) -> None:
        # Here, so that importing the package does not load requests, websocket-client, tenacity and sqlite3. An import
        # statement, so that tools that freeze programs find them.
        from ._wiring import Core

        _check_settings(settings)
        warn_if_switched_off()
        self.app_id: str = arguments.app_id(app_id, not (settings.admin_host and settings.client_host))
        self.settings = settings
        self._registry = registry
        self._core = Core(self.app_id, settings, self._registry)
        warn_if_uwsgi_has_no_threads()

    def _resume(self) -> None:
        """Resume the stored session. Not in the constructor: CometChat closes the old client in between."""
        self._core.lifecycle.resume()

    # A default argument: at the end of the interpreter, the names of this module may be gone before the client.
    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        core: Optional[Core] = getattr(self, "_core", None)
        if core is not None and not is_finalizing() and core.running:
            core.abandon()  # its listeners are still called until the process ends
            warnings.warn(f"unclosed {self!r}: call close()", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        session = self._core.account.session
        return (
            f"<Client app_id={self.app_id!r} uid={session.uid if session else None!r} {self.get_connection_status()}>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client can't be copied or pickled, since it has a connection: make one in each process")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    # --- login

    def login(self, uid: str, auth_key: str) -> models.User:
        """Log in as a user with the app's auth key. For development; on a server, prefer auth tokens.

        Makes two HTTP calls and waits for them; ``connect_timeout`` limits each step of a call. In auto mode this then
        starts the connection and does not wait for it. A login as another user ends the previous user's connection.

        :param uid: the uid of an existing user. Upper and lower case are the same.
        :param auth_key: from your dashboard. The SDK does not keep it.
        :returns: the logged-in user.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_UID``, ``INVALID_AUTH_KEY``,
            ``LOGIN_IN_PROGRESS``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``,
            ``ERR_CLIENT_CLOSED``, or the server's own code; ``ERR_INTERNAL``: the system can't start a thread.
        """
        try:
            self._check_open()
            uid = arguments.uid(uid)
            auth_key = arguments.header("auth_key", auth_key, "the auth key from your CometChat dashboard")
            return self._login(lambda: self._core.account.service.login(uid, auth_key))
        except CometChatException as error:
            raise without_frames(error)
        finally:
            auth_key = ""  # a traceback may show variables

    def login_with_auth_token(self, auth_token: str, refresh: Optional[Callable[[], str]] = None) -> models.User:
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
            self._check_open()
            auth_token = arguments.header("auth_token", auth_token, "an auth token from CometChat's REST API")
            refresh = arguments.refresh(refresh)
            return self._login(lambda: self._core.account.service.login_with_auth_token(auth_token, refresh))
        except CometChatException as error:
            raise without_frames(error)
        finally:
            auth_token = ""  # as in login()  # nosec B105

    def logout(self) -> None:
        """Disconnect, void the auth token, and clear the session store. Makes one HTTP call.

        If the call fails, the user is disconnected but still logged in. You can call ``logout()`` again. A login that
        another process has put into the session store stays there.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``,
            ``ERR_BAD_RESPONSE``, ``ERR_CLIENT_CLOSED``, or the server's own code; ``LOGIN_IN_PROGRESS``: ``refresh`` or
            the session store called it during a login or logout; ``ERR_INTERNAL``: the system can't start a thread.
        """
        self._check_open()
        self._core.lifecycle.logout()

    def get_logged_in_user(self) -> Optional[models.User]:
        """Return the logged-in user, or None. Makes no HTTP call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        session = self._core.account.session
        return session.to_user() if session else None

    @property
    def outbox(self) -> Outbox:
        """The outbox. It takes messages and receipts at any time, and sends them while the connection is up."""
        return self._core.outbox

    # --- connection

    def connect(self, timeout: Optional[float] = 30.0) -> None:
        """Connect, and wait until the client is connected. Ends a wait between two attempts.

        It can end five such waits, and one more every 10 s. In a callback it never ends a wait that the server asked
        for (``Retry-After``), and a call after the attempts ended with an error counts too. After too many of them the
        client waits before it connects.

        The listeners are called before it returns or raises, unless a callback blocks the dispatcher thread for over
        50 ms.

        :param timeout: maximum wait, in seconds; 0 does not wait; None waits without limit.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``; what stopped the
            attempts; ``NO_WEBSOCKET_CONNECTION``: ``disconnect()`` was called; ``LOGIN_IN_PROGRESS``: the session store
            called it during a logout; ``ERR_INTERNAL``: the system can't start a thread; or ``ERR_CONNECT_TIMEOUT``:
            not connected in time (the attempts continue; the cause is the newest failure).
        """
        self._check_open()
        self._core.lifecycle.connect(arguments.timeout(timeout, zero=True))

    def disconnect(self) -> None:
        """Close the connection, or stop trying to connect. The status is then ``disconnected``.

        Returns within 0.2 s in every state. After it only the final ``on_disconnected`` is still called.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        self._core.lifecycle.disconnect()

    def ping(self, timeout: Optional[float] = None) -> float:
        """Send a ping and wait for the answer. Events that arrived before it are then queued for the listeners.

        :param timeout: maximum wait, in seconds. Default: ``pong_timeout`` of the settings.
        :returns: the round-trip time in seconds. A pong does not say which ping it answers. So after a call that
            timed out, its late pong may end the next call, with too short a time.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``, ``ERR_PONG_TIMEOUT``,
            ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``; ``WS_CONNECTION_FAIL``: the server does not read, or the
            connection broke.
        """
        self._check_open()
        return self._core.sender.ping(arguments.timeout(timeout) or self.settings.pong_timeout)

    def get_connection_status(self) -> CometChatWSState:
        """Return the status. Never blocks, takes no lock, raises nothing."""
        core = self._core
        if not core.mark[0]:
            core.check_process()
        return core.state.status

    def wait_for_status(
        self,
        status: Union[CometChatWSState, Literal["connected", "connecting", "disconnected", "featureThrottled"]],
        timeout: Optional[float] = None,
    ) -> bool:
        """Wait until the connection has a status. A short moment in this status is enough.

        :param status: a CometChatWSState or its string.
        :param timeout: maximum wait, in seconds; None waits without limit.
        :returns: False if the time is over or the client was closed.
        :raises CometChatException: ``INVALID_STATUS``, ``INVALID_TIMEOUT``, ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        return self._core.state.wait_for_status(arguments.status(status), arguments.timeout(timeout, zero=True))

    def connection_info(self) -> status.ConnectionInfo:
        """Return where this client is connected and its newest error, for diagnosis. Makes no HTTP call.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        self._check_open()
        account, state = self._core.account, self._core.state
        session = account.session
        return status.ConnectionInfo(
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

    def stats(self) -> status.Stats:
        """Return counts since the client was created, for metrics and diagnosis. Works after ``close()`` too."""
        core = self._core
        return core.counters.stats(
            messages_fetched=core.inbox.fetched,
            messages_truncated=core.truncation.count,
            events_queued=len(core.events),
            events_dropped=core.events.dropped,
            dead_letters=core.outbox_delivery.dead_letters,
            rate_limit_remaining=core.account.rate_limit_remaining,
            leads=core.sharing.leads if core.sharing is not None else None,
        )

    # --- end

    def run_forever(self) -> None:
        """Block until :meth:`close`, SIGINT or SIGTERM, then close the client and return. For scripts and bots.

        ::

            client.login("cometchat-uid-1", "AUTH_KEY")
            client.run_forever()

        In the main thread it handles both signals, also if they were ignored, and restores their handlers before it
        returns. In another thread only ``close()`` ends it. You can call ``close()`` on another thread, in a callback
        and in a signal handler.
        If the client is already closed, this call returns at once. A signal ends it within 0.5 s. Raises nothing.

        A refused credential ends the connection, but not this call. See ``on_connection_error``. Logs a warning if
        after 5 s no user is logged in, or in manual mode the program has not called ``connect()``.
        """
        self._core.check_process()
        self._core.run_forever()

    def close(self) -> None:
        """Disconnect and end the threads. No-op when called twice. The client can't be used after it.

        Waits up to 0.2 s for each of the two threads. A thread that is in a blocked callback or a hanging handshake
        ends when the callback or the handshake returns. The stored login stays.
        """
        self._core.check_process()
        self._core.close()

    def _login(self, act: Callable[[], Session]) -> models.User:
        return self._core.lifecycle.login(act).to_user()

    def _check_open(self) -> None:
        core = self._core
        if not core.mark[0]:
            core.check_process()
        if core.lifecycle.closed:
            raise client_closed()

    def _listeners_changed(self, kind: str) -> None:
        self._core.dispatcher.listener_added()
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
    """Close every client at the interpreter's exit: half a second for all of them together."""
    # Not the parent's clients, in the child of a fork that Python's hooks did not see.
    cores = [core for core in cast("list[Core]", _fork.registered(_fork.Layer.CLIENT)) if core.mark[0]]
    for core in cores:
        core.stop(at_exit=True)
    deadline = time.monotonic() + 0.5
    for core in cores:
        core.join(deadline)
