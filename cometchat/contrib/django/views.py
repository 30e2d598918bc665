"""The views: Django responses with the answers of :mod:`cometchat.contrib.web`. They are open to every visitor.

To limit who can see the status, use ``login_required(views.status)`` in your urlconf.
"""

from __future__ import annotations

from typing import Any, AsyncIterator, Callable, Iterator, Mapping, Optional, TypeVar, cast

from asgiref.sync import SyncToAsync
from django.contrib.auth import decorators
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from ..web import Answer, StreamAnswer, component_answer
from ..web._answers import STREAM_HEADERS
from ..web._asgi import Page, Streams
from ..web._feed import StatusFeed
from ..web._wsgi import events_answer
from ._process import get_feed, serving

V = TypeVar("V", bound=Callable[..., HttpResponseBase])

_streams: Optional[Streams] = None


def _open(view: V) -> V:
    """Exempt a view from LoginRequiredMiddleware (Django 5.1 and later): a load balancer has no login."""
    allow: Any = getattr(decorators, "login_not_required", None)
    return view if allow is None else cast(V, allow(view))


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Answer with the status as JSON."""
    return _response(get_feed().status_answer())


@require_safe
def events(request: HttpRequest) -> HttpResponseBase:
    """Answer with server-sent events: the status now and at each change. 204 if the server can't hold a stream."""
    feed = get_feed()
    limit = serving.configuration.max_streams
    body: Any
    headers: Mapping[str, str]
    if isinstance(request, ASGIRequest):
        page = _streams_of(feed).open(limit)
        body = None if page is None else _AsyncPieces(page)
        headers = STREAM_HEADERS
    else:
        answer = events_answer(feed, request.META, limit)
        body = _Pieces(answer.body) if isinstance(answer, StreamAnswer) else None
        headers = answer.headers
    if body is None or request.method == "HEAD":
        if body is not None:
            body.close()
        return _response(Answer(204 if body is None else 200, "text/event-stream", "", headers))
    # With an encoding, GZipMiddleware leaves the events alone, which it would delay.
    headers = {**headers, "Content-Encoding": "identity"}
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=headers)


class _Pieces:
    """A page's stream that does not occupy a database connection, which middleware may have opened."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        close_old_connections()
        yield from self._pieces

    def close(self) -> None:
        """End the stream."""
        self._pieces.close()


class _AsyncPieces:
    """A page's stream that does not occupy a thread of Django, nor a database connection."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def __aiter__(self) -> AsyncIterator[str]:
        _release_thread()
        async for piece in self._page:
            yield piece

    def close(self) -> None:
        """End the stream."""
        self._page.close()


def _release_thread() -> None:
    """End the thread that Django keeps for the synchronous code of this request, and its database connections.

    Signals, middleware and views ran on it. It would stay as long as the stream. The end of the request gets a new
    thread, on which Django does not find these connections. Runs on the event loop, in the context of the request.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or getattr(context, "_executor", None) is not None:  # not Django's
        return
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.submit(close_old_connections)
        executor.shutdown(wait=False)


@_open
@require_safe
def health(request: HttpRequest, probe: str = "ready") -> HttpResponse:
    """Answer load balancers and Kubernetes with 200 or 503. ``live`` asks whether a new process would help."""
    return _response(get_feed().health_answer(probe))


@_open
@require_safe
def script(request: HttpRequest) -> HttpResponse:
    """Answer with the component's JavaScript."""
    return _response(component_answer(request.headers.get("If-None-Match")))


def _streams_of(feed: StatusFeed) -> Streams:
    global _streams
    if _streams is None or _streams.feed is not feed:
        _streams = Streams(feed)
    return _streams


def _response(answer: Answer) -> HttpResponse:
    headers = dict(answer.headers)
    return HttpResponse(answer.body, status=answer.status, content_type=answer.content_type, headers=headers)
