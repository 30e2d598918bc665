"""The service's HTTP API: the addresses, the calls, and the logins that come from them. Any thread; keeps no login."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Set, Tuple, Union
from urllib.parse import quote

from ..._fields import SECRET_KEYS, identifier, plain_text
from ..._log import SafeLog
from ..._protocol._endpoints import (
    KNOWN_REGIONS,
    HttpEndpoints,
    SettingsEndpoints,
    endpoints_from_settings,
    http_endpoints,
    is_in_clear,
    is_of_unknown_region,
    used_settings,
)
from ..._protocol._error_codes import ErrorKind, kind_of
from ..._protocol._frames import PLATFORM, app_info
from ..._transport._exception_chain import pass_on_interruption
from ..._transport._form import Form
from ..._transport.net import has_no_address
from ..._turns import TURNS
from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_TOKEN_REFRESH,
    AuthenticationException,
    CometChatException,
    exception_for,
    without_frames,
)
from ...settings import AppSettings
from ...version import __version__
from .. import _arguments as arguments
from ._redaction import Secrets
from ._session import LONGEST_TOKEN, Refresh, Session, is_token, is_uid
from ._shared_settings import SETTINGS

if TYPE_CHECKING:
    from ..._transport.http import RequestsRest


class Service:
    """The service, for one client.

    :param wall_clock: Unix seconds.
    :param new_uuid: makes the identifiers of this connection and of a stored session.
    :ivar rest: the HTTP transport.
    :ivar resource: names this client's connection on the wire.
    :ivar secrets: the client's secrets, which a server may quote.
    :ivar login_endpoints: the addresses for the login. Its answer has the addresses for all other calls.
    """

    def __init__(
        self,
        app_id: str,
        settings: AppSettings,
        rest: RequestsRest,
        *,
        client_name: Callable[[], str],
        wall_clock: Callable[[], float] = time.time,
        new_uuid: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self._app_id = app_id
        self._settings = settings
        self.rest: RequestsRest = rest
        self._wall_clock = wall_clock
        self._new_uuid = new_uuid
        self._log = SafeLog(logging.getLogger("cometchat.session"), client_name)
        self._refused_hosts: Tuple[str, ...] = ()
        self._warned_of_clear_text = False
        self._refreshing: Set[Tuple[int, int]] = set()  # each thread in a ``refresh``, and which
        version = __version__.replace(".", "_")
        self.resource: str = f"{PLATFORM.upper()}-{version}-{new_uuid()}-{int(wall_clock() * 1000)}"
        self.secrets: Secrets = Secrets()
        self.login_endpoints: HttpEndpoints = http_endpoints(
            app_id, settings.region, settings.admin_host, settings.client_host
        )

    def endpoints_of(self, settings: Mapping[str, Any]) -> HttpEndpoints:
        """Return the addresses for calls: the hosts in the service's settings, unless overridden."""
        return self._endpoints_of(settings).endpoints

    def call(
        self,
        method: str,
        url: str,
        secrets: Mapping[str, str],
        body: Union[Mapping[str, Any], Form, None] = None,
        *,
        expect: type = dict,
    ) -> Any:
        """Make a call.

        :param secrets: headers with credentials, which are hidden in errors from now on.
        """
        self.secrets.add(*secrets.values())
        headers, secrets = self._headers(secrets), {}
        try:
            return self.rest.call(
                method, url, headers=headers, body=body, timeout=self._settings.connect_timeout, expect=expect
            )
        except CometChatException as error:
            headers = {}
            region = self._settings.region
            if is_of_unknown_region(url, region) and has_no_address(error):
                error.details = f"CometChat names the regions {', '.join(KNOWN_REGIONS)}, not {region!r}"
            self.secrets.scrub_error(error)
            raise without_frames(error)

    def login(self, uid: str, auth_key: str) -> Session:
        """Get an auth token for the user, then log in with it."""
        self._warn_of_clear_text()
        device_id = self._new_device_id()
        data = self.call(
            "POST",
            f"{self.login_endpoints.admin}/users/{quote(uid, safe='')}/auth_tokens",
            {"apiKey": auth_key},
            self._body(device_id),
        )
        token = data.get("authToken")
        if not is_token(token):
            raise lacks("authToken")
        return self.authorize(token, device_id, None)

    def login_with_auth_token(self, auth_token: str, refresh: Optional[Refresh]) -> Session:
        """Log in with an auth token. If the service refuses it, use a new one from ``refresh``."""
        return self.authorize_or_refresh(auth_token, self._new_device_id(), refresh)

    def authorize(self, auth_token: str, device_id: str, refresh: Optional[Refresh]) -> Session:
        """Make the ``PUT /me`` of a login. Returns the session.

        :raises CometChatException: also ``ERR_BAD_RESPONSE``: the answer lacks the uid or the jwt.
        """
        url = f"{self.login_endpoints.client}/me"
        data = self.call("PUT", url, {"authToken": auth_token}, self._body(device_id))
        uid, jwt = identifier(data, "uid"), data.get("jwt")
        if uid is None or not is_uid(uid):
            raise lacks("uid")
        if not isinstance(jwt, str) or not 0 < len(jwt) <= LONGEST_TOKEN or not arguments.is_unicode(jwt):
            raise lacks("jwt")
        left_out = {*SECRET_KEYS, "settings"}
        user = {key: value for key, value in data.items() if key not in left_out}
        has_settings = isinstance(data.get("settings"), dict)
        settings = self.settings_in(data if has_settings else self._separate_settings(auth_token))
        media_token = data.get("fat")
        self.secrets.add(jwt, *([media_token[:LONGEST_TOKEN]] if isinstance(media_token, str) else []))
        return Session(self._app_id, uid, auth_token, device_id, user, jwt, settings, refresh)

    def authorize_or_refresh(self, auth_token: str, device_id: str, refresh: Optional[Refresh]) -> Session:
        """Log in with an auth token, or with a new one from ``refresh`` if the service refuses it."""
        try:
            return self.authorize(auth_token, device_id, refresh)
        except CometChatException as error:
            if refresh is None or not is_refusal(error):
                raise
        # After the handler: in it, the next error would keep this one, and its frames show the refused token.
        return self.authorize(self.fresh_token(refresh), device_id, refresh)

    def fresh_token(self, refresh: Refresh) -> str:
        """Return a new auth token from ``refresh``.

        :raises CometChatException: ``ERR_TOKEN_REFRESH``: it raised, returned something else, or calls itself.
        """
        running = threading.get_ident(), id(refresh)
        if running in self._refreshing:
            raise AuthenticationException(
                ERR_TOKEN_REFRESH, "The refresh callable made a call that needs the new auth token."
            )
        try:
            self._refreshing.add(running)
            with TURNS.lent():  # it may hang
                token = refresh()
        except Exception as error:
            pass_on_interruption(error)
            raise exception_for(
                ERR_TOKEN_REFRESH, f"The refresh callable for a new auth token raised {type(error).__name__}."
            ) from error
        finally:
            self._refreshing.discard(running)
        if not isinstance(token, str) or not token:
            got = "an empty str" if isinstance(token, str) else type(token).__name__
            raise AuthenticationException(
                ERR_TOKEN_REFRESH, f"The refresh callable has to return an auth token, not {got}."
            )
        if not arguments.fits_header(token):
            raise AuthenticationException(
                ERR_TOKEN_REFRESH, "The refresh callable must return an auth token in printable ASCII."
            )
        return str(plain_text(token))

    def settings_in(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings in an answer. Those of an app that are equal are one object."""
        found = data.get("settings")
        settings = SETTINGS.intern(self._app_id, used_settings(found if isinstance(found, dict) else data))
        self._warn_of_hosts(settings)
        return settings

    def _separate_settings(self, auth_token: str) -> Mapping[str, Any]:
        """Get ``/settings``, because ``PUT /me`` came without settings. Returns an empty dict without an answer."""
        try:
            url = f"{self.login_endpoints.client}/settings"
            answer: Mapping[str, Any] = self.call("GET", url, {"authToken": auth_token})
        except CometChatException as error:
            self._log.info("the service sent no settings: %s", error)
            return {}
        return answer

    def _endpoints_of(self, settings: Mapping[str, Any]) -> SettingsEndpoints:
        mine = {"ADMIN_API_HOST": self._settings.admin_host, "CLIENT_API_HOST": self._settings.client_host}
        kept = {key: value for key, value in settings.items() if not mine.get(key)}
        return endpoints_from_settings(self.login_endpoints, kept, self._settings.allowed_hosts)

    def _warn_of_hosts(self, settings: Mapping[str, Any]) -> None:
        """Warn once about hosts that are neither the service's nor allowed. They get no token."""
        refused = self._endpoints_of(settings).refused
        if refused and refused != self._refused_hosts:
            self._refused_hosts = refused
            self._log.warning(
                "The service's settings name hosts outside its domains, so the client does not use them: %s. If"
                " they are yours, set AppSettings(allowed_hosts=[...]).",
                ", ".join(refused),
            )

    def _warn_of_clear_text(self) -> None:
        if self._warned_of_clear_text or not is_in_clear(self.login_endpoints.admin):
            return
        self._warned_of_clear_text = True
        self._log.warning(
            "The auth key is sent to %s without TLS, so others on the network can read it. Set admin_host to an"
            " https:// address.",
            self.login_endpoints.admin,
        )

    def _headers(self, secrets: Mapping[str, str]) -> Mapping[str, str]:
        return {
            "appId": self._app_id,
            "Accept": "application/json",
            "Content-Type": "application/json",
            "sdk": f"{PLATFORM}@{__version__}",
            "resource": self.resource,
            **secrets,
        }

    def _body(self, device_id: str) -> Dict[str, Any]:
        return {"platform": PLATFORM, "deviceId": device_id, "appInfo": app_info(__version__)}

    def _new_device_id(self) -> str:
        return f"{self._app_id}_{self._new_uuid()}_{int(self._wall_clock() * 1000)}"


def is_refusal(error: CometChatException) -> bool:
    """Return True if the service refuses the auth token, and may accept a new one.

    An answer without the protocol's envelope is not a refusal: a proxy may have sent it.
    """
    return kind_of(error) is ErrorKind.CREDENTIAL and error.code != ERR_BAD_RESPONSE


def lacks(key: str) -> CometChatException:
    """Return the error for an answer in the protocol's envelope without a value that it must have."""
    return exception_for(
        ERR_BAD_RESPONSE, f"The service's answer lacks a usable {key}. Is this the right host and API version?"
    )
