"""What a web application answers about its client: the status, a stream of its changes, its health, and the indicator.

Knows no framework. The standard library, and public names of ``cometchat`` only: the modules for frameworks turn an
:class:`Answer` into a response of theirs, and hold no rule of their own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
import time
import weakref
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, Type, Union

from cometchat import (
    Client,
    CometChat,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    LoginListener,
    User,
)

from .._arguments import wrong
from ._component import COMPONENT_ETAG, component_script, status_tag

__all__ = [
    "Answer",
    "AnyClient",
    "COMPONENT_ETAG",
    "DEFAULT_MAX_AGE",
    "DEFAULT_MAX_STREAMS",
    "StatusFeed",
    "StreamAnswer",
    "component_answer",
    "component_script",
    "status_report",
    "status_tag",
]

logger = logging.getLogger("cometchat.web")

#: What has the public methods: a client, or the class with the process's shared one.
AnyClient = Union[Client, Type[CometChat]]

#: Streams of a process, where nothing else is said: each holds a thread of the server, of which there may be only four.
DEFAULT_MAX_STREAMS = 2

#: Seconds after which a stream ends; the browser opens the next. Below the 30 s that gunicorn gives a worker to end.
DEFAULT_MAX_AGE = 25.0

#: Seconds between a stream's own looks: a listener that holds the dispatcher thread up must not make the page lie.
_LOOK = 0.5

#: Milliseconds after which a browser without the component opens a stream again.
_RETRY = 1000

_UP = (CometChatWSState.CONNECTED, CometChatWSState.FEATURE_THROTTLED)

_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Answer:
    """What to answer to a request."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class StreamAnswer:
    """The same, where the body comes piece by piece. Close the iterator when the browser has gone."""

    status: int
    content_type: str
    body: Iterator[str]
    headers: Mapping[str, str]


def status_report(client: AnyClient, since: Optional[float] = None) -> Dict[str, Any]:
    """The status for a page: JSON-able, without secrets. Any thread; makes no call.

    :param client: a Client, or CometChat, before ``init`` too.
    :param since: Unix seconds of the last change, where they are known: a :class:`StatusFeed` knows.
    :returns: ``status``; ``since`` (ISO 8601, UTC, or None); ``reason``: None, or while the connection is down the
        newest error's ``code`` and ``message``; ``user``: the uid, or None.
    """
    return _report(client, since)


def _report(
    client: AnyClient,
    since: Optional[float],
    passed: Optional[CometChatException] = None,
    login_error: Optional[CometChatException] = None,
) -> Dict[str, Any]:
    status = client.get_connection_status()
    user, error = _user_and_error(client)
    reason = None
    if error is None or error is passed:
        error = login_error if user is None else None
    if error is not None and status not in _UP:
        reason = {"code": error.code, "message": error.message}
    return {"status": status.value, "since": _iso(since), "reason": reason, "user": user}


def _user_and_error(client: AnyClient) -> Tuple[Optional[str], Optional[CometChatException]]:
    try:
        info = client.connection_info()
        return info.uid, info.last_error
    except CometChatException as closed_or_not_begun:
        return None, closed_or_not_begun


