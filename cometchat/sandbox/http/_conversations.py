"""The routes of conversations, and of the receipts that go over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List, Tuple

from ..chat import Chat
from ..chat._errors import bad_request
from ..chat._users import APP, User
from ._request import ApiRequest
from ._routes import PAGE, Listing, Route, done, fits_tags, numbered_page, without_tags

#: Looks at a conversation as the requesting user sees it.
Filter = Callable[[Dict[str, Any]], bool]

_PINS = "features.ux.conversations.pinned.enabled"

#: The role of users who are AI agents.
AGENT_ROLE = "@agentic"


class ConversationRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._conversations = chat.conversations
        self._receipts = chat.receipts
        self._history = chat.history

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        tags = ("tags", "userTags", "groupTags", "withTags", "withUserAndGroupTags")
        shown = ("includeBlockedUsers", "withBlockedInfo", "hideAgentic", "onlyAgentic", "pinnedBy")
        search = (*PAGE, "conversationType", "unread", "searchKey", *tags, *shown)
        routes = [Route("GET", "/conversations", self._list, search)]
        for kind, path in (("user", "/users/{uid}/conversation"), ("group", "/groups/{guid}/conversation")):
            routes += [
                Route("GET", path, partial(self._get, kind)),
                Route("PUT", path, partial(self._tag, kind)),
                Route("DELETE", path, partial(self._delete, kind)),
                Route("POST", path + "/pin", partial(self._pin, kind), feature=_PINS),
                Route("DELETE", path + "/pin", partial(self._pin, kind), feature=_PINS),
                Route("POST", path + "/delivered", partial(self._receipt, kind, "delivered")),
                Route("POST", path + "/read", partial(self._receipt, kind, "read")),
                Route("DELETE", path + "/read", partial(self._mark_unread, kind)),
            ]
        return routes

    def _list(self, request: ApiRequest, me: User) -> Listing:
        wanted = request.query.get("conversationType")
        if wanted not in (None, "user", "group"):
            raise bad_request("conversationType", "must be user or group")
        fits = [make(request, me) for make in _FILTERS]
        found = [each for each in self._conversations.list(me.uid) if all(fit(each) for fit in fits)]
        found.sort(key=lambda each: "pinnedAt" not in each)
        if not request.flag("withTags"):
            found = [without_tags(each) for each in found]
        if not request.flag("withUserAndGroupTags"):
            found = [{**each, "conversationWith": without_tags(each["conversationWith"])} for each in found]
        return numbered_page(request, found)

    def _tag(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        return self._conversations.tag(me.uid, self._conversations.of(me.uid, other, kind), request.fields.get("tags"))

    def _delete(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        self._conversations.delete(me.uid, self._conversations.of(me.uid, other, kind))
        return done("The conversation was deleted.")

    def _pin(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        conversation = self._conversations.of(me.uid, other, kind)
        return self._conversations.pin(me.uid, conversation, request.resource, pinned=request.method == "POST")

    def _get(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        return self._conversations.get(me.uid, self._conversations.of(me.uid, other, kind))

    def _receipt(self, kind: str, action: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        conversation = self._conversations.of(me.uid, other, kind)
        message_id = request.fields.get("messageId")
        text = None if message_id is None else str(message_id)
        self._receipts.post(me.uid, conversation, action, text, request.resource)
        return done(f"The conversation was marked as {action}.")

    def _mark_unread(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        conversation = self._conversations.of(me.uid, other, kind)
        message = self._receipts.find(me.uid, conversation, str(request.fields.get("messageId", "")))
        self._history.set_mark("read", me.uid, conversation.id, int(message["id"]) - 1)
        return {"conversation": self._conversations.get(me.uid, conversation)}


def _by_type(request: ApiRequest, me: User) -> Filter:
    wanted = request.query.get("conversationType")
    return lambda conversation: wanted in (None, conversation["conversationType"])


def _by_word(request: ApiRequest, me: User) -> Filter:
    word = request.word
    return lambda conversation: word in conversation["conversationWith"]["name"].lower()


def _unread(request: ApiRequest, me: User) -> Filter:
    wanted = request.flag("unread")
    return lambda conversation: not wanted or bool(conversation["unreadMessageCount"])


def _by_tags(request: ApiRequest, me: User) -> Filter:
    own, of_others = request.texts("tags"), {name: request.texts(f"{name}Tags") for name in ("user", "group")}
    return lambda conversation: fits_tags(conversation, own) and fits_tags(
        conversation["conversationWith"], of_others[conversation["conversationType"]]
    )


def _by_block(request: ApiRequest, me: User) -> Filter:
    # Not confirmed: that it hides only those users whom the user has blocked.
    wanted = request.flag("includeBlockedUsers")
    return lambda conversation: wanted or not conversation["conversationWith"].get("blockedByMe")


def _by_agent(request: ApiRequest, me: User) -> Filter:
    hidden, only = request.flag("hideAgentic"), request.flag("onlyAgentic")

    def fits(conversation: Dict[str, Any]) -> bool:
        is_agent = conversation["conversationWith"].get("role") == AGENT_ROLE
        return not (hidden and is_agent) and (is_agent or not only)

    return fits


def _by_pin(request: ApiRequest, me: User) -> Filter:
    pinners = {"me": me.uid, "system": APP}
    wanted = {pinners.get(name, name) for name in request.texts("pinnedBy")}
    return lambda conversation: not wanted or conversation.get("pinnedBy") in wanted


#: The filters of the list. Without its parameter, each filter accepts every conversation, except the one for blocks.
_FILTERS: Tuple[Callable[[ApiRequest, User], Filter], ...] = (
    _by_type,
    _by_word,
    _unread,
    _by_tags,
    _by_block,
    _by_agent,
    _by_pin,
)
