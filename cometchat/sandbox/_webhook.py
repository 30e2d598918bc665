"""The webhook of an app. Events wait in a queue, and one task posts them in order, each once. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

import aiohttp

logger = logging.getLogger("cometchat.sandbox")

#: Maximum time that a receiver has to answer, in seconds.
ANSWER_TIMEOUT = 5.0
#: Maximum events that wait.
MOST_WAITING = 10_000

#: Name of the webhook in each payload.
_ID = "sandbox"


@dataclass(frozen=True, repr=False)
class Delivery:
    """One event for the webhook, and the outcome of its delivery."""

    #: The name of the event, such as ``message_sent``.
    trigger: str
    #: The whole body of the request.
    payload: Mapping[str, Any] = field(repr=False)
    #: The receiver's HTTP status, or 0 without an answer.
    status: int
    #: The reason of the failure, or None for a status from 200 to 299.
    error: Optional[str] = None

    def __repr__(self) -> str:
        return f"<Delivery {self.trigger} {self.status}{'' if self.error is None else f': {self.error}'}>"


class _Event(NamedTuple):
    trigger: str
    text: str


class Webhook:
    """Events of one app on their way to a URL. The vendor publishes Basic Auth, but neither retries nor a signature.

    :param url: may begin with ``user:password@``. None delivers nothing.
    :param record: called with each delivery, successful or failed.
    :raises ValueError: the URL is not an HTTP URL. The text does not repeat it.
    """

    def __init__(self, url: Optional[str], app_id: str, region: str, record: Callable[[Delivery], None]) -> None:
        self._url = url
        self._shown = "" if url is None else _without_password(url)
        self._envelope = {"appId": app_id, "region": region, "webhook": _ID}
        self._record = record
        #: None ends the task.
        self._waiting: Deque[Optional[_Event]] = deque()
        self._news: Optional[asyncio.Event] = None
        self._task: Optional[asyncio.Future[None]] = None

    def trigger(self, name: str, data: Dict[str, Any]) -> None:
        """Queue an event as it is now. While the sandbox is stopped, it waits for the next start."""
        if self._url is None:
            return
        event = _Event(name, json.dumps({"trigger": name, "data": data, **self._envelope}))
        if len(self._waiting) < MOST_WAITING:
            self._put(event)
        else:
            self._finish(event, 0, f"more than {MOST_WAITING} events wait")

    def open(self) -> None:
        """Deliver from now on, in a task of the running loop."""
        if self._url is not None:
            self._news = asyncio.Event()
            self._task = asyncio.ensure_future(self._deliver_all(self._url, self._news))

    async def close(self, timeout: float) -> None:
        """Deliver the waiting events, for ``timeout`` seconds at most. The rest counts as failed."""
        task, self._task = self._task, None
        if task is None:
            return
        self._put(None)
        await asyncio.wait([task], timeout=timeout)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._news = None
        for event in self._waiting:
            if event is not None:
                self._finish(event, 0, "the sandbox was stopped")
        self._waiting.clear()

    def _put(self, event: Optional[_Event]) -> None:
        self._waiting.append(event)
        if self._news is not None:
            self._news.set()

    async def _deliver_all(self, url: str, news: asyncio.Event) -> None:
        # A connection for each event: a receiver may end an idle connection just when the sandbox posts the next event.
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                news.clear()
                while self._waiting:
                    event = self._waiting[0]
                    if event is None:
                        return
                    await self._deliver(session, url, event)
                    self._waiting.popleft()
                await news.wait()

    async def _deliver(self, session: aiohttp.ClientSession, url: str, event: _Event) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(url, data=event.text, headers=headers, allow_redirects=False) as answer:
                status, error = answer.status, None if answer.ok and answer.status < 300 else f"HTTP {answer.status}"
        except asyncio.TimeoutError:
            status, error = 0, f"no answer within {ANSWER_TIMEOUT:g} s"
        except Exception as failure:  # errors of aiohttp, a resolver or TLS, whose text may repeat the URL
            status, error = 0, getattr(failure, "strerror", None) or type(failure).__name__
        self._finish(event, status, error)

    def _finish(self, event: _Event, status: int, error: Optional[str]) -> None:
        self._record(Delivery(event.trigger, json.loads(event.text), status, error))
        if error is not None:
            logger.warning("webhook %s: %s was not delivered: %s", self._shown, event.trigger, error)


def _without_password(url: str) -> str:
    """Return the URL in a form that logs may show.

    :raises ValueError: it is not an HTTP URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("Invalid webhook_url: expected a URL such as http://localhost:8000/webhook")
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"
