"""The routes of phone calls."""

from __future__ import annotations

from typing import Any, Dict, List

from ..chat import Chat
from ..chat._users import User
from ._request import ApiRequest
from ._routes import Route


class CallRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._calls = chat.calls

    @property
    def routes(self) -> List[Route]:
        """The routes. Android's client sends a PUT, and a page of the vendor's names a PATCH."""
        return [
            Route("POST", "/calls", self._start),
            Route("PUT", "/calls/{id}", self._change),
            Route("PATCH", "/calls/{id}", self._change),
            Route("PATCH", "/calls/{id}/type", self._change_type),
        ]

    def _start(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        return self._calls.start(me.uid, request.fields, request.resource)

    def _change(self, request: ApiRequest, me: User, session_id: str) -> Dict[str, Any]:
        return self._calls.change(session_id, request.fields.get("status"), me.uid, request.resource)

    def _change_type(self, request: ApiRequest, me: User, session_id: str) -> Dict[str, Any]:
        return self._calls.change_type(session_id, request.fields.get("type"), me.uid)
