"""The routes of users, friends and blocks."""

from __future__ import annotations

from typing import AbstractSet, Any, Callable, Dict, List

from ..chat import Chat
from ..chat._errors import bad_request, refusal
from ..chat._users import User
from ._callers import FOR_APP, FOR_BOTH
from ._request import ApiRequest
from ._routes import PAGE, Listing, Route, fits_status, fits_tags, numbered_page, with_tags

_SEARCH = (
    *PAGE,
    "searchKey",
    "searchIn",
    "status",
    "role",
    "roles",
    "uids",
    "tags",
    "withTags",
    "hideBlockedUsers",
    "sortBy",
    "sortOrder",
)
_BLOCKED = (*PAGE, "direction", "searchKey")

#: By parameter of a back end: the states of the wanted users.
_STATES = {"onlyDeactivated": ("deactivated",), "withDeactivated": ("active", "deactivated")}


class UserRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._users = chat.users

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        return [
            Route("GET", "/users", self._list, (*_SEARCH, "friendsOnly", *_STATES), audience=FOR_BOTH),
            Route("GET", "/user/friends", self._friends, _SEARCH),
            Route("GET", "/users/{uid}", self._get, audience=FOR_BOTH),
            Route("GET", "/blockedusers", self._blocked, _BLOCKED),
            Route("POST", "/blockedusers", self._block),
            Route("DELETE", "/blockedusers", self._unblock),
            Route("GET", "/users/{uid}/blockedusers", self._as(self._blocked), _BLOCKED, audience=FOR_APP),
            Route("POST", "/users/{uid}/blockedusers", self._as(self._block), audience=FOR_APP),
            Route("DELETE", "/users/{uid}/blockedusers", self._as(self._unblock), audience=FOR_APP),
            Route("GET", "/users/{uid}/friends", self._as(self._friends), _SEARCH, audience=FOR_APP),
            Route("POST", "/users/{uid}/friends", self._as(self._befriend), audience=FOR_APP),
            Route("DELETE", "/users/{uid}/friends", self._as(self._unfriend), audience=FOR_APP),
        ]

    def _as(self, answer: Callable[[ApiRequest, User], Any]) -> Callable[[ApiRequest, User, str], Any]:
        """Make the answer for a back end that names the acting user in the path."""
        return lambda request, me, uid: answer(request, self._users.get(uid))

    def _list(self, request: ApiRequest, me: User) -> Listing:
        # Not confirmed: that the list does not contain the requesting user.
        states = next((states for name, states in _STATES.items() if request.flag(name)), ("active",))
        others = [user for state in states for user in self._users.in_state(state)]
        others = [user for user in others if user is not me and user is not self._users.app]
        if request.flag("friendsOnly"):
            others = [user for user in others if user.uid in me.friends]
        return self._search(request, me, others)

    def _friends(self, request: ApiRequest, me: User) -> Listing:
        return self._search(request, me, [user for user in self._users.all if user.uid in me.friends])

    def _befriend(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = request.list_of_texts("accepted")
        self._users.befriend(me.uid, [uid for uid in uids if uid in self._users])
        return {"accepted": self._results(uids, "made a friend")}

    def _unfriend(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = request.list_of_texts("friends")
        self._users.separate(me.uid, uids)
        return self._results(uids, "removed from the friends")

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
        return numbered_page(request, with_tags(request, _sorted(request, tagged)))

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
        uids = request.list_of_texts("blockedUids")
        if me.uid in map(str.lower, uids):
            raise refusal("ERR_CANNOT_BLOCK_SELF")
        self._users.block(me, [uid.lower() for uid in uids if uid in self._users])
        return self._results(uids, "blocked")

    def _unblock(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        uids = request.list_of_texts("blockedUids")
        self._users.unblock(me, [uid.lower() for uid in uids])
        return self._results(uids, "unblocked")

    def _results(self, uids: List[str], what: str) -> Dict[str, Any]:
        """Return the result for each uid."""
        messages = {True: f"The user was {what}.", False: "The user does not exist."}
        return {uid: {"success": uid in self._users, "message": messages[uid in self._users]} for uid in uids}


def _sorted(request: ApiRequest, users: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return the users in the wanted order: by name, or by status with available users first."""
    by, order = request.query.get("sortBy"), request.query.get("sortOrder", "asc")
    if by not in (None, "name", "status"):
        raise bad_request("sortBy", "must be name or status")
    if order not in ("asc", "desc"):
        raise bad_request("sortOrder", "must be asc or desc")
    if by is None:
        return users
    return sorted(users, key=lambda user: str(user[by]).lower(), reverse=order == "desc")


def _matches(user: User, word: str, places: AbstractSet[str]) -> bool:
    """Return whether a user's name or uid begins with a word."""
    return ("name" in places and user.name.lower().startswith(word)) or ("uid" in places and user.uid.startswith(word))
