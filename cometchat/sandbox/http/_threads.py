"""The routes of threads, without the replies themselves."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Optional

from ..chat import Chat
from ..chat._threads import MessageThread
from ..chat._users import User
from ._request import ApiRequest
from ._routes import DEFAULT_ITEMS, Listing, Route, done

_LISTED = ("participatedByMe", "limit", "affix", "updatedAt", "id")


class ThreadRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        subscription = "/messages/{id}/thread/subscription"
        return [
            Route("POST", subscription, self._subscribe),
            Route("DELETE", subscription, self._unsubscribe),
            Route("GET", "/threads", self._list, _LISTED),
            Route("GET", "/users/{uid}/threads", partial(self._list_with, "user"), _LISTED),
            Route("GET", "/groups/{guid}/threads", partial(self._list_with, "group"), _LISTED),
        ]

    def _subscribe(self, request: ApiRequest, me: User, message_id: str) -> Dict[str, Any]:
        self._chat.messages.seen(message_id, me.uid)
        self._chat.threads.subscribe(message_id, [me.uid])
        return done("You are subscribed to the thread.")

    def _unsubscribe(self, request: ApiRequest, me: User, message_id: str) -> Dict[str, Any]:
        self._chat.messages.seen(message_id, me.uid)
        self._chat.threads.unsubscribe(message_id, me.uid)
        return done("You are no longer subscribed to the thread.")

    def _list_with(self, kind: str, request: ApiRequest, me: User, other: str) -> Listing:
        return self._list(request, me, self._chat.conversations.of(me.uid, other, kind).id)

    def _list(self, request: ApiRequest, me: User, conversation: Optional[str] = None) -> Listing:
        found = self._chat.threads.of(me.uid, conversation, subscribed=request.flag("participatedByMe"))
        updated_at, number = request.number("updatedAt"), request.number("id")
        if updated_at is not None:
            # Like on the live service, the page repeats the thread of the cursor at its beginning.
            start = (updated_at, updated_at if number is None else number)
            found = [thread for thread in found if thread.order <= start]
        limit = request.limit("limit", DEFAULT_ITEMS)
        page = [self._shown(thread, me) for thread in found[:limit]]
        meta: Dict[str, Any] = {"current": {"limit": limit, "count": len(page)}}
        if page:
            meta["next"] = {"affix": "append", "updatedAt": page[-1]["updatedAt"], "id": page[-1]["id"]}
        return Listing(page, meta)

    def _shown(self, thread: MessageThread, me: User) -> Dict[str, Any]:
        """Return a thread: its parent, with the last reply, and with the thread's time in place of the parent's."""
        views = self._chat.publisher.views
        parent = views.of(thread.parent, me.uid)
        return {
            **parent,
            "lastReply": views.of(thread.last_reply, me.uid),
            "updatedAt": thread.order[0],
            "unreadReplyCount": parent["unreadRepliesCount"],
            "threadSubscribed": self._chat.threads.is_subscribed(parent["id"], me.uid),
        }
