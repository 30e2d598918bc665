"""The routes for back ends only: users and their auth tokens. Back ends call the clients' routes for everything else.
"""

from __future__ import annotations

from typing import Any, Dict, List

from ..chat import Chat
from ..chat._errors import refusal
from ..chat._users import User
from ._callers import FOR_APP, FOR_KEYS
from ._request import ApiRequest
from ._routes import Route, done


class AdminRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._users = chat.users
        self._credentials = chat.credentials

    @property
    def routes(self) -> List[Route]:
        """The routes. The vendor's clients create and change users with the auth key."""
        user, tokens = "/users/{uid}", "/users/{uid}/auth_tokens"
        return [
            Route("POST", "/users", self._create, audience=FOR_KEYS),
            Route("PUT", user, self._change, audience=FOR_KEYS),
            Route("DELETE", user, self._delete, audience=FOR_APP),
            Route("DELETE", "/users", self._deactivate, audience=FOR_APP),
            Route("PUT", "/users", self._reactivate, audience=FOR_APP),
            Route("GET", tokens, self._tokens, audience=FOR_APP),
            Route("DELETE", tokens, self._revoke_all, audience=FOR_APP),
            Route("DELETE", tokens + "/{token}", self._revoke, audience=FOR_APP),
        ]

    def _create(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        body = request.fields
        user = self._users.create(body)
        shown = self._users.shown(user, me)
        return {**shown, "authToken": self._credentials.issue_token(user.uid)} if body.get("withAuthToken") else shown

    def _change(self, request: ApiRequest, me: User, uid: str) -> Dict[str, Any]:
        return self._users.shown(self._users.change(uid, request.fields), me)

    def _delete(self, request: ApiRequest, me: User, uid: str) -> Dict[str, Any]:
        if not self._end(uid, "deleted"):
            raise refusal("ERR_UID_NOT_FOUND", uid=uid)
        self._chat.groups.remove_everywhere(uid)
        return done(f"The user {uid} was deleted.")

    def _deactivate(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = request.list_of_texts("uidsToDeactivate")
        return {"deactivatedUids": [uid for uid in uids if self._end(uid, "deactivated")]}

    def _reactivate(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = request.list_of_texts("uidsToActivate")
        # Not confirmed: the vendor's example always gives the answer this name.
        return {"nonDeactivatedUids": [uid for uid in uids if self._users.set_state(uid, "deactivated", "active")]}

    def _end(self, uid: str, state: str) -> bool:
        """Remove a user from the app, with all credentials. Returns whether the user was active."""
        user = self._users.set_state(uid, "active", state)
        if user is None:
            return False
        self._credentials.revoke_tokens(user.uid)
        self._credentials.expire_jwts(user.uid)
        return True

    def _tokens(self, request: ApiRequest, me: User, uid: str) -> List[Dict[str, Any]]:
        uid = self._users.get(uid).uid
        found = [(text, token) for text, token in self._credentials.tokens.items() if token.uid == uid]
        return [
            {"uid": uid, "authToken": text, "createdAt": token.created_at} for text, token in found if not token.void
        ]

    def _revoke_all(self, request: ApiRequest, me: User, uid: str) -> Dict[str, Any]:
        self._credentials.revoke_tokens(self._users.get(uid).uid)
        return done(f"The auth tokens of {uid} were deleted.")

    def _revoke(self, request: ApiRequest, me: User, uid: str, text: str) -> Dict[str, Any]:
        token = self._credentials.token(text)
        if token is None or token.uid != self._users.get(uid).uid:
            raise refusal("ERR_AUTH_TOKEN_NOT_FOUND", token=text)
        self._credentials.void_token(text)
        return done("The auth token was deleted.")
