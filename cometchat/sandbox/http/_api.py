"""The HTTP API: the route of a request, the callers that may use it, and the envelopes. Loop thread only."""

from __future__ import annotations

import json
from typing import Any, List, Optional, Tuple

from .._api_paths import VERSIONS
from .._app import App
from ..chat import ApiError
from ..chat._errors import refusal
from ._admin import AdminRoutes
from ._callers import FOR_USERS, Callers
from ._calls import CallRoutes
from ._conversations import ConversationRoutes
from ._device import header_problems
from ._files import FileRoutes
from ._groups import GroupRoutes
from ._login import HEADLESS, LoginRoutes
from ._messages import MessageRoutes
from ._reports import ReportRoutes
from ._request import ApiRequest
from ._routes import Listing, Route
from ._threads import ThreadRoutes
from ._uploads import Uploads
from ._users import UserRoutes


class Api:
    """Answers requests with the success envelope, and refuses them with ``ApiError``."""

    def __init__(self, app: App, uploads: Uploads) -> None:
        self._app = app
        self._callers = Callers(app)
        self._login = LoginRoutes(app)
        self.routes: List[Route] = [
            *self._login.routes,
            *UserRoutes(app.chat).routes,
            *AdminRoutes(app.chat).routes,
            *ConversationRoutes(app.chat).routes,
            *MessageRoutes(app.chat).routes,
            *ThreadRoutes(app.chat).routes,
            *ReportRoutes(app).routes,
            *GroupRoutes(app.chat).routes,
            *CallRoutes(app.chat).routes,
            *FileRoutes(app, uploads).routes,
        ]

    def answer(self, request: ApiRequest) -> str:
        """Return the success envelope as text.

        :raises ApiError: the request is refused.
        """
        data = self._data(request)
        if isinstance(data, Listing):
            return json.dumps({"data": data.data, "meta": data.meta})
        return json.dumps({"data": data})

    def _data(self, request: ApiRequest) -> Any:
        app_id = request.headers.get("appId", self._app.app_id if request.is_of_back_end else "")
        if not app_id:
            raise refusal("AUTH_ERR_EMPTY_APPID")
        if app_id != self._app.app_id:
            raise refusal("AUTH_ERR_INVALID_APPID", app_id=app_id)
        is_headless = request.path.endswith(HEADLESS)  # these have versions of their own, like extensions
        if not is_headless and request.extension is None and request.version not in VERSIONS:
            raise refusal("ERR_INVALID_API_VERSION", version=request.version)
        if not is_headless and not request.is_of_back_end:
            self._login.violations(request, header_problems(request))
        found = self._find(request) if request.extension is None else None
        if found is None:
            return self._canned(request)
        route, parts = found
        user = self._callers.find(request, route.audience)
        if route.feature is not None and not self._app.features.parameters.get(route.feature):
            raise refusal("ERR_FEATURE_NOT_ACCESSIBLE", feature=route.feature)
        request.check_query(route.query)
        return route.answer(request, user, *parts)

    def _find(self, request: ApiRequest) -> Optional[Tuple[Route, Tuple[str, ...]]]:
        for route in self.routes:
            parts = route.match(request.method, request.path)
            if parts is not None:
                return route, parts
        return None

    def _canned(self, request: ApiRequest) -> Any:
        extension, method, path = request.extension, request.method, request.path
        canned = self._app.answers.find(method, path, extension)
        if canned is None:
            code = "ERR_API_NOT_FOUND" if extension is None else "ERR_EXTENSION_NOT_FOUND"
            raise refusal(code, method=method, path=path, extension=extension or "")
        self._callers.find(request, FOR_USERS)
        return canned.data


def error_text(error: ApiError) -> str:
    """Return the error envelope as text."""
    return json.dumps(error.envelope)
