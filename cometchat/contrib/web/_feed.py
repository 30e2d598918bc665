"""The status of a client for any number of pages: as JSON, as a stream of its changes, and as a health check.

It uses no framework. The packages for frameworks convert an :class:`Answer` to their response, without decisions.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import threading
import time
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Set, Union

from cometchat import CometChatException, CometChatWSState, LoginListener
from cometchat._fork import ForkSafe, Layer, register
from cometchat._status_listener import status_listener
from cometchat.exceptions import ERR_CLIENT_CLOSED, unusable

from ..._log import SafeLog
from .._arguments import AnyClient, check_client
from .._fork_lock import ForkLock
from ._answers import NO_STORE, STREAM_HEADERS, Answer, CountedStream, Slot, StreamAnswer
from ._report import UP, report_of, user_error_and_leader, without_details

logger = SafeLog(logging.getLogger("cometchat.web"))

#: Maximum number of streams in a process, if the number of the server's threads is unknown. Each occupies a thread.
DEFAULT_MAX_STREAMS = 2

#: Maximum age of a stream, in seconds; the browser then opens the next one. Less than gunicorn's 30 s for a worker.
DEFAULT_MAX_AGE = 25.0

#: Interval in which a stream reads the status itself, in seconds, because the listener may be called late.
_LOOK = 0.5

#: Time after which a browser without the component reopens a stream, in milliseconds.
_RETRY = 1000


class _Seen(NamedTuple):
    """A status.

    :ivar version: number of changes so far.
    :ivar since: Unix seconds at which the feed noticed the status.
    """

    version: int
    status: CometChatWSState
    since: float


class StatusFeed(ForkSafe):
    """The status of a client for any number of pages: one listener on the client, one feed per process.

    Any thread may call any method. In the child of a fork the feed still works, without the parent's streams.

    :param client: a Client, or CometChat. The feed never closes it.
    :param keep_alive: seconds (> 0) between signs of life on a stream.
    :param max_streams: maximum number (>= 0) of streams in this process: less than the number of the server's threads.
    :param max_age: seconds (> 0) after which a stream ends, so that its thread is free and its worker can stop.
    :param details: True shows visitors the message of an error and the uid too. Messages name hosts, ports and files.
    :raises CometChatException: ``INVALID_<PARAMETER>``; ``ERR_CLIENT_CLOSED``.
    """

    def __init__(
        self,
        client: AnyClient,
        *,
        keep_alive: float = 10.0,
        max_streams: int = DEFAULT_MAX_STREAMS,
        max_age: float = DEFAULT_MAX_AGE,
        details: bool = False,
    ) -> None:
        check_client(client)
        check_options(keep_alive=keep_alive, max_streams=max_streams, max_age=max_age, details=details)
        self._client = client
        self._keep_alive = float(keep_alive)
        self._alive = f"event: alive\ndata: {self._keep_alive:g}\n\n"
        self._max_age = float(max_age)
        self._max_streams = max_streams
        self._details = details
        self._closed = False
        self._lock = ForkLock()
        self._slots: Set[Slot] = set()  # of the open streams
        self._was_full = False
        self._status = client.get_connection_status()
        self._since = time.time()
        # The newest error when the connection was last up. It is not the reason for a later loss.
        self._past = user_error_and_leader(client)[1] if self._status in UP else None
        self._login_error: Optional[CometChatException] = None
        # A status that a stream read before the listener's call with it. That call is then not a change.
        self._read_early: Optional[CometChatWSState] = None
        self._version = 0
        self._registration = contextlib.ExitStack()
        listener = status_listener(self._on_status, lambda error: self._on_status(None))
        self._registration.enter_context(client.connection_listener(listener))
        login_id = f"cometchat-status-{id(self)}"
        login_listener = LoginListener(
            login_success=lambda user: self.note_login(None),
            login_failure=self.note_login,
            logout_success=lambda: self.note_login(None),
        )
        client.add_login_listener(login_id, login_listener)
        self._registration.callback(client.remove_login_listener, login_id)
        register(Layer.APPLICATION, self)

    def reset_after_fork(self) -> None:
        """In the child: forget the parent's streams. The lock resets itself."""
        self._slots = set()

    def report(self) -> Dict[str, Any]:
        """Return :func:`status_report` with the time at which the feed noticed the status, and without outdated errors.

        Not for visitors: they get :meth:`public_report`.
        """
        seen = self._look()
        return report_of(self._client, seen.status, seen.since, self._past, self._login_error)

    def public_report(self) -> Dict[str, Any]:
        """Return the report for visitors: only an error's code, and no uid, unless ``details`` is True."""
        return self.report() if self._details else without_details(self.report())

    def status_answer(self) -> Answer:
        """Answer with the public report as JSON, without caching."""
        return Answer(200, "application/json", json.dumps(self.public_report()), dict(NO_STORE))

    def events(self, gone: Optional[Callable[[], bool]] = None) -> Iterator[str]:
        """Return a stream of server-sent events: the status now and at each change.

        Events: ``status`` has the public report as JSON; ``alive`` has the seconds to the next sign of life (a page
        can't see comments). The stream ends at :meth:`close`, at its maximum age, and when it is closed. The thread
        that iterates it waits in between.

        :param gone: returns True if the browser closed the connection. Called every half second. Without it the server
            notices a closed connection only when it writes the second piece.
        """
        yield f"retry: {_RETRY}\n" + self._alive
        yield from self._reports(time.monotonic() + self._max_age * random.uniform(0.8, 1.0), gone)  # nosec B311

    def _reports(self, end: float, gone: Optional[Callable[[], bool]]) -> Iterator[str]:
        seen: Optional[int] = None
        next_alive = time.monotonic() + self._keep_alive
        while not (self._closed or time.monotonic() >= end or (gone is not None and gone())):
            version = self._look().version
            if version != seen:
                seen = version
                yield f"event: status\ndata: {json.dumps(self.public_report())}\n\n"
            elif time.monotonic() >= next_alive:
                next_alive = time.monotonic() + self._keep_alive
                yield self._alive
            else:
                self._wait(version, min(_LOOK, next_alive - time.monotonic(), end - time.monotonic()))

    def take_slot(self, max_streams: Optional[int] = None) -> Optional[Slot]:
        """Return the right to hold a stream open; None if there are too many. Release it when the stream ends.

        :param max_streams: replaces the feed's maximum, if the server can handle more or fewer.
        """
        limit = self._max_streams if max_streams is None else max_streams
        with self._lock:
            if self._closed:
                return None
            if len(self._slots) < limit:
                return Slot(self._slots)
        self._report_full(limit)
        return None

    def _report_full(self, limit: int) -> None:
        """Log once that pages fall back to polling."""
        if self._was_full or not limit:
            return
        self._was_full = True
        logger.info(
            "%d status streams are open in this process: further pages poll every few seconds. MAX_STREAMS may be"
            " higher, but must stay below the number of the server's threads.",
            limit,
        )

    def events_answer(
        self, concurrent: bool, max_streams: Optional[int] = None, gone: Optional[Callable[[], bool]] = None
    ) -> Union[Answer, StreamAnswer]:
        """Answer with the stream, or with 204 if the component should poll the JSON.

        :param concurrent: whether the server can answer other requests during a stream (WSGI's ``wsgi.multithread``).
        :param max_streams: as in :meth:`take_slot`.
        :param gone: as in :meth:`events`.
        """
        headers = dict(STREAM_HEADERS)
        slot = self.take_slot(max_streams) if concurrent else None
        if slot is None:
            return Answer(204, "text/event-stream", "", headers)
        return StreamAnswer(200, "text/event-stream", CountedStream(self.events(gone), slot), headers)

    def health_answer(self, probe: str = "ready") -> Answer:
        """Answer a load balancer or Kubernetes: 200 or 503, as ``application/health+json``.

        :param probe: ``"ready"``: 200 while the connection is up, throttled or not. ``"live"``: 503 if the client is
            closed or its threads have ended, so that a new process helps. An outage is not such a case.
        :raises CometChatException: ``INVALID_PROBE``.
        """
        if probe not in ("live", "ready"):
            raise unusable("probe", '"live" or "ready"')
        report = self.public_report()
        status, reason = report["status"], report["reason"]
        grade = {"connected": "pass", "featureThrottled": "warn"}.get(status, "fail")
        check: Dict[str, Any] = {"componentType": "component", "observedValue": status, "status": grade}
        check["time"] = report["since"]
        if reason is not None:
            check["output"] = ": ".join(reason.values())
        if probe == "live":
            grade = "pass" if self._is_live(reason) else "fail"
        body = {"status": grade, "checks": {"cometchat:connection": [check]}}
        return Answer(503 if grade == "fail" else 200, "application/health+json", json.dumps(body), dict(NO_STORE))

    def _is_live(self, reason: Optional[Mapping[str, str]]) -> bool:
        if reason is not None and reason["code"] == ERR_CLIENT_CLOSED:
            return False
        if self._status is CometChatWSState.DISCONNECTED:
            return True
        return any(thread.name.startswith("cometchat-dispatcher-") for thread in threading.enumerate())

    def note_login(self, error: Optional[CometChatException]) -> None:
        """Show the error of a failed login; None for a successful login or a logout. Any thread.

        The feed does this itself for the logins of its client, but not if the site's own function for a token raised.
        """
        self._login_error = error
        self._on_status(None)

    def close(self) -> None:
        """End the streams and remove the listeners. Does not wait; no-op when called twice."""
        self._closed = True
        self._registration.close()
        with self._lock:
            self._lock.notify_all()

    # --- the status, and its changes

    def _look(self, reported: Optional[CometChatWSState] = None, *, error: bool = False) -> _Seen:
        """Read the status.

        :param reported: the status of the listener's call. The client may already have a later one.
        """
        status = self._client.get_connection_status()
        came_up = status in UP and (status is not self._status or reported is status)
        past = user_error_and_leader(self._client)[1] if came_up else None
        with self._lock:
            # Again, since another thread may have noted a later status, and the error may be that of a loss.
            status = self._client.get_connection_status()
            if came_up and status in UP:
                self._past = past
            if status is not self._status:
                self._status, self._since = status, time.time()
                self._read_early = status if reported is not status else None
            elif reported is status and status is not self._read_early:
                self._since = time.time()
            elif not error:
                self._read_early = None if reported is status else self._read_early
                return _Seen(self._version, status, self._since)
            self._version += 1
            self._lock.notify_all()
            return _Seen(self._version, status, self._since)

    def _wait(self, version: int, timeout: float) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._closed or self._version != version, max(0.0, timeout))

    def _on_status(self, reported: Optional[CometChatWSState]) -> None:
        """Wake the streams: for a status, or None for an error or a login. Runs on the dispatcher thread."""
        self._look(reported, error=reported is None)


def check_options(
    *, keep_alive: object = 1, max_streams: object = 1, max_age: object = 1, details: object = False
) -> None:
    """Check the options of a :class:`StatusFeed`.

    :raises CometChatException: ``INVALID_<PARAMETER>``.
    """
    for name, value in {"keep_alive": keep_alive, "max_age": max_age}.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
            raise unusable(name, "a number of seconds above 0, up to 86400")
    if isinstance(max_streams, bool) or not isinstance(max_streams, int) or max_streams < 0:
        raise unusable("max_streams", "a whole number, 0 or more")
    if not isinstance(details, bool):
        raise unusable("details", "True or False")
