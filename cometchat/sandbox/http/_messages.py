"""The calls of the HTTP API about messages, reactions and the history. Loop thread only."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from .._state import State
from ..chat import _errors as errors
from ..chat._history import DEFAULT_PAGE, PageQuery
from ..chat._messages import Messaging
from ..chat._publisher import conversation_of_users
from ._request import Call, Listing, Route, WhoIs

#: A page of the history, or, where only numbers are asked for, what is unread in each conversation.
Page = Union[Listing, List[Dict[str, Any]]]


class MessageRoutes:
    """Each answers with the ``data`` of the success envelope, or refuses with ``ApiError``."""

    def __init__(self, state: State, messaging: Messaging, who_is: WhoIs) -> None:
        self._state = state
        self._messaging = messaging
        self._who_is = who_is

    @property
    def routes(self) -> List[Route]:
        """Method, path, answer."""
        return [
            ("POST", r"/messages", self._post),
            ("GET", r"/messages", self._history),
            ("GET", r"/users/([^/]+)/messages", self._history_with),
            ("GET", r"/groups/([^/]+)/messages", self._history_of),
            ("GET", r"/messages/([^/]+)", self._get),
            ("PUT", r"/messages/([^/]+)", self._edit),
            ("DELETE", r"/messages/([^/]+)", self._delete),
            ("GET", r"/messages/([^/]+)/thread", self._thread),
            ("POST", r"/messages/([^/]+)/thread", self._reply),
            ("PATCH", r"/messages/([^/]+)/interacted", self._interact),
            ("GET", r"/messages/([^/]+)/reactions", self._reactions),
            ("GET", r"/messages/([^/]+)/reactions/([^/]+)", self._reactions),
            ("POST", r"/messages/([^/]+)/reactions/([^/]+)", self._react),
            ("DELETE", r"/messages/([^/]+)/reactions/([^/]+)", self._unreact),
        ]

    def _post(self, call: Call) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.send(uid, call.body, call.resource)

    def _get(self, call: Call, message_id: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.seen(message_id, uid)

    def _edit(self, call: Call, message_id: str) -> Dict[str, Any]:
        uid, body = self._who_is(call), call.body
        data = body.get("data") if isinstance(body, dict) else None
        return self._messaging.edit(message_id, data, uid, call.resource)

    def _delete(self, call: Call, message_id: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.delete(message_id, uid, call.resource)

    def _reply(self, call: Call, message_id: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.send(uid, call.body, call.resource, message_id)

    def _interact(self, call: Call, message_id: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        self._messaging.interact(message_id, uid, call.fields.get("interactions"), call.resource)
        return {"success": True}

    def _reactions(self, call: Call, message_id: str, reaction: Optional[str] = None) -> Listing:
        uid = self._who_is(call)
        self._messaging.seen(message_id, uid)
        limit, edge = call.limit("limit", DEFAULT_PAGE), call.number("id")
        found = self._state.reactions.of(message_id, reaction)
        if _affix(call, "append") == "append":
            found = [entry for entry in found if edge is None or int(entry.id) > edge][:limit]
        else:
            found = [entry for entry in found if edge is None or int(entry.id) < edge][-limit:]
        meta: Dict[str, Any] = {"current": {"limit": limit, "count": len(found)}}
        if found:
            meta["previous"] = {"affix": "prepend", "id": found[0].id}
            meta["next"] = {"affix": "append", "id": found[-1].id}
        return Listing([self._messaging.shown(entry) for entry in found], meta)

    def _react(self, call: Call, message_id: str, reaction: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.react(message_id, uid, reaction, call.resource, added=True)

    def _unreact(self, call: Call, message_id: str, reaction: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.react(message_id, uid, reaction, call.resource, added=False)

    def _history(self, call: Call) -> Page:
        uid = self._who_is(call)
        if "uid" in call.query:
            return self._history_with(call, call.query["uid"])
        if "guid" in call.query:
            return self._history_of(call, call.query["guid"])
        return self._page(call, uid)

    def _history_with(self, call: Call, other: str) -> Page:
        uid = self._who_is(call)
        self._state.accounts.of(other)
        return self._page(call, uid, conversation_of_users(uid, other))

    def _history_of(self, call: Call, guid: str) -> Page:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        group.member(uid)
        return self._page(call, uid, group.conversation)

    def _thread(self, call: Call, message_id: str) -> Page:
        uid = self._who_is(call)
        conversation = self._messaging.seen(message_id, uid)["conversationId"]
        return self._page(call, uid, conversation, message_id)

    def _page(self, call: Call, uid: str, conversation: str = "", parent_id: Optional[str] = None) -> Page:
        if call.query.get("unread") == call.query.get("count") == "1":
            store = self._state.messages
            found = (self._unread(uid, each) for each in ([conversation] if conversation else store.conversations(uid)))
            return [entry for entry in found if entry["count"]]
        query = _query(call, parent_id)
        messages = self._state.messages.page(uid, query, conversation)
        # Not confirmed: when the live service leaves which of them out.
        meta: Dict[str, Any] = {"current": {"limit": query.limit, "count": len(messages)}}
        if messages:
            meta["previous"] = {"affix": "prepend", "id": messages[0]["id"], "sentAt": messages[0]["sentAt"]}
            meta["next"] = {"affix": "append", "id": messages[-1]["id"], "sentAt": messages[-1]["sentAt"]}
            # What the vendor's client goes by: without it, a page is the last one. Its next call has id and sentAt.
            edge = messages[-1 if query.affix == "append" else 0]
            meta["cursor"] = {"id": int(edge["id"]), "sentAt": edge["sentAt"], "affix": query.affix}
        elif query.id is not None:
            meta["next"] = {"affix": "append", "id": str(query.id)}
        return Listing(messages, meta)

    def _unread(self, uid: str, conversation: str) -> Dict[str, Any]:
        """How much is unread in a conversation."""
        latest = self._state.messages.latest(uid, conversation)
        if latest is None:
            return {"count": 0}
        kind, other = latest["receiverType"], latest["receiver"]
        if kind == "user" and other == uid:
            other = latest["sender"]
        return {"entityType": kind, "entityId": other, "count": self._state.messages.unread(uid, conversation)}


def _query(call: Call, parent_id: Optional[str] = None) -> PageQuery:
    return PageQuery(
        _affix(call, "prepend"),
        call.number("id"),
        call.number("sentAt"),
        call.limit("per_page", DEFAULT_PAGE),
        call.texts("category", "categories"),
        call.texts("type", "types"),
        parent_id,
        call.query.get("hideReplies") in ("1", "true"),
    )


def _affix(call: Call, default: str) -> str:
    """Which way: ``append`` to what is newer, ``prepend`` to what is older."""
    affix = call.query.get("affix", default)
    if affix not in ("append", "prepend"):
        raise errors.bad_request("The affix is neither append nor prepend.")
    return affix
