"""The route of reports: users flag messages for the app's moderators."""

from __future__ import annotations

import time
from typing import Any, Dict, List

from .._app import App
from ..chat._errors import bad_request
from ..chat._users import User
from ._request import ApiRequest
from ._routes import Route, done


class ReportRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        return [Route("POST", "/messages/{id}/flagged", self._flag)]

    def _flag(self, request: ApiRequest, me: User, message_id: str) -> Dict[str, Any]:
        self._app.chat.messages.seen(message_id, me.uid)
        reason, remark = request.fields.get("id"), request.fields.get("remark", "")
        known = [each["id"] for each in self._app.features.flag_reasons]
        if reason not in known:
            raise bad_request("id", f"must be one of {', '.join(known)}")
        if not isinstance(remark, str):
            raise bad_request("remark", "is not a text")
        report = {"messageId": message_id, "uid": me.uid, "id": reason, "remark": remark}
        self._app.chat.reports.append({**report, "reportedAt": int(time.time())})
        return done("The message was reported.")
