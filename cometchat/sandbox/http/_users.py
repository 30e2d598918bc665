"""The routes of users, friends and blocks."""

from __future__ import annotations

from typing import AbstractSet, Any, Dict, List

from ..chat import Chat
from ..chat._errors import bad_request, refusal
from ..chat._users import User
from ._request import ApiRequest
from ._routes import PAGE, Listing, Route, fits_status, fits_tags, numbered_page, with_tags

_SEARCH = (*PAGE, "searchKey", "searchIn", "status", "role", "roles", "uids", "tags", "withTags", "hideBlockedUsers")


class UserRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._users = chat.users

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        return [
            Route("GET", "/users", self._list, (*_SEARCH, "friendsOnly")),
            Route("GET", "/user/friends", self._friends, _SEARCH),
            Route("GET", "/users/{uid}", self._get),
            Route("GET", "/blockedusers", self._blocked, (*PAGE, "direction", "searchKey")),
            Route("POST", "/blockedusers", self._block),
            Route("DELETE", "/blockedusers", self._unblock),
        ]

    def _list(self, request: ApiRequest, me: User) -> Listing:
        # Not confirmed: that the user who asks is not in it.
        others = [user for user in self._users.all if user is not me]
        if request.flag("friendsOnly"):
            others = [user for user in others if user.uid in me.friends]
        return self._search(request, me, others)

    def _friends(self, request: ApiRequest, me: User) -> Listing:
        return self._search(request, me, [user for user in self._users.all if user.uid in me.friends])

    def _get(self, request: ApiRequest, me: User, uid: str) -> Dict[str, Any]:
        return self._users.shown(self._users.get(uid), me)

    def _search(self, request: ApiRequest, me: User, users: List[User]) -> Listing:
        roles, uids = request.texts("role", "roles"), request.texts("uids")
        status, word = request.query.get("status"), request.word
        places = request.texts("searchIn") or {"name", "uid"}
        if places - {"name", "uid"}:
            raise bad_request("searchIn", "must be name or uid")
        shown = [
            self._users.shown(user, me)
            for user in users
            if (not roles or user.role in roles) and (not uids or user.uid in uids) and _matches(user, word, places)
        ]
        shown = [user for user in shown if fits_status(user, status)]
        if request.flag("hideBlockedUsers"):
            shown = [user for user in shown if not user["blockedByMe"]]
        tagged = [user for user in shown if fits_tags(user, request.texts("tags"))]
        return numbered_page(request, with_tags(request, tagged))

    def _blocked(self, request: ApiRequest, me: User) -> Listing:
        wanted, word = request.query.get("direction", "both"), request.word
        if wanted not in ("both", "blockedByMe", "hasBlockedMe"):
            raise bad_request("direction", "must be both, blockedByMe or hasBlockedMe")
        found = [
            user
            for user in self._users.all
            if (user.uid in me.blocked and wanted != "hasBlockedMe")
            or (me.uid in user.blocked and wanted != "blockedByMe")
        ]
        shown = [self._users.shown(user, me) for user in found if _matches(user, word, {"name", "uid"})]
        return numbered_page(request, shown)

    def _block(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = _uids(request)
        if me.uid in uids:
            raise refusal("ERR_CANNOT_BLOCK_SELF")
        self._users.block(me, [uid.lower() for uid in uids if uid in self._users])
        return self._results(uids, "blocked")

    def _unblock(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = _uids(request)
        self._users.unblock(me, [uid.lower() for uid in uids])
        return self._results(uids, "unblocked")

    def _results(self, uids: List[str], what: str) -> Dict[str, Any]:
        """Return the result for each uid."""
        messages = {True: f"The user was {what}.", False: "The user does not exist."}
        return {uid: {"success": uid in self._users, "message": messages[uid in self._users]} for uid in uids}


def _uids(request: ApiRequest) -> List[str]:
    uids = request.fields.get("blockedUids")
    if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
        raise bad_request("blockedUids", "is missing, or not a list of texts")
    return uids


def _matches(user: User, word: str, places: AbstractSet[str]) -> bool:
    return ("name" in places and word in user.name.lower()) or ("uid" in places and word in user.uid)
