"""The faults, with a method for each. A fault is in force when its method returns. ``heal()`` ends all of them."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any, Callable, Coroutine, Dict, List, Mapping, Optional, Protocol, Sequence, TypeVar, Union

from .._json import check_json
from ..chat import Chat
from ._faults import (
    Faults,
    HttpFailure,
    RateLimit,
    Refusal,
    UpgradeRefusal,
    check_close_code,
    check_count,
    check_number,
    check_seconds,
)

T = TypeVar("T")

#: Maximum time that a close waits for answers to its frames before it returns, in seconds. Answers may arrive later.
_CLOSE_LOOK = 0.1

#: Maximum length of the reason in a close frame, in bytes.
_LONGEST_REASON = 123


class Socket(Protocol):
    """A WebSocket, as the faults see it."""

    uid: Optional[str]

    def post(self, data: Union[str, bytes]) -> None:
        """Send a message."""

    def write(self, data: bytes) -> None:
        """Write bytes to the TCP connection, without any framing."""

    def close(self, code: int, reason: str) -> asyncio.Future[Any]:
        """Send a close frame. The future is done when the client has answered it."""


class RunningService(Protocol):
    """The running service, as the faults see it."""

    @property
    def connections(self) -> Sequence[Socket]:
        """Every WebSocket, authenticated or not."""

    async def accept(self) -> None:
        """Listen again."""

    async def refuse(self) -> None:
        """Stop listening, and end HTTP connections."""

    def drop(self, reset: bool) -> int:
        """End the TCP connection of every WebSocket. Return their number."""

    def drop_hanging(self) -> None:
        """Drop the connections that hang."""


class FaultControls(ABC):
    """Any thread but the sandbox's own may call these methods, also before ``start()``.

    They return when they are in force.

    :raises TimeoutError: (each method) the sandbox's thread took more than 5 seconds.
    :raises ValueError: (each method) a code, a status, a path, a number of seconds, or a way to refuse is not possible,
        or JSON cannot hold a value.
    """

    _faults: Faults
    _chat: Chat

    @abstractmethod
    def _apply(self, change: Callable[[Optional[RunningService]], T]) -> T:
        """Call the function with the service in the loop thread; while stopped, with None in the caller's thread."""

    @abstractmethod
    def _apply_waiting(self, change: Callable[[RunningService], Coroutine[Any, Any, Any]]) -> None:
        """Run a coroutine function in the loop thread. No-op while the sandbox is stopped."""

    def heal(self) -> None:
        """Clear every standing fault, and drop the connections that hang. Revoked credentials stay revoked."""

        def change(service: Optional[RunningService]) -> None:
            self._faults.clear()
            if service is not None:
                service.drop_hanging()

        self._apply(change)
        self._apply_waiting(lambda service: service.accept())

    # The network.

    def drop_connections(self, *, reset: bool = True) -> int:
        """End the TCP connection of every WebSocket without a close frame, like a lost network. Returns their number.

        Upgrades and HTTP requests that hang end too, and count.

        :param reset: True sends RST, as a crashed peer or a firewall does; False sends FIN.
        """
        return self._apply(lambda service: 0 if service is None else service.drop(reset))

    def close_connections(self, code: int = 1000, reason: str = "") -> int:
        """Close every WebSocket with a close frame, like a service that shuts down. Returns their number.

        :param code: 1000 to 4999, without those that no close frame has, such as 1006.
        :param reason: at most 123 bytes of UTF-8.
        """
        check_close_code("code", code)
        if len(reason.encode()) > _LONGEST_REASON:
            raise ValueError(f"reason: give at most {_LONGEST_REASON} bytes of UTF-8")
        closed: List[asyncio.Future[Any]] = []

        async def close(service: RunningService) -> None:
            closed.extend(connection.close(code, reason) for connection in list(service.connections))
            if closed:
                await asyncio.wait(closed, timeout=_CLOSE_LOOK)

        self._apply_waiting(close)
        return len(closed)

    def refuse_connections(self) -> None:
        """Close the listening socket, like a service that is down. The kernel refuses connections.

        The port is kept. HTTP connections end too. WebSockets stay open (``drop_connections()`` ends them).
        """
        self._fault("refusing_connections", True)
        self._apply_waiting(lambda service: service.refuse())

    def accept_connections(self) -> None:
        """Listen again, on the same port, after ``refuse_connections()``."""
        self._fault("refusing_connections", False)
        self._apply_waiting(lambda service: service.accept())

    def refuse_upgrades(self, status: int = 503, retry_after: Union[None, int, float, str] = None) -> None:
        """Answer every WebSocket upgrade with this HTTP status in place of 101. Other HTTP requests are not affected.

        :param retry_after: seconds, or an HTTP date, for a ``Retry-After`` header.
        """
        self._fault("upgrade_refusal", UpgradeRefusal(status, retry_after))

    def hang_upgrades(self) -> None:
        """Never answer a WebSocket upgrade. The TCP connection stays open until ``heal()``."""
        self._fault("hanging_upgrades", True)

    def hang_http(self) -> None:
        """Never answer an HTTP request. ``requests`` lists each with the status 0. ``heal()`` drops its connection."""
        self._fault("hanging_http", True)

    def set_latency(self, seconds: float) -> None:
        """Delay answers to HTTP requests and upgrades, and frames, by this many seconds. Frames keep their order."""
        check_seconds("seconds", seconds)
        self._fault("latency", seconds)

    # HTTP.

    def fail_http(
        self,
        status: int,
        times: Optional[int] = None,
        retry_after: Union[None, int, float, str] = None,
        body: Union[None, str, Mapping[str, Any]] = None,
        path: Optional[str] = None,
        code: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Answer HTTP requests with this status. Further calls queue behind it, like a script of failures.

        :param times: the number of requests. None means all.
        :param retry_after: seconds, or an HTTP date, for a ``Retry-After`` header. With the status 429,
            ``X-Rate-Limit-Reset`` has the seconds too.
        :param body: a mapping is sent as JSON, and a text as it is, as ``text/html``. None is an error envelope.
        :param path: only requests to this path fail. It has no version prefix, and ``*`` matches any text: ``"/me"``,
            ``"/users/*/auth_tokens"``.
        :param code: the code in the error envelope, such as ``"ERR_SUBSCRIPTION_EXPIRED"``.
        :param headers: further headers, or replacements of the usual ones, such as ``Date``.
        """
        failure = HttpFailure(status, times, retry_after, body, path, code, dict(headers or {}))
        self._apply(lambda service: self._faults.http_failures.append(failure))

    def limit_requests(self, requests: int, window: float = 60.0) -> None:
        """Answer 429 after this many HTTP requests within a window, until the window ends.

        The next request after this call starts the first window. Earlier requests do not count.

        :param requests: maximum requests in a window.
        :param window: length of the window, in seconds.
        """
        self._fault("rate_limit", RateLimit(requests, window))

    def set_mode(self, mode: str, push: bool = False) -> None:
        """Change ``MODE`` of the settings: ``"DEFAULT"``, ``"LIMITED_TRANSIENT"`` or ``"NO_TRANSIENT"``.

        ``LIMITED_TRANSIENT`` stops typing indicators and receipts, ``NO_TRANSIENT`` transient messages and presence as
        well. The sandbox accepts these frames, and sends them to no user.

        :param mode: one of these, or another text: clients are throttled by any mode but ``DEFAULT``.
        :param push: also close every WebSocket with 1012 (service restart), so that clients read the settings at once.
            The protocol has no frame for that.
        """
        self.override_settings(MODE=mode)
        if push:
            self.close_connections(1012, "settings changed")

    def override_settings(self, **fields: Any) -> None:
        """Change fields of the settings answer, such as ``CHAT_HOST_OVERRIDE="localhost"``."""
        for name, value in fields.items():
            check_json(name, value)
        self._apply(lambda service: self._faults.settings.update(fields))

    # Credentials.

    def revoke_tokens(self, uid: Optional[str] = None) -> int:
        """Void every auth token of one user or of all, issued so far. Returns their number. New ones are valid."""
        wanted = None if uid is None else uid.lower()
        return self._apply(lambda service: self._chat.credentials.revoke_tokens(wanted))

    def expire_jwts(self) -> int:
        """Void every jwt issued so far, for new sockets. Returns their number. New jwts are valid."""
        return self._apply(lambda service: self._chat.credentials.expire_jwts())

    def limit_tokens(self, newest: int = 100) -> None:
        """Accept only a user's newest auth tokens, like the live service. Older ones are void."""
        check_number("newest", newest, 0, 2**31 - 1)
        self._fault("tokens_that_count", newest)

    def bind_tokens(self) -> None:
        """Bind each auth token to the first device that logs in with it. Others get ``ERR_AUTHTOKEN_UNAVAILABLE``."""
        self._fault("device_bound_tokens", True)

    def refuse_auth(
        self, code: str = "401", times: Optional[int] = None, *, mode: str = "frame", close_code: int = 4001
    ) -> None:
        """Refuse ``auth`` on the socket, also with a valid jwt.

        :param code: the code in the ``auth`` frame.
        :param times: the number of refusals. None means always.
        :param mode: ``"frame"`` sends that frame, ``"close"`` closes with ``close_code``, ``"silence"`` sends nothing.
        """
        refusal = Refusal(mode, code, close_code)
        check_count("times", times)

        def change(service: Optional[RunningService]) -> None:
            self._faults.auth_refusal = refusal
            self._faults.auth_refusals_left = times

        self._apply(change)

    def ignore_auth(self, times: Optional[int] = None) -> None:
        """Never answer ``auth``, like the live service if it gets an auth token in place of the jwt."""
        self.refuse_auth(times=times, mode="silence")

    def set_refusal(self, mode: str = "frame", *, code: str = "401", close_code: int = 4001) -> None:
        """Set the refusal of a wrong or expired jwt. The parameters are those of ``refuse_auth()``."""
        self._fault("bad_jwt", Refusal(mode, code, close_code))

    def delay_auth(self, seconds: float) -> None:
        """Answer ``auth`` this many seconds after it arrives."""
        check_seconds("seconds", seconds)
        self._fault("auth_delay", seconds)

    # Frames.

    def ignore_pings(self) -> None:
        """Send no more pongs, like a dead connection that looks alive."""
        self._fault("ignoring_pings", True)

    def send_raw(self, data: Union[str, bytes]) -> int:
        """Send a text message or, for bytes, a binary one to every WebSocket. Returns their number."""
        if not isinstance(data, (str, bytes)):
            raise ValueError(f"data: give a text or bytes, not {type(data).__name__}")
        if isinstance(data, str):
            data.encode()  # raises UnicodeEncodeError here, and not in the sandbox's thread
        return self._send_each(lambda socket: socket.post(data))

    def send_wire(self, data: bytes) -> int:
        """Write bytes without framing to every connection, to break it. Returns their number."""
        return self._send_each(lambda socket: socket.write(data))

    def send_frame(self, frame: Dict[str, Any], uid: Optional[str] = None) -> int:
        """Send a frame to every authenticated connection of one user, or of all for None. Returns their number."""
        check_json("frame", frame)
        text, wanted = json.dumps(frame), None if uid is None else uid.lower()
        return self._send_each(
            lambda socket: socket.post(text), lambda socket: bool(socket.uid) and wanted in (None, socket.uid)
        )

    def _send_each(
        self, send: Callable[[Socket], None], fits: Callable[[Socket], bool] = lambda socket: True
    ) -> int:
        """Send to every WebSocket that fits. Returns their number."""

        def change(service: Optional[RunningService]) -> int:
            sockets = [] if service is None else [socket for socket in service.connections if fits(socket)]
            for socket in sockets:
                send(socket)
            return len(sockets)

        return self._apply(change)

    def _fault(self, name: str, value: Any) -> None:
        self._apply(lambda service: setattr(self._faults, name, value))