def _iso(seconds: Optional[float]) -> Optional[str]:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class StatusFeed:
    """The status of a client for any number of pages: one listener on the client, one per process.

    All methods may be called from any thread. In the child of a fork it goes on, without the parent's streams.

    :param client: a Client, or CometChat. It is never closed by the feed.
    :param keep_alive: seconds (> 0) between signs of life on a stream.
    :param max_streams: how many streams (>= 0) may be open in this process: below the number of the server's threads.
    :param max_age: seconds (> 0) after which a stream ends, so that its thread is freed and its worker can stop.
    :raises CometChatException: ``INVALID_<PARAMETER>``; ``ERR_CLIENT_CLOSED``.
    """

    def __init__(
        self,
        client: AnyClient,
        *,
        keep_alive: float = 10.0,
        max_streams: int = DEFAULT_MAX_STREAMS,
        max_age: float = DEFAULT_MAX_AGE,
    ) -> None:
        if not isinstance(client, Client) and client is not CometChat:
            raise wrong("client", f"give a Client or the class CometChat, not {type(client).__name__}")
        self._client = client
        self._keep_alive = _seconds("keep_alive", keep_alive)
        self._alive = f"event: alive\ndata: {self._keep_alive:g}\n\n"
        self._max_age = _seconds("max_age", max_age)
        if isinstance(max_streams, bool) or not isinstance(max_streams, int) or max_streams < 0:
            raise wrong("max_streams", "give a whole number from 0")
        self._max_streams = max_streams
        self._closed = False
        self._warned = False
        self._status = client.get_connection_status()
        self._since = time.time()
        # The newest error when the connection was last up: no reason of what comes after.
        self._passed = _user_and_error(client)[1] if self._status in _UP else None
        self._login_error: Optional[CometChatException] = None
        # A status that a stream saw before the listener was told of it: that call is no change then.
        self._untold: Optional[CometChatWSState] = None
        self._version = 0
        self.begin_anew()
        self._registration = contextlib.ExitStack()
        self._registration.enter_context(client.connection_listener(_Waker(self)))
        login_id = f"cometchat-status-{id(self)}"
        client.add_login_listener(login_id, _LoginWaker(self))
        self._registration.callback(client.remove_login_listener, login_id)
        _feeds.add(self)

    def begin_anew(self) -> None:
        """In the child of a fork, by itself: the lock may be a thread's that is not here, and so are the streams."""
        self._changed = threading.Condition()
        self._streams = 0

    def report(self) -> Dict[str, Any]:
        """:func:`status_report`, with the time of the last change, and without an error that a connection has ended."""
        return _report(self._client, self._look()[1], self._passed, self._login_error)

    def status_answer(self) -> Answer:
        """The report as JSON, not to be cached."""
        return Answer(200, "application/json", json.dumps(self.report()), dict(_NO_STORE))

    def events(self, gone: Optional[Callable[[], bool]] = None) -> Iterator[str]:
        """A stream of server-sent events: at once the status, then the status at each change.

        Events: ``status``, whose data is the report as JSON; ``alive``, whose data is the seconds to the next sign of
        life (a comment would do for proxies, but a page can't see comments). Ends at :meth:`close`, at its greatest
        age, and when it is closed; the thread that takes from it waits in between.

        :param gone: asked every half second: has the browser gone? Else that is noticed at the second piece after it.
        """
        with self._changed:
            self._streams += 1
        try:
            yield f"retry: {_RETRY}\n" + self._alive
            yield from self._reports(time.monotonic() + self._max_age * random.uniform(0.8, 1.0), gone)  # nosec B311
        finally:
            with self._changed:
                self._streams -= 1

    def _reports(self, end: float, gone: Optional[Callable[[], bool]]) -> Iterator[str]:
        seen: Optional[int] = None
        next_alive = time.monotonic() + self._keep_alive
        while not (self._closed or time.monotonic() >= end or (gone is not None and gone())):
            version = self._look()[0]
            if version != seen:
                seen = version
                yield f"event: status\ndata: {json.dumps(self.report())}\n\n"
            elif time.monotonic() >= next_alive:
                next_alive = time.monotonic() + self._keep_alive
                yield self._alive
            else:
                self._wait(version, min(_LOOK, next_alive - time.monotonic(), end - time.monotonic()))

    def events_answer(
        self, concurrent: bool, max_streams: Optional[int] = None, gone: Optional[Callable[[], bool]] = None
    ) -> Union[Answer, StreamAnswer]:
        """The stream; or 204, which ends a browser's wish for one, so that the component asks for the JSON instead.

        :param concurrent: the server can hold a stream beside other requests: WSGI's ``wsgi.multithread``.
        :param max_streams: in place of the feed's own, where the server is known to bear more.
        :param gone: as in :meth:`events`.
        """
        headers = {**_NO_STORE, "X-Accel-Buffering": "no"}
        if not concurrent or self._closed or self._is_full(self._max_streams if max_streams is None else max_streams):
            return Answer(204, "text/event-stream", "", headers)
        return StreamAnswer(200, "text/event-stream", self.events(gone), headers)

    def _is_full(self, limit: int) -> bool:
        if self._streams < limit:
            return False
        if not self._warned and limit:
            self._warned = True
            logger.info(
                "%d status streams are open in this process: further pages ask every few seconds instead. max_streams"
                " may be higher, as long as it is below the number of the server's threads.",
                limit,
            )
        return True

    def health_answer(self, probe: str = "ready") -> Answer:
        """For load balancers and Kubernetes: 200 or 503, and why, as ``application/health+json``.

        :param probe: ``"ready"``: 200 while the connection is up, throttled or not. ``"live"``: 503 once the client is
            closed or its threads are gone, which a new process cures; an outage it does not.
        :raises CometChatException: ``INVALID_PROBE``.
        """
        if probe not in ("live", "ready"):
            raise wrong("probe", 'give "live" or "ready"')
        report = self.report()
        status, reason = report["status"], report["reason"]
        grade = {"connected": "pass", "featureThrottled": "warn"}.get(status, "fail")
        check: Dict[str, Any] = {"componentType": "component", "observedValue": status, "status": grade}
        check["time"] = report["since"]
        if reason is not None:
            check["output"] = f"{reason['code']}: {reason['message']}"
        if probe == "live":
            grade = "pass" if self._is_live(reason) else "fail"
        body = {"status": grade, "checks": {"cometchat:connection": [check]}}
        return Answer(503 if grade == "fail" else 200, "application/health+json", json.dumps(body), dict(_NO_STORE))

    def _is_live(self, reason: Optional[Mapping[str, str]]) -> bool:
        if reason is not None and reason["code"] == "ERR_CLIENT_CLOSED":
            return False
        if self._status is CometChatWSState.DISCONNECTED:
            return True
        return any(thread.name.startswith("cometchat-") for thread in threading.enumerate())

    def close(self) -> None:
        """End the streams and the registration of the listener. Does not wait; again: nothing."""
        self._closed = True
        self._registration.close()
        with self._changed:
            self._changed.notify_all()

    # --- the status, and its changes

    def _look(self, told: Optional[CometChatWSState] = None, *, error: bool = False) -> Tuple[int, float]:
        """Take the status as it is now; returns the change's number and its time.

        :param told: what a listener's call told of: the status may be a later one by now, and that one counts.
        """
        status = self._client.get_connection_status()
        if status in _UP and (status is not self._status or told is status):
            self._passed = _user_and_error(self._client)[1]
        with self._changed:
            if status is not self._status:
                self._status, self._since = status, time.time()
                self._untold = status if told is not status else None
            elif told is status and status is not self._untold:
                self._since = time.time()
            elif not error:
                self._untold = None if told is status else self._untold
                return self._version, self._since
            self._version += 1
            self._changed.notify_all()
            return self._version, self._since

    def _wait(self, version: int, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._version != version, max(0.0, timeout))

    def notice(self, told: Optional[CometChatWSState]) -> None:
        """The client's listener was called: of a status, or None: of an error or a login. For the listener alone."""
        self._look(told, error=told is None)

    def notice_login(self, error: Optional[CometChatException]) -> None:
        """The same of a login: how it failed, or None."""
        self._login_error = error
        self.notice(None)


