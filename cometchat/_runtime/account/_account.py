"""The login: keeps it in a store, renews it when needed, and makes the calls of its user. Any thread.

No lock is held during an HTTP call. A call of the session store holds one lock, which has only this purpose: the store
gets one call at a time, and the newest login last.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple, Union

from ..._log import SafeLog
from ..._protocol._delivery import Self
from ..._protocol._endpoints import MODE_DEFAULT, HttpEndpoints, completed, jwt_expiry, mode_of, websocket_url
from ..._protocol._frames import Identity
from ..._transport._form import Form
from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_TOKEN_REFRESH,
    USER_NOT_LOGGED_IN,
    AuthenticationException,
    CometChatException,
    exception_for,
    login_replaced,
    without_frames,
)
from ...settings import AppSettings, SessionStore
from ...version import __version__
from ._redaction import Secrets
from ._renewal import SharedRenewal
from ._service import Service, is_refusal
from ._session import CarefulStore, Credentials, Session

if TYPE_CHECKING:
    from ..._transport.http import RequestsRest

logger = logging.getLogger("cometchat.session")

#: Seconds before its expiry at which a jwt counts as expired, so that it reaches the server in time.
_EXPIRY_MARGIN = 5.0

#: The service answers this code if it does not know the auth token or has voided it.
_LOGIN_ENDED = "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"

#: The service answers this code if the user is deleted or deactivated.
_NO_USER = "ERR_UID_NOT_FOUND"


class Account:
    """One client's login.

    :param lock: the client's lock. It guards the session.
    :param rest: the HTTP transport.
    :param store: stores the session.
    :param number: of the client, for log records.
    :param end_login: ends the login of a session whose token the service no longer knows. Returns False if the
        session is not the current login.
    :param wall_clock: Unix seconds.
    :param clock: monotonic seconds.
    :param new_uuid: makes the identifiers of this connection and of a stored session.
    """

    def __init__(
        self,
        app_id: str,
        settings: AppSettings,
        rest: RequestsRest,
        store: SessionStore,
        *,
        lock: threading.RLock,
        number: int,
        end_login: Callable[[Session, CometChatException], bool] = lambda session, error: False,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        new_uuid: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self._app_id = app_id
        self._settings = settings
        self._wall_clock = wall_clock
        self._clock = clock
        self._number = number
        self._end_login = end_login
        self._log = SafeLog(logger, self.client_name)
        self.lock = lock
        self._store = CarefulStore(store, app_id, self._log)
        #: It makes the logins. The caller passes each to :meth:`set_login`.
        self.service: Service = Service(
            app_id, settings, rest, client_name=self.client_name, wall_clock=wall_clock, new_uuid=new_uuid
        )
        self.resource: str = self.service.resource
        self.secrets: Secrets = self.service.secrets
        # The auth token that the service refused. It is not used again if the login's ``refresh`` can return another.
        self._refused_token: Optional[str] = None
        self._renewal = SharedRenewal(lock)
        # Of the newest settings and the newest session. An attempt after a drop needs both again.
        self._known_endpoints: Optional[Tuple[Mapping[str, Any], HttpEndpoints]] = None
        self._known_credentials: Optional[Tuple[Session, Credentials, Optional[float]]] = None
        #: The login, or None. Replaced as a whole; reading takes no lock.
        self.session: Optional[Session] = None
        # When the settings came with a ``PUT /me``, in monotonic seconds; None once a connection has used them.
        self._settings_came_at: Optional[float] = None
        #: The MODE of the process that leads this one; None if this process's own MODE counts.
        self.shared_mode: Optional[str] = None

    def client_name(self) -> str:
        """Return the client's name for log records."""
        session = self.session
        return f"client {self._number}" if session is None else f"client {self._number}, {session.uid}"

    def take_over(self, other: Account) -> None:
        """In the child of a fork: take over the login from the parent's account object."""
        # Without the jwt: the parent's connection used it.
        self.session = other.session and replace(other.session, jwt=None)
        self.secrets.add(*other.secrets.known())

    @property
    def endpoints(self) -> HttpEndpoints:
        """The addresses for calls: after the login the hosts in the service's settings, unless overridden."""
        session = self.session
        settings = session.settings if session is not None else None
        if settings is None:
            return self.service.login_endpoints
        known = self._known_endpoints
        if known is None or known[0] is not settings:
            known = self._known_endpoints = settings, self.service.endpoints_of(settings)
        return known[1]

    def forget_connections(self) -> None:
        """Use new HTTP connections from now on, because the WebSocket was lost and the network may have changed."""
        self.service.rest.forget_connections()

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        """The number of requests that the service accepts in the current minute; None if unknown."""
        return self.service.rest.rate_limit_remaining

    @property
    def service_time(self) -> Optional[float]:
        """The service's Unix seconds at its newest answer; None if unknown."""
        return self.service.rest.service_time

    def take_new_settings(self, since: float) -> bool:
        """Return True once if the settings came with a ``PUT /me`` since a time.

        :param since: monotonic seconds.
        """
        came_at, self._settings_came_at = self._settings_came_at, None
        return came_at is not None and came_at >= since

    def stored_session(self) -> Optional[Session]:
        """Return the session in the store, if it is of this app."""
        return self._store.load()

    def set_login(self, session: Session) -> None:
        """Make this the current login. The caller holds the lock, and calls :meth:`store_session` afterwards.

        Without settings in the service's answer, and without an answer to the request for them, the older ones stay.
        """
        before, self._settings_came_at = self.session, self._clock() if session.settings else None
        if before is not None and before.settings:
            session = replace(session, settings=completed(session.settings or {}, before.settings))
        self.session, self._refused_token = session, None

    def void(self, session: Session) -> None:
        """Void the token of a session. No-op if the service does not know the token, or its user."""
        try:
            self.service.call("DELETE", f"{self.endpoints.client}/me", {"authToken": session.auth_token})
        except CometChatException as error:
            if not isinstance(error, AuthenticationException) and error.code != _NO_USER:
                raise
            self._log.info("The token was already void before the logout (%s).", error.code)

    def clear_login(self) -> Optional[Session]:
        """Forget the login, and return it. The caller holds the lock, and calls :meth:`store_session` afterwards."""
        ended, self.session = self.session, None
        return ended

    def store_session(self, ended: Optional[Session] = None) -> None:
        """Write the login to the store, or clear the store without a login. Logs the store's exceptions as warnings.

        :param ended: the login that has just ended. Another login in the store is another process's, and is kept.
        """
        self._store.save_newest(lambda: self.session, ended)

    def renew(self) -> None:
        """Repeat ``PUT /me`` for a new jwt and settings. If the auth token is or was refused, use a new one.

        Threads that do this at the same time share one renewal.
        """
        session = self.require()
        refused = session.auth_token == self._refused_token

        def is_needed() -> bool:
            now = self.session
            return now is session or (refused and now is not None and now.auth_token == session.auth_token)

        self._renewal.run(session.device_id, lambda: self._renew(session), is_needed)

    def _renew(self, session: Session) -> None:
        refresh = session.refresh
        try:
            if refresh is not None and session.auth_token == self._refused_token:
                renewed = self.service.authorize(self.service.fresh_token(refresh), session.device_id, refresh)
            else:
                renewed = self.service.authorize_or_refresh(session.auth_token, session.device_id, refresh)
        except CometChatException as error:
            if error.code == _LOGIN_ENDED:
                self.end_login(session, error)
            with self.lock:
                if self.session is not None and not self.holds(session):
                    return  # a newer login has replaced this one
            raise without_frames(error)
        if not renewed.is_of(session.uid):
            raise _of_another_user(session, renewed)
        with self.lock:
            if not self._is_current(session):
                return
            self.set_login(renewed)
        if renewed.auth_token != session.auth_token:
            self.store_session()

    def refuse_token(self, session: Session) -> None:
        """Note that the service refused the session's auth token, so that the next renewal uses a new one."""
        self._refused_token = session.auth_token

    def holds(self, session: Session) -> bool:
        """Return True if this is still the login, with the same auth token. The caller holds the lock."""
        return self._is_current(session) and self.require().auth_token == session.auth_token

    def end_login(self, session: Session, error: CometChatException) -> bool:
        """End the login of this session, because the service ended it.

        :returns: False if it is not the current login, or if ``refresh`` can return another auth token.
        """
        ended = session.refresh is None and self._end_login(session, error)
        if ended:
            self._log.warning("The service ended the login of %s. Log in again. Its answer: %s", session.uid, error)
        return ended

    def refresh_settings(self, replace_token: bool = False) -> Mapping[str, Any]:
        """Get ``/settings``: the ``MODE`` and the address of the WebSocket. Uses and returns them.

        :param replace_token: whether to replace a refused token. The handshake does that itself.
        """
        session = self.require()
        data = self._call_as(session, "GET", f"{self.endpoints.client}/settings", replace_token=replace_token)
        settings = self.service.settings_in(data)
        with self.lock:
            if self._is_current(session):
                self.use_settings(settings)
        return settings

    def use_settings(self, settings: Mapping[str, Any]) -> None:
        """Use settings of this app, which another client of the process may have fetched. No-op without a login."""
        with self.lock:
            session = self.session  # the current login, since a renewal may have ended during the call
            if session is not None and session.settings is not settings:
                self.session = replace(session, settings=completed(settings, session.settings or {}))

    @property
    def settings_key(self) -> Tuple[str, str]:
        """The app and the API whose settings the clients of a process share."""
        return self._app_id, self.endpoints.client

    def request(
        self,
        method: str,
        path: str,
        body: Union[Mapping[str, Any], Form, None] = None,
        *,
        expect: type = dict,
        uid: Optional[str] = None,
    ) -> Any:
        """Make a call of the client API as the logged-in user.

        :param path: after the API's base, with its query.
        :param uid: see :meth:`require`.
        """
        return self._call_as(self.require(uid), method, f"{self.endpoints.client}{path}", body, expect=expect)

    def credentials(self, check_expiry: bool = True) -> Optional[Credentials]:
        """Return the credentials for the socket; None if :meth:`renew` must come first (no jwt, or an expired one)."""
        session = self.require()
        if session.jwt is None or session.settings is None:
            return None
        known = self._known_credentials
        expiry = known[2] if known is not None and known[0] is session else jwt_expiry(session.jwt)
        if check_expiry and expiry is not None and expiry <= self._wall_clock() + _EXPIRY_MARGIN:
            return None
        if known is None or known[0] is not session:
            credentials = Credentials(self._websocket_url(session.settings), self.identity(session), session.jwt)
            known = self._known_credentials = session, credentials, expiry
        return known[1]

    def _websocket_url(self, settings: Mapping[str, Any]) -> str:
        allowed = self._settings.allow_insecure_socket or not self.endpoints.client.lower().startswith("https:")
        return websocket_url(settings, self._app_id, self._settings.region, insecure_allowed=allowed)

    @property
    def likely_websocket_url(self) -> Optional[str]:
        """The address that the service named, or else the region's usual one; None if neither is usable."""
        session = self.session
        settings = session.settings if session is not None else None
        if settings is None and self._settings.client_host is not None:
            return None
        try:
            return self._websocket_url(settings or {})
        except CometChatException:
            return None

    def identity(self, session: Session) -> Identity:
        """Return the identity of the session on the wire."""
        return Identity(self._app_id, session.uid, self.resource, session.device_id, __version__)

    @property
    def me(self) -> Self:
        """The receiver of this connection's events."""
        session = self.session
        return Self(self.resource, session.uid if session is not None else None)

    @property
    def mode(self) -> str:
        """The service's ``MODE`` in its newest settings."""
        if self.shared_mode is not None:
            return self.shared_mode
        session = self.session
        return mode_of((session.settings if session else None) or {})

    def is_throttled(self) -> bool:
        """Return True if the service has switched transient features off, all or some."""
        return self.mode != MODE_DEFAULT

    def _is_current(self, session: Session) -> bool:
        """Return True if this is still the login, by its device id. The caller holds the lock."""
        return self.session is not None and self.session.device_id == session.device_id

    def require(self, uid: Optional[str] = None) -> Session:
        """Return the login.

        :param uid: of the user for whom a longer task began; None if any user will do.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``.
        """
        session = self.session
        if session is None:
            raise exception_for(
                USER_NOT_LOGGED_IN, "No user is logged in. Call login() or login_with_auth_token() first."
            )
        if uid is not None and not session.is_of(uid):
            raise login_replaced()
        return session

    def _call_as(
        self,
        session: Session,
        method: str,
        url: str,
        body: Union[Mapping[str, Any], Form, None] = None,
        *,
        expect: type = dict,
        replace_token: bool = True,
    ) -> Any:
        """Make a call with a login's token. Replaces a refused token; an unknown token may end the login."""
        try:
            return self.service.call(method, url, {"authToken": session.auth_token}, body, expect=expect)
        except CometChatException as error:
            if not is_refusal(error):
                raise
            self.refuse_token(session)
            if error.code == _LOGIN_ENDED:
                self.end_login(session, error)
            if session.refresh is None or not replace_token:
                raise
        now = self._renewed(session)
        return self.service.call(method, url, {"authToken": now.auth_token}, body, expect=expect)

    def _renewed(self, session: Session) -> Session:
        """Return the login with another auth token: from ``refresh``, unless another thread has already replaced it."""
        if self.require().auth_token == session.auth_token:
            self.renew()
        now = self.require()
        if now.device_id != session.device_id:
            raise login_replaced()
        return now


def _of_another_user(session: Session, renewed: Session) -> CometChatException:
    """Return the error of a renewal whose answer names another user."""
    if renewed.auth_token == session.auth_token:
        answer = f"The service answered to the auth token of {session.uid!r} with the user {renewed.uid!r}."
        return exception_for(ERR_BAD_RESPONSE, answer)
    return AuthenticationException(
        ERR_TOKEN_REFRESH,
        f"The refresh callable must return an auth token of {session.uid!r}, and returned one of {renewed.uid!r}."
        " To change the user, call login_with_auth_token().",
    )
