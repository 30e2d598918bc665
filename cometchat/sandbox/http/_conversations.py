"""The routes of conversations, and of the receipts that go over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List

from ..chat import Chat
from ..chat._errors import bad_request
from ..chat._users import User
from ._request import ApiRequest
from ._routes import PAGE, Listing, Route, fits_tags, numbered_page, without_tags


class ConversationRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._conversations = chat.conversations
        self._receipts = chat.receipts
        self._history = chat.history

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        tags = ("userTags", "groupTags", "withTags", "withUserAndGroupTags")
        search = (*PAGE, "conversationType", "unread", "searchKey", *tags)
        routes = [Route("GET", "/conversations", self._list, search)]
        for kind, path in (("user", "/users/{uid}/conversation"), ("group", "/groups/{guid}/conversation")):
            routes += [
                Route("GET", path, partial(self._get, kind)),
                Route("POST", path + "/delivered", partial(self._receipt, kind, "delivered")),
                Route("POST", path + "/read", partial(self._receipt, kind, "read")),
                Route("DELETE", path + "/read", partial(self._unread, kind)),
            ]
        return routes

    def _list(self, request: ApiRequest, me: User) -> Listing:
        wanted, word = request.query.get("conversationType"), request.word
        if wanted not in (None, "user", "group"):
            raise bad_request("conversationType", "must be user or group")
        found = [
            conversation
            for conversation in self._conversations.list(me.uid)
            if wanted in (None, conversation["conversationType"])
            and word in conversation["conversationWith"]["name"].lower()
            and (conversation["unreadMessageCount"] or not request.flag("unread"))
        ]
        for kind, name in (("user", "userTags"), ("group", "groupTags")):
            tags = request.texts(name)
            found = [
                each for each in found if each["conversationType"] != kind or fits_tags(each["conversationWith"], tags)
            ]
        # No conversation has tags of its own here, so withTags adds nothing.
        tagged = request.flag("withUserAndGroupTags")
        return numbered_page(request, found if tagged else [_without_tags(each) for each in found])

    def _get(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        return self._conversations.get(me.uid, self._conversations.of(me.uid, other, kind))

    def _receipt(self, kind: str, action: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        conversation = self._conversations.of(me.uid, other, kind)
        message_id = request.fields.get("messageId")
        text = None if message_id is None else str(message_id)
        self._receipts.post(me.uid, conversation, action, text, request.resource)
        return {"success": True, "message": f"The conversation was marked as {action}."}

    def _unread(self, kind: str, request: ApiRequest, me: User, other: str) -> Dict[str, Any]:
        conversation = self._conversations.of(me.uid, other, kind)
        message = self._receipts.find(me.uid, conversation, str(request.fields.get("messageId", "")))
        self._history.set_mark("read", me.uid, conversation.id, int(message["id"]) - 1)
        return {"conversation": self._conversations.get(me.uid, conversation)}


def _without_tags(conversation: Dict[str, Any]) -> Dict[str, Any]:
    return {**conversation, "conversationWith": without_tags(conversation["conversationWith"])}
