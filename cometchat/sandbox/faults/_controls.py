"""The faults, each a method. What every one of them does is done when it returns; ``heal()`` takes all of them back."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List, Mapping, Optional, TypeVar, Union

from .._service import Service
from .._state import State
from ..chat._users import JWT_LIFETIME
from ._faults import Faults, HttpFailure, Refusal, UpgradeRefusal

T = TypeVar("T")

#: Seconds that a close waits to see its frames answered before it returns; the answers are waited for longer behind it.
_CLOSE_LOOK = 0.1


class FaultControls(ABC):
    """Callable from any thread but the sandbox's own, blocking until applied, and before ``start()`` as well.

    :raises TimeoutError: (each method) the sandbox's thread did not get round to it within 5 seconds.
    """

    _state: State

    @abstractmethod
    def _apply(self, change: Callable[[Optional[Service]], T]) -> T:
        """Run the change in the loop thread with the running service; in the caller's, with None, where none runs."""

    @abstractmethod
    def _apply_waiting(self, change: Callable[[Service], Any]) -> None:
        """Run a coroutine function in the loop thread; nothing where no service runs."""

    def heal(self) -> None:
        """Clear every standing fault: the service is well again. What hung is dropped; what is revoked stays so."""

        def change(service: Optional[Service]) -> None:
            self._state.faults = Faults()
            self._state.accounts.jwt_lifetime = JWT_LIFETIME
            if service is not None:
                service.heal()

        self._apply(change)
        self._apply_waiting(lambda service: service.accept())

    # The network.

    def drop_connections(self, *, reset: bool = True) -> int:
        """End the TCP connection of every WebSocket, without a close frame: a lost network. How many.

        :param reset: True sends RST, as a crashed peer or a firewall does; False sends FIN.
        """
        return self._apply(lambda service: 0 if service is None else service.drop(reset))

    def close_connections(self, code: int = 1000, reason: str = "") -> int:
        """Close every WebSocket with a close frame, as a service does that shuts down or throws a client out. How many.

        :param code: 1000 to 4999. :param reason: at most 123 bytes of UTF-8.
        """
        closed: List[asyncio.Future[Any]] = []

        async def close(service: Service) -> None:
            closed.extend(connection.close(code, reason) for connection in list(service.connections))
            if closed:
                await asyncio.wait(closed, timeout=_CLOSE_LOOK)

        self._apply_waiting(close)
        return len(closed)

    def refuse_connections(self) -> None:
        """Close the listening socket, as a service that is down: the kernel refuses connections. The port is kept.

        HTTP connections end too; WebSockets that are up stay up (``drop_connections()`` ends those).
        """
        self._fault("refusing_connections", True)
        self._apply_waiting(lambda service: service.refuse())

    def accept_connections(self) -> None:
        """Listen again, on the same port, after ``refuse_connections()``."""
        self._fault("refusing_connections", False)
        self._apply_waiting(lambda service: service.accept())

    def refuse_upgrades(self, status: int = 503, retry_after: Union[None, int, float, str] = None) -> None:
        """Answer every WebSocket upgrade with this HTTP status in place of 101; HTTP itself goes on.

        :param retry_after: seconds, or an HTTP date, for a ``Retry-After`` header.
        """
        self._fault("upgrade_refusal", UpgradeRefusal(status, retry_after))

    def hang_upgrades(self) -> None:
        """Never answer a WebSocket upgrade: the TCP connection stands, and nothing comes. Healing drops what hangs."""
        self._fault("hanging_upgrades", True)

    def hang_http(self) -> None:
        """Never answer an HTTP request (each is in ``requests``, with status 0). Healing drops what hangs."""
        self._fault("hanging_http", True)

    def set_latency(self, seconds: float) -> None:
        """Answer HTTP requests and upgrades, and send frames, this many seconds late. The frames keep their order."""
        self._fault("latency", seconds)

    # HTTP.

    def fail_http(
        self,
        status: int,
        times: Optional[int] = None,
        retry_after: Union[None, int, float, str] = None,
        body: Union[None, str, Mapping[str, Any]] = None,
        path: Optional[str] = None,
    ) -> None:
        """Answer HTTP requests with this status. Called again, the next one stands behind: a script of failures.

        :param times: how many requests; None for all.
        :param retry_after: seconds, or an HTTP date, for a ``Retry-After`` header.
        :param body: a mapping is sent as JSON; a text is sent as it is, as ``text/html``; None is an error envelope.
        :param path: only requests to this path, without the version prefix; ``*`` stands for anything:
            ``"/me"``, ``"/users/*/auth_tokens"``.
        """
        self._apply(
            lambda service: self._state.faults.http_failures.append(HttpFailure(status, times, retry_after, body, path))
        )

    def set_mode(self, mode: str, push: bool = False) -> None:
        """Change ``MODE`` of the settings: ``"DEFAULT"``, ``"LIMITED_TRANSIENT"`` or ``"NO_TRANSIENT"``.

        In ``NO_TRANSIENT`` presence, typing indicators, transient messages and receipts are not brought to anyone.

        :param push: close every WebSocket with 1012 (service restart) besides, so that clients read the settings at
            once; the protocol has no frame to tell them.
        """
        self.override_settings(MODE=mode)
        if push:
            self.close_connections(1012, "settings changed")

    def override_settings(self, **fields: Any) -> None:
        """Change fields of the settings answer, such as ``CHAT_HOST_OVERRIDE="localhost"``."""
        self._apply(lambda service: self._state.faults.settings.update(fields))

    # Credentials.

    def revoke_tokens(self, uid: Optional[str] = None) -> int:
        """Void every auth token issued so far, of one user or of all. How many. Not healed: new ones are good."""
        return self._apply(lambda service: self._state.accounts.revoke_tokens(uid))

    def expire_jwts(self) -> int:
        """Void every jwt issued so far, for sockets to come. How many. Not healed: new ones are good."""
        return self._apply(lambda service: self._state.accounts.expire_jwts())

    def refuse_auth(
        self, code: str = "401", times: Optional[int] = None, *, mode: str = "frame", close_code: int = 4001
    ) -> None:
        """Refuse ``auth`` on the socket, however good the jwt.

        :param code: the code in the ``auth`` frame that says so.
        :param times: how often; None for always.
        :param mode: ``"frame"`` sends that frame, ``"close"`` closes with ``close_code``, ``"silence"`` does nothing.
        """
        refusal = Refusal(mode, code, close_code)

        def change(service: Optional[Service]) -> None:
            self._state.faults.auth_refusal = refusal
            self._state.faults.auth_refusals_left = times

        self._apply(change)

    def ignore_auth(self, times: Optional[int] = None) -> None:
        """Never answer ``auth``, as the live service where it is sent an auth token in place of the jwt."""
        self.refuse_auth(times=times, mode="silence")

    def set_refusal(self, mode: str = "frame", *, code: str = "401", close_code: int = 4001) -> None:
        """How a jwt that is really wrong or expired is refused: as in ``refuse_auth()``."""
        self._fault("bad_jwt", Refusal(mode, code, close_code))

    def delay_auth(self, seconds: float) -> None:
        """Answer ``auth`` this many seconds after it came."""
        self._fault("auth_delay", seconds)

    # Frames.

    def ignore_pings(self) -> None:
        """Send no more pongs: a connection that is dead, and does not look it."""
        self._fault("ignoring_pings", True)

    def send_raw(self, data: Union[str, bytes]) -> int:
        """Send a text message or, for bytes, a binary one to every WebSocket, whatever is in it. How many got it."""

        def change(service: Optional[Service]) -> int:
            connections = [] if service is None else list(service.connections)
            for connection in connections:
                connection.post(data)
            return len(connections)

        return self._apply(change)

    def send_wire(self, data: bytes) -> int:
        """Write bytes past all of WebSocket to every connection: broken framing. How many got it."""

        def change(service: Optional[Service]) -> int:
            connections = [] if service is None else list(service.connections)
            for connection in connections:
                connection.write(data)
            return len(connections)

        return self._apply(change)

    def send_frame(self, frame: Dict[str, Any], uid: Optional[str] = None) -> int:
        """Send a frame to every authenticated connection of a user; of all for None. How many got it."""
        text = json.dumps(frame)

        def change(service: Optional[Service]) -> int:
            connections = [] if service is None else [c for c in service.connections if c.uid and uid in (None, c.uid)]
            for connection in connections:
                connection.post(text)
            return len(connections)

        return self._apply(change)

    def _fault(self, name: str, value: Any) -> None:
        self._apply(lambda service: setattr(self._state.faults, name, value))
