"""The filters of the history: one for each parameter of its query that selects messages."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, FrozenSet

from ..chat._history import Message
from ..chat._users import User
from ._request import ApiRequest
from ._routes import fits_tags

#: Looks at a message as the requesting user sees it.
Filter = Callable[[Message], bool]
_Maker = Callable[[ApiRequest, User], Filter]

_LINK = re.compile(r"\b(https?://|www\.)\S", re.IGNORECASE)
#: The types of attachments that have their own name. Any other one is a file.
_MEDIA = ("image", "video", "audio")


def _in(field: str, *names: str) -> _Maker:
    """Make a filter for messages whose field has one of the values of these parameters."""

    def make(request: ApiRequest, me: User) -> Filter:
        wanted = request.texts(*names)
        return lambda message: not wanted or message.get(field) in wanted

    return make


def _any_of(name: str, values: Callable[[Message], FrozenSet[str]]) -> _Maker:
    """Make a filter for messages with one of the wanted values."""

    def make(request: ApiRequest, me: User) -> Filter:
        wanted = request.texts(name)
        return lambda message: not wanted or not wanted.isdisjoint(values(message))

    return make


def _has(name: str, found: Filter) -> _Maker:
    """Make a filter that is on if the parameter is set."""
    return lambda request, me: found if request.flag(name) else lambda message: True


def _time(name: str, field: str, fits: Callable[[int, int], bool]) -> _Maker:
    """Make a filter for the time of a message, in seconds."""

    def make(request: ApiRequest, me: User) -> Filter:
        wanted = request.number(name) or 0
        return lambda message: fits(message[field], wanted)

    return make


def _by_word(request: ApiRequest, me: User) -> Filter:
    word = request.word
    return lambda message: word in _text(message).lower()


def _not_blocked(request: ApiRequest, me: User) -> Filter:
    hidden = request.flag("hideMessagesFromBlockedUsers")
    return lambda message: not (hidden and message["sender"] in me.blocked)


def _by_tags(request: ApiRequest, me: User) -> Filter:
    wanted = request.texts("tags")
    return lambda message: fits_tags(message, wanted)


def _mentioned(request: ApiRequest, me: User) -> Filter:
    wanted = request.flag("myMentionsOnly")
    return lambda message: not wanted or me.uid in message["data"].get("mentions", ())


def _text(message: Message) -> str:
    """Return the text of a message, which is empty for an action or a call."""
    return str(message["data"].get("text") or "")


def _kinds(message: Message) -> FrozenSet[str]:
    """Return the types of a message's attachments."""
    attachments: Any = message["data"].get("attachments")
    found = [each for each in attachments if isinstance(each, dict)] if isinstance(attachments, list) else []
    mains = (str(each.get("mimeType", "")).partition("/")[0] for each in found)
    return frozenset(main if main in _MEDIA else "file" for main in mains)


def _was_changed(message: Message) -> bool:
    return "editedAt" in message or "deletedAt" in message


#: By parameter: the function that makes its filter. The sandbox refuses a parameter that neither this table nor a route
#: has.
FILTERS: Dict[str, _Maker] = {
    "category": _in("category", "category", "categories"),
    "categories": _in("category", "category", "categories"),
    "type": _in("type", "type", "types"),
    "types": _in("type", "type", "types"),
    "sender": _in("sender", "sender"),
    "receiverType": _in("receiverType", "receiverType"),
    "tags": _by_tags,
    "searchKey": _by_word,
    "fromTimestamp": _time("fromTimestamp", "sentAt", lambda sent, wanted: sent >= wanted),
    "toTimestamp": _time("toTimestamp", "sentAt", lambda sent, wanted: sent <= wanted),
    # Includes that second. A client that asks for the next page also sends an id, which excludes the known messages.
    "updatedAt": _time("updatedAt", "updatedAt", lambda updated, wanted: updated >= wanted),
    "onlyUpdates": _has("onlyUpdates", _was_changed),
    "hideReplies": _has("hideReplies", lambda message: "parentId" not in message),
    "hideDeleted": _has("hideDeleted", lambda message: "deletedAt" not in message),
    "hideQuotedMessages": _has("hideQuotedMessages", lambda message: "quotedMessage" not in message),
    "onlyDeleted": _has("onlyDeleted", lambda message: "deletedAt" in message),
    "hasAttachments": _has("hasAttachments", lambda message: bool(message["data"].get("attachments"))),
    "attachmentTypes": _any_of("attachmentTypes", _kinds),
    "hasLinks": _has("hasLinks", lambda message: _LINK.search(_text(message)) is not None),
    "hasMentions": _has("hasMentions", lambda message: bool(message["data"].get("mentions"))),
    "mentionedUids": _any_of("mentionedUids", lambda message: frozenset(message["data"].get("mentions", ()))),
    "hasReactions": _has("hasReactions", lambda message: bool(message["data"].get("reactions"))),
    "myMentionsOnly": _mentioned,
    "hideMessagesFromBlockedUsers": _not_blocked,
    "pinned": _has("pinned", lambda message: "pinnedAt" in message),
    "saved": _has("saved", lambda message: "savedAt" in message),
}