class _Waker(ConnectionListener):
    """Runs on the dispatcher thread, and only wakes the streams."""

    def __init__(self, feed: StatusFeed) -> None:
        self._feed = feed

    def on_connecting(self) -> None:
        self._feed.notice(CometChatWSState.CONNECTING)

    def on_connected(self) -> None:
        self._feed.notice(CometChatWSState.CONNECTED)

    def on_feature_throttled(self) -> None:
        self._feed.notice(CometChatWSState.FEATURE_THROTTLED)

    def on_disconnected(self) -> None:
        self._feed.notice(CometChatWSState.DISCONNECTED)

    def on_connection_error(self, error: CometChatException) -> None:
        self._feed.notice(None)


class _LoginWaker(LoginListener):
    def __init__(self, feed: StatusFeed) -> None:
        self._feed = feed

    def login_success(self, user: User) -> None:
        self._feed.notice_login(None)

    def login_failure(self, error: CometChatException) -> None:
        self._feed.notice_login(error)

    def logout_success(self) -> None:
        self._feed.notice_login(None)


_feeds: weakref.WeakSet[StatusFeed] = weakref.WeakSet()


def _after_fork() -> None:
    for feed in list(_feeds):
        feed.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# The web component.


def component_answer(if_none_match: Optional[str] = None) -> Answer:
    """The script; 304 to a browser that has it already.

    :param if_none_match: the request's header of this name.
    """
    headers = {"Cache-Control": "no-cache", "ETag": COMPONENT_ETAG, "X-Content-Type-Options": "nosniff"}
    if if_none_match is not None and COMPONENT_ETAG in if_none_match:
        return Answer(304, "text/javascript; charset=utf-8", "", headers)
    return Answer(200, "text/javascript; charset=utf-8", component_script(), headers)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
        raise wrong(name, "give seconds, above 0 and at most 86400")
    return float(value)
