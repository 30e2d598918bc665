"""The routes of a login: auth tokens, the own user with jwt and settings, and the ping that checks both."""

from __future__ import annotations

import secrets
import time
from typing import Any, Dict, List, Optional

from .._app import App
from ..chat._credentials import RefusedJwt
from ..chat._errors import refusal
from ..chat._users import DETAILS, User
from ._callers import FOR_ALL, FOR_KEYS
from ._device import device_problems
from ._request import ApiRequest
from ._routes import Route

#: The ends of paths on other hosts of the service. For these, clients send a jwt and not the usual headers.
_PING, _ONLINE = HEADLESS = ("/ping", "/online-members")


class LoginRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._credentials = app.chat.credentials

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        return [
            Route("POST", "/users/{uid}/auth_tokens", self._create_auth_token, audience=FOR_KEYS),
            Route("PUT", "/me", self._put_me),
            Route("GET", "/me", self._me),
            Route("DELETE", "/me", self._log_out),
            Route("GET", "/settings", self._settings),
            Route("POST", "/user_sessions", self._user_session, audience=FOR_ALL),
            Route("POST", "/me/user_sessions", self._user_session, audience=FOR_ALL),
            Route("POST", _PING, self._ping),
            Route("POST", "/me/jwt", self._jwt_of_call),
            Route("POST", "/api/{version}" + _ONLINE, self._online, audience=FOR_ALL),
        ]

    def violations(self, request: ApiRequest, wrong: List[str]) -> None:
        """Record the problems of a request as violations."""
        for problem in wrong:
            self._app.journal.add(self._app.journal.violations, f"{request.method} {request.path}: {problem}")

    def _create_auth_token(self, request: ApiRequest, me: User, uid: str) -> Dict[str, Any]:
        uid = self._app.chat.users.get(uid).uid
        if not request.is_of_back_end:
            self.violations(request, device_problems(request.body))
        token = self._credentials.issue_token(uid)
        return {"uid": uid, "authToken": token, "createdAt": self._credentials.tokens[token].created_at}

    def _put_me(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        body, token = request.body, _token(request)
        # One call with two purposes: a login sends a device, and a user who changes something sends the new fields.
        if isinstance(body, dict) and "deviceId" not in body and any(key in body for key in ("uid", "name", *DETAILS)):
            me.change(body)
            return self._me(request, me)
        self.violations(request, device_problems(body))
        device_id = body.get("deviceId") if isinstance(body, dict) else None
        device_id = device_id if isinstance(device_id, str) else None
        self._bind(token, device_id)
        return self._me(request, me, device_id)

    def _bind(self, text: str, device_id: Optional[str]) -> None:
        """Record the first device of a token, and refuse others while tokens are bound to devices."""
        token = self._credentials.bind_token(text, device_id)
        if self._app.faults.device_bound_tokens and token.device_id != device_id:
            raise refusal("ERR_AUTHTOKEN_UNAVAILABLE")

    def _me(self, request: ApiRequest, me: User, device_id: Optional[str] = None) -> Dict[str, Any]:
        # When the answer to its ping is ERR_NO_AUTH, the vendor's client renews its jwt with a GET without a body.
        me.last_active_at = int(time.time())
        return {
            **self._app.chat.users.shown(me),
            "status": "available",
            "authToken": _token(request),
            "jwt": self._credentials.issue_jwt(
                me.uid, self._app.faults.jwt_lifetime, resource=request.resource or None, device_id=device_id
            ),
            # Another credential, for media of the service's own host.
            "fat": f"fat-{secrets.token_hex(16)}",
            "settings": self._app.settings(request.address),
            "wsChannel": {
                "identity": f"[{self._app.app_id}]{me.uid}",
                "secret": secrets.token_hex(16),
                "service": "websocket",
            },
        }

    def _log_out(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        self._credentials.void_token(_token(request))
        return {"success": True}

    def _settings(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        return self._app.settings(request.address)

    def _user_session(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        return {"success": True}

    def _ping(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        """Check the client's jwt and settings. The vendor's clients ask once a minute."""
        if self._uid_of_jwt(request) != me.uid:
            raise refusal("ERR_NO_AUTH")
        if request.headers.get("settingsHash") != self._app.settings(request.address)["settingsHash"]:
            raise refusal("ERR_SETTINGS_HASH_OUTDATED")
        return {"success": True}

    def _jwt_of_call(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        """Make the token with which the vendor's clients enter a call. It opens no socket."""
        return {"token": self._credentials.issue_call_token(me.uid, request.fields.get("passthrough"))}

    def _online(self, request: ApiRequest, me: User, version: str) -> Dict[str, Any]:
        """Count the users who are online or, for ``groups``, the online members of each."""
        self._uid_of_jwt(request)
        users, groups = self._app.chat.users, self._app.chat.groups
        if "groups" not in request.fields:
            return {"onlineUsersCount": sum(users.shown(user)["status"] == "available" for user in users.all)}
        seen = [groups.get(guid) for guid in request.list_of_texts("groups")]
        return {"groups": {group.guid: groups.shown(group)["onlineMembersCount"] for group in seen}}

    def _uid_of_jwt(self, request: ApiRequest) -> str:
        try:
            return self._credentials.read_jwt(request.headers.get("Authorization", "").rpartition(" ")[2]).uid
        except RefusedJwt:
            raise refusal("ERR_NO_AUTH") from None


def _token(request: ApiRequest) -> str:
    """Return the auth token of the request.

    :raises ApiError: the request has no token, because a back end acts on behalf of the user.
    """
    text = request.headers.get("authToken", "")
    if not text:
        raise refusal("AUTH_ERR_EMPTY_AUTH_TOKEN")
    return text
