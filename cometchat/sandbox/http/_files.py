"""The route that hands out addresses for uploads."""

from __future__ import annotations

import time
from typing import Any, Dict, List

from .._app import App
from ..chat._errors import bad_request, refusal
from ..chat._users import User
from ._request import ApiRequest
from ._routes import Route
from ._uploads import Limits, Uploads


class FileRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, app: App, uploads: Uploads) -> None:
        self._app = app
        self._uploads = uploads

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        return [Route("POST", "/files/upload-url", self._upload_url)]

    def _upload_url(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        fields = request.fields
        files = fields.get("files")
        if not isinstance(files, dict) or not files:
            raise bad_request("files", "is missing, or not an object of files by their ids")
        if "receiver" in fields:
            if not isinstance(fields["receiver"], str):
                raise refusal("ERR_EMPTY_RECEIVER")
            self._app.chat.conversations.to(me.uid, fields["receiver"], fields.get("receiverType", "user"))
        return self._uploads.prepare(files, request.address.url, Limits.of(self._app.features.parameters), time.time())
