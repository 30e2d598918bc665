"""The calls of the HTTP API about messages, reactions and the history. Loop thread only."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Optional

from . import errors
from .http_call import Call, Listing, Route, WhoIs
from .messages import DEFAULT_PAGE, LARGEST_PAGE, PageQuery
from .messaging import Messaging
from .posting import conversation_of_users
from .state import State


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

    def _react(self, call: Call, message_id: str, reaction: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.react(message_id, uid, reaction, call.resource, added=True)

    def _unreact(self, call: Call, message_id: str, reaction: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._messaging.react(message_id, uid, reaction, call.resource, added=False)

    def _history(self, call: Call) -> Listing:
        uid = self._who_is(call)
        if "uid" in call.query:
            return self._history_with(call, call.query["uid"])
        if "guid" in call.query:
            return self._history_of(call, call.query["guid"])
        return self._page(call, uid)

    def _history_with(self, call: Call, other: str) -> Listing:
        uid = self._who_is(call)
        self._state.accounts.of(other)
        return self._page(call, uid, conversation_of_users(uid, other))

    def _history_of(self, call: Call, guid: str) -> Listing:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        group.member(uid)
        return self._page(call, uid, group.conversation)

    def _page(self, call: Call, uid: str, conversation: str = "") -> Listing:
        query = _query(call)
        messages = self._state.messages.page(uid, query, conversation)
        # Not confirmed: when the live service leaves which of the three out.
        meta: Dict[str, Any] = {"current": {"limit": query.limit, "count": len(messages)}}
        if messages:
            meta["previous"] = {"affix": "prepend", "id": messages[0]["id"], "sentAt": messages[0]["sentAt"]}
            meta["next"] = {"affix": "append", "id": messages[-1]["id"], "sentAt": messages[-1]["sentAt"]}
        elif query.id is not None:
            meta["next"] = {"affix": "append", "id": str(query.id)}
        return Listing(messages, meta)


def _query(call: Call) -> PageQuery:
    affix = call.query.get("affix", "prepend")
    if affix not in ("append", "prepend"):
        raise errors.bad_request("The affix is neither append nor prepend.")
    limit = _number(call, "per_page")
    if limit == 0:
        raise errors.bad_request("per_page is 0.")
    return PageQuery(
        affix,
        _number(call, "id"),
        _number(call, "sentAt"),
        DEFAULT_PAGE if limit is None else min(limit, LARGEST_PAGE),
        _texts(call, "category", "categories"),
        _texts(call, "type", "types"),
    )


def _number(call: Call, name: str) -> Optional[int]:
    text = call.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise errors.bad_request(f"{name} is not a whole number.")
    return int(text)


def _texts(call: Call, *names: str) -> FrozenSet[str]:
    """The values of parameters that may be given several times, or several in one with commas between."""
    given = [value for name in names for value in call.query.getall(name, [])]
    return frozenset(item for value in given for item in value.split(",") if item)
