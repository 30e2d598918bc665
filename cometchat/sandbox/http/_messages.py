"""The routes of messages, reactions and the history."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from ..chat import Chat
from ..chat._errors import bad_request
from ..chat._history import Message, PageQuery, other_side
from ..chat._users import APP, User
from ._callers import FOR_BOTH
from ._filters import FILTERS, Filter
from ._request import ApiRequest
from ._routes import DEFAULT_ITEMS, Listing, Route

#: A page of the history, or the number of unread messages in each conversation if the request wants only numbers.
Page = Union[Listing, List[Dict[str, Any]]]


class MessageRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._messages = chat.messages

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        message, reaction = "/messages/{id}", "/messages/{id}/reactions/{reaction}"
        history, listed = (*_PARAMETERS, *FILTERS), ("affix", "id", "limit")
        pinned, saved = (f"features.ux.messages.{what}.enabled" for what in ("pinned", "saved"))
        return [
            Route("POST", "/messages", self._post, audience=FOR_BOTH),
            Route("GET", "/messages", self._history, (*history, "uid", "guid"), audience=FOR_BOTH),
            Route("GET", "/users/{uid}/messages", self._history_with, history, audience=FOR_BOTH),
            Route("GET", "/groups/{guid}/messages", self._history_of, history, audience=FOR_BOTH),
            Route("GET", message, self._get, ("withThreadSubscribed",), audience=FOR_BOTH),
            Route("PUT", message, self._edit, audience=FOR_BOTH),
            Route("DELETE", message, self._delete, audience=FOR_BOTH),
            Route("GET", message + "/thread", self._thread, history, audience=FOR_BOTH),
            Route("POST", message + "/thread", self._reply, audience=FOR_BOTH),
            Route("PATCH", message + "/interacted", self._interact),
            Route("POST", message + "/pin", self._pin, audience=FOR_BOTH, feature=pinned),
            Route("DELETE", message + "/pin", self._pin, audience=FOR_BOTH, feature=pinned),
            Route("POST", message + "/save", self._save, feature=saved),
            Route("DELETE", message + "/save", self._save, feature=saved),
            Route("GET", message + "/reactions", self._reactions, listed, audience=FOR_BOTH),
            Route("GET", reaction, self._reactions, listed, audience=FOR_BOTH),
            Route("POST", reaction, self._react),
            Route("DELETE", reaction, self._react),
        ]

    def _shown(self, message: Message, me: User, request: Optional[ApiRequest] = None) -> Message:
        """Return a message as the user sees it. On request it says whether the user follows its thread."""
        shown = self._chat.publisher.views.of(message, me.uid)
        if request is None or not request.flag("withThreadSubscribed"):
            return shown
        return {**shown, "threadSubscribed": self._chat.threads.is_subscribed(message["id"], me.uid)}

    def _post(self, request: ApiRequest, me: User) -> Message:
        if "multipleReceivers" in request.fields:
            raise bad_request("multipleReceivers", "is not implemented by the sandbox")
        return self._shown(self._messages.send(me.uid, request.body, request.resource), me)

    def _reply(self, request: ApiRequest, me: User, message_id: str) -> Message:
        return self._shown(self._messages.send(me.uid, request.body, request.resource, message_id), me)

    def _get(self, request: ApiRequest, me: User, message_id: str) -> Message:
        message = self._messages.seen(message_id, me.uid)
        receipts = self._chat.receipts.shown(message)
        mine = {} if message["sender"] == me.uid else self._chat.receipts.of(message, me.uid)
        return {
            **self._shown(message, me, request),
            **({"receipts": {"data": receipts}} if receipts else {}),
            **({"myReceipt": mine} if mine else {}),
        }

    def _edit(self, request: ApiRequest, me: User, message_id: str) -> Message:
        return self._shown(self._messages.edit(message_id, request.fields, me.uid, request.resource), me)

    def _delete(self, request: ApiRequest, me: User, message_id: str) -> Message:
        return self._shown(self._messages.delete(message_id, me.uid, request.resource), me)

    def _interact(self, request: ApiRequest, me: User, message_id: str) -> Dict[str, Any]:
        self._messages.interact(message_id, me.uid, request.fields.get("interactions"), request.resource)
        return {"success": True}

    def _pin(self, request: ApiRequest, me: User, message_id: str) -> Message:
        pinned = request.method == "POST"
        return self._shown(self._messages.pin(message_id, me.uid, request.resource, pinned=pinned), me)

    def _save(self, request: ApiRequest, me: User, message_id: str) -> Message:
        saved = request.method == "POST"
        return self._shown(self._messages.save(message_id, me.uid, request.resource, saved=saved), me)

    def _react(self, request: ApiRequest, me: User, message_id: str, reaction: str) -> Message:
        added = request.method == "POST"
        message = self._messages.react(message_id, me.uid, reaction, request.resource, added=added)
        return self._shown(message, me)

    def _reactions(
        self, request: ApiRequest, me: User, message_id: str, reaction: Optional[str] = None
    ) -> Listing:
        self._messages.seen(message_id, me.uid)
        limit, edge = request.limit("limit", DEFAULT_ITEMS), request.number("id")
        found = self._chat.reactions.of(message_id, reaction)
        if _affix(request, "append") == "append":
            found = [entry for entry in found if edge is None or int(entry.id) > edge][:limit]
        else:
            found = [entry for entry in found if edge is None or int(entry.id) < edge][-limit:]
        meta: Dict[str, Any] = {"current": {"limit": limit, "count": len(found)}}
        if found:
            meta["previous"] = {"affix": "prepend", "id": found[0].id}
            meta["next"] = {"affix": "append", "id": found[-1].id}
        return Listing([self._messages.shown(entry) for entry in found], meta)

    # The history.

    def _history(self, request: ApiRequest, me: User) -> Page:
        if "uid" in request.query:
            return self._history_with(request, me, request.query["uid"])
        if "guid" in request.query:
            return self._history_of(request, me, request.query["guid"])
        return self._page(request, me, request.query.get("conversationId", ""))

    def _history_with(self, request: ApiRequest, me: User, other: str) -> Page:
        if me.uid == APP:  # no conversation of its own: the path means all of that user
            return self._page(request, self._chat.users.get(other), "")
        return self._page(request, me, self._chat.conversations.of(me.uid, other, "user").id)

    def _history_of(self, request: ApiRequest, me: User, guid: str) -> Page:
        return self._page(request, me, self._chat.conversations.of(me.uid, guid, "group").id)

    def _thread(self, request: ApiRequest, me: User, message_id: str) -> Page:
        conversation = self._messages.seen(message_id, me.uid)["conversationId"]
        return self._page(request, me, conversation, lambda message: message.get("parentId") == message_id)

    def _page(self, request: ApiRequest, me: User, conversation: str, more: Optional[Filter] = None) -> Page:
        history = self._chat.history
        if request.flag("unread") and request.flag("count"):
            asked = [conversation] if conversation else history.conversations(me.uid)
            return [entry for entry in (self._unread(me.uid, each) for each in asked) if entry["count"]]
        filters = [make(request, me) for name, make in FILTERS.items() if name in request.query]
        filters += [self._not_marked(me, "read")] if request.flag("unread") else []
        filters += [self._not_marked(me, "delivered")] if request.flag("undelivered") else []
        filters += [] if more is None else [more]
        query = PageQuery(
            _affix(request, "prepend"),
            request.number("id"),
            request.number("sentAt"),
            request.limit("limit" if "limit" in request.query else "per_page", DEFAULT_ITEMS),
            self._fits(filters, me),
        )
        messages = history.page(me.uid, query, conversation)
        # Not confirmed: when the live service leaves some of them out.
        meta: Dict[str, Any] = {"current": {"limit": query.limit, "count": len(messages)}}
        if messages:
            meta["previous"] = {"affix": "prepend", "id": messages[0]["id"], "sentAt": messages[0]["sentAt"]}
            meta["next"] = {"affix": "append", "id": messages[-1]["id"], "sentAt": messages[-1]["sentAt"]}
            # The vendor's client reads this field: a page without it is the last one. Its next call has id and sentAt.
            edge = messages[-1 if query.affix == "append" else 0]
            meta["cursor"] = {"id": int(edge["id"]), "sentAt": edge["sentAt"], "affix": query.affix}
        elif query.id is not None:
            meta["next"] = {"affix": "append", "id": str(query.id)}
        return Listing([self._shown(message, me, request) for message in messages], meta)

    def _fits(self, filters: List[Filter], me: User) -> Filter:
        """Combine several filters. Each looks at a message as the user sees it."""
        views = self._chat.publisher.views

        def fits(message: Message) -> bool:
            shown = views.of(message, me.uid)
            return all(each(shown) for each in filters)

        return fits

    def _not_marked(self, me: User, action: str) -> Filter:
        """Make a filter for the messages of others that the user has not received or read."""

        def fits(message: Message) -> bool:
            mark = self._chat.history.mark(action, me.uid, message["conversationId"])
            return bool(message["sender"] != me.uid and int(message["id"]) > mark)

        return fits

    def _unread(self, uid: str, conversation: str) -> Dict[str, Any]:
        """Return the number of unread messages in a conversation."""
        latest = self._chat.history.latest(uid, conversation)
        if latest is None:
            return {"count": 0}
        count = len(self._chat.history.unread(uid, conversation))
        return {"entityType": latest["receiverType"], "entityId": other_side(latest, uid), "count": count}


#: Parameters that are not filters: the start and the length of the page, and parameters that use the user's marks.
_PARAMETERS = (
    "affix",
    "id",
    "sentAt",
    "per_page",
    "limit",
    "unread",
    "undelivered",
    "count",
    "conversationId",
    "withThreadSubscribed",
    # These change nothing, since every message has its tags and the mentioned users. Not confirmed: the effect of
    # withParent.
    "withTags",
    "withParent",
    "mentionsWithTagInfo",
    "mentionsWithBlockedInfo",
)


def _affix(request: ApiRequest, default: str) -> str:
    """Return the direction: ``append`` for newer, ``prepend`` for older messages."""
    affix = request.query.get("affix", default)
    if affix not in ("append", "prepend"):
        raise bad_request("affix", "must be append or prepend")
    return affix
