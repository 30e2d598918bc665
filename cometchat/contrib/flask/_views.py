"""The views, and the status light for templates."""

from __future__ import annotations

from typing import Any, Callable, Optional, Union

from flask import Blueprint, Response, abort, request, url_for
from markupsafe import Markup, escape

from ..web._answers import Answer, StreamAnswer, component_answer
from ..web._component import status_tag
from ..web._serving import Serving
from ..web._wsgi import events_answer


def _response(answer: Union[Answer, StreamAnswer]) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), content_type=answer.content_type)


def blueprint(serving: Serving, guard: Optional[Callable[[], Any]]) -> Blueprint:
    """Return the views of one application.

    :param guard: see :class:`CometChatFlask`.
    """
    views = Blueprint("cometchat", __name__)

    def guarded(answer: Callable[[], Union[Answer, StreamAnswer]]) -> Any:
        refused = None if guard is None else guard()
        return _response(answer()) if refused is None else refused

    @views.get("/status")
    def status() -> Any:
        return guarded(serving.feed.status_answer)

    @views.get("/events")
    def events() -> Any:
        return guarded(lambda: events_answer(serving.feed, request.environ, serving.configuration.max_streams))

    @views.get("/health")
    @views.get("/health/<probe>")
    def health(probe: str = "ready") -> Any:
        if probe not in ("live", "ready"):
            abort(404)
        return guarded(lambda: serving.feed.health_answer(probe))

    @views.get("/cometchat-status.js")
    def script() -> Response:
        return _response(component_answer(request.headers.get("If-None-Match")))

    return views


def cometchat_status(nonce: object = None, **attributes: object) -> Markup:
    """Render the light: ``{{ cometchat_status() }}``. Needs a request or ``SERVER_NAME``, like ``url_for``.

    :param nonce: of the page's content security policy, for the script.
    :param attributes: of the tag, with underscores for hyphens: ``text_connected="Verbunden"``. True sets an attribute
        without a value; False leaves it out.
    :raises CometChatException: ``INVALID_ATTRIBUTES``.
    """
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    tag = status_tag(url_for("cometchat.events"), url_for("cometchat.status"), given)
    source = escape(url_for("cometchat.script"))
    allowed = f' nonce="{escape(nonce)}"' if nonce else ""
    # Each value is escaped by status_tag() and escape().
    return Markup(f'<script src="{source}"{allowed} defer></script>{tag}')  # nosec B704
