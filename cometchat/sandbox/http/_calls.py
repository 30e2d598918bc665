"""The calls of the HTTP API about calls. Loop thread only."""

from __future__ import annotations

from typing import Any, Dict, List

from ..chat._calls import Calling
from ._request import Call, Route, WhoIs


class CallRoutes:
    """Each answers with the ``data`` of the success envelope, or refuses with ``ApiError``."""

    def __init__(self, calling: Calling, who_is: WhoIs) -> None:
        self._calling = calling
        self._who_is = who_is

    @property
    def routes(self) -> List[Route]:
        """Method, path, answer."""
        return [("POST", r"/calls", self._start), ("PUT", r"/calls/([^/]+)", self._change)]

    def _start(self, call: Call) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._calling.start(uid, call.body, call.resource)

    def _change(self, call: Call, session_id: str) -> Dict[str, Any]:
        uid, body = self._who_is(call), call.body
        status = body.get("status") if isinstance(body, dict) else None
        return self._calling.change(session_id, status, uid, call.resource)
