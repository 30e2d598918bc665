"""The views: what :mod:`cometchat.contrib.web` answers, as Django's responses. They are open to everybody who asks.

Who may see the status is the site's to say: ``login_required(views.status)`` in a urlconf of its own.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterator, Optional, TypeVar, cast

from django.contrib.auth import decorators
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from ..web import Answer, StreamAnswer, component_answer
from ..web._asgi import Streams
from ..web._wsgi import events_answer
from ._process import get_feed, serving

V = TypeVar("V", bound=Callable[..., HttpResponseBase])

_streams: Optional[Streams] = None


def _open(view: V) -> V:
    """LoginRequiredMiddleware (from Django 5.1 on) lets it through: a load balancer has no login."""
    allow: Any = getattr(decorators, "login_not_required", None)
    return view if allow is None else cast(V, allow(view))


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """The status as JSON."""
    return _response(get_feed().status_answer())


@require_safe
def events(request: HttpRequest) -> HttpResponseBase:
    """Server-sent events: the status, at once and at each change. 204 where the server can't hold a stream."""
    feed = get_feed()
    is_async = isinstance(request, ASGIRequest)
    if is_async:  # all of them hold one thread
        answer = feed.events_answer(True, sys.maxsize)
    else:
        answer = events_answer(feed, request.META, serving.configuration.max_streams)
    if isinstance(answer, Answer):
        return _response(answer)
    if request.method == "HEAD":
        return _response(Answer(answer.status, answer.content_type, "", answer.headers))
    body: Any = _streams_of(feed).events() if is_async else _encoded(answer)
    response = StreamingHttpResponse(body, status=answer.status, content_type=answer.content_type)
    _set_headers(response, answer)
    # GZipMiddleware would hold the events back.
    response.headers["Content-Encoding"] = "identity"
    return response


@_open
@require_safe
def health(request: HttpRequest, probe: str = "ready") -> HttpResponse:
    """For load balancers and Kubernetes: 200 or 503. ``live`` asks whether a new process would help."""
    return _response(get_feed().health_answer(probe))


@_open
@require_safe
def script(request: HttpRequest) -> HttpResponse:
    """The component's JavaScript."""
    return _response(component_answer(request.headers.get("If-None-Match")))


def _streams_of(feed: Any) -> Streams:
    global _streams
    if _streams is None or _streams.feed is not feed:
        _streams = Streams(feed)
    return _streams


def _encoded(answer: StreamAnswer) -> Iterator[bytes]:
    """Django closes a generator when the browser has gone, and this one closes the feed's."""
    body = answer.body
    try:
        for piece in body:
            yield piece.encode()
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)
    _set_headers(response, answer)
    return response


def _set_headers(response: HttpResponseBase, answer: Any) -> None:
    for name, value in answer.headers.items():
        response.headers[name] = value
