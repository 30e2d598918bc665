"""One WebSocket of one client, from the upgrade to its end. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from aiohttp import WSMsgType, web

from .._app import App
from .._json import read_json
from ..chat._credentials import Jwt, RefusedJwt
from ..chat._triggers import of_connection
from ..chat._users import User
from ..faults import Refusal
from ._frames import PINGS, TRANSIENT_TYPES, auth_problems, of_browser, transient_problems
from ._hub import Hub

#: Close codes that are never sent: for a close frame without a code, and for an end without a close frame.
NO_CODE = 1005
NO_CLOSE = 1006

#: SO_LINGER on, 0 s: closing a socket with it sends RST in place of FIN.
_RESET = struct.pack("ii", 1, 0)

_Outgoing = Tuple[float, Union[str, bytes], Callable[[], None]]


class Connection:
    """Reads and judges the client's frames. It sends frames in the order in which they were posted."""

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        app: App,
        hub: Hub,
        save: Callable[[], object],
    ) -> None:
        self._websocket = websocket
        #: The TCP or TLS transport that carries it.
        self.transport = transport
        self._raw = transport.get_extra_info("socket")
        self._app = app
        self._journal = app.journal
        self._hub = hub
        self._save = save
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[_Outgoing] = asyncio.Queue()
        self._auth_seen = False
        self._verdict: Optional[asyncio.Handle] = None
        #: Whether the sandbox itself has ended it, so that its end is not the client's close.
        self._ended_here = False
        self._closing: Optional[asyncio.Future[Any]] = None
        #: Set when the sandbox accepts an ``auth``.
        self.uid: Optional[str] = None
        self.device_id: str = ""
        self._subscription: Optional[str] = None
        self._roles: List[str] = []
        #: The connection as webhooks describe it.
        self._current: Dict[str, Any] = {}

    async def serve(self) -> None:
        """Serve the connection until one of its sides ends it."""
        writer = asyncio.ensure_future(self._write())
        try:
            code = await self._read()
            if code is not None and not self._ended_here:
                self._journal.add(self._journal.close_codes, code)
        finally:
            if self._verdict is not None:
                self._verdict.cancel()
            writer.cancel()
            self._leave()
            # A close that the sandbox began waits for the client's answer, over the TCP connection.
            ending: List[asyncio.Future[Any]] = [writer] if self._closing is None else [writer, self._closing]
            await asyncio.gather(*ending, return_exceptions=True)

    def post_frame(self, frame: Dict[str, Any]) -> None:
        """Send a frame, after the current latency and after all frames posted before it."""
        self.post(json.dumps(frame))

    def post(self, data: Union[str, bytes], before: Callable[[], None] = lambda: None) -> None:
        """Send text or, for bytes, binary data. ``before`` is called just before that."""
        self._outbox.put_nowait((self._loop.time() + self._app.faults.latency, data, before))

    def abort(self, reset: bool) -> None:
        """End the TCP connection without a close frame: with RST, or with FIN."""
        self._ended_here = True
        if reset and self._raw.fileno() != -1:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def close(self, code: int, reason: str) -> asyncio.Future[Any]:
        """Send a close frame. The future is done when the client has answered it, or when its time is over."""
        self._ended_here = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._websocket.close(code=code, message=reason.encode()))
        return self._closing

    def write(self, data: bytes) -> None:
        """Write bytes to the TCP connection, without any framing."""
        self.transport.write(data)

    def wants_presence(self, about: User) -> bool:
        """Return True if it asked for this user's presence. A block between the two users stops it."""
        if self.uid is None or self._app.chat.users.divided(self.uid, about.uid):
            return False
        if self._subscription == "FRIENDS":
            return about.uid in self._app.chat.users.known(self.uid).friends
        return self._subscription == "ALL_USERS" or (self._subscription == "ROLES" and about.role in self._roles)

    async def _write(self) -> None:
        while True:
            due, data, before = await self._outbox.get()
            early = due - self._loop.time()
            if early > 0:
                await asyncio.sleep(early)
            if self._websocket.closed:
                return
            before()
            try:
                await (self._websocket.send_str(data) if isinstance(data, str) else self._websocket.send_bytes(data))
            except ConnectionError:
                return  # the reading side notices the end too, and reports it

    async def _read(self) -> Optional[int]:
        """Read frames until the end. Returns the code of the client's close, or None without a close."""
        while True:
            message = await self._websocket.receive()
            if message.type is WSMsgType.TEXT:
                self._take(message.data)
                self._save()
            elif message.type is WSMsgType.BINARY:
                self._violation("a binary message")
            elif message.type is WSMsgType.CLOSE:
                return int(message.data or NO_CODE)
            elif message.type is WSMsgType.CLOSED:
                return NO_CLOSE
            elif message.type is WSMsgType.ERROR:
                self._violation("data that is not WebSocket's")
                return NO_CLOSE
            else:
                return None

    def _take(self, text: str) -> None:
        try:
            frame = read_json(text)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            self._violation("a frame that is not a JSON object")
            return
        self._handle(frame)
        # After its effect: this wakes those who wait for the frame, and those who wait for the effect.
        self._journal.add(self._journal.frames, (self.uid, frame))

    def _handle(self, frame: Dict[str, Any]) -> None:
        if frame.get("type") == "auth":
            self._take_auth(frame)
        elif self.uid is None:
            self._violation("a frame before auth was accepted")
        elif frame.get("action") == "ping":
            self._take_ping(frame)
        elif frame.get("type") in TRANSIENT_TYPES:
            self._take_transient(frame)
        else:
            self._violation("a frame of an unknown type")

    def _take_ping(self, frame: Dict[str, Any]) -> None:
        if frame not in PINGS:
            self._violation("a ping that is not of the protocol")
        if not self._app.faults.ignoring_pings:
            self.post_frame({"action": "pong"})

    def _take_transient(self, frame: Dict[str, Any]) -> None:
        assert self.uid is not None
        wrong = transient_problems(frame, self._app.app_id, self.uid, self.device_id)
        for violation in wrong:
            self._violation(violation)
        if not wrong and not self._app.faults.stops(frame["type"]):
            self._app.chat.transient.route(self.uid, frame, self.device_id)

    def _take_auth(self, frame: Dict[str, Any]) -> None:
        if self._auth_seen:
            self._violation("a second auth")
            return
        self._auth_seen = True
        for violation in auth_problems(frame, self._app.app_id):
            self._violation(violation)
        delay = self._app.faults.auth_delay
        if delay > 0:
            self._verdict = self._loop.call_later(delay, self._judge, frame)
        else:  # not after 0 s, which never pass on a clock that a test has frozen
            self._verdict = self._loop.call_soon(self._judge, frame)

    def _judge(self, frame: Dict[str, Any]) -> None:
        refusal = self._app.faults.take_auth_refusal()
        if refusal is not None:
            self._refuse(refusal)
            return
        body = frame.get("body")
        body = body if isinstance(body, dict) else {}
        credential = str(body.get("auth"))
        if credential in self._app.chat.credentials.tokens:
            # The client sent an auth token in place of the jwt. The live service never answers it.
            self._violation("auth.body.auth is an auth token; the socket wants the jwt")
            return
        try:
            jwt = self._app.chat.credentials.read_jwt(credential)
        except RefusedJwt:
            self._refuse(self._app.faults.bad_jwt)
            return
        if jwt.uid not in self._app.chat.users:
            self._refuse(self._app.faults.bad_jwt)
            return
        sender = frame.get("sender", jwt.uid)
        if not isinstance(sender, str) or sender.lower() != jwt.uid:
            self._violation("auth.sender is not the jwt's user")
            self._refuse(self._app.faults.bad_jwt)
            return
        self._accept(jwt, frame, body)

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.mode == "frame":
            self.post_frame({"type": "auth", "body": {"code": refusal.code, "status": "ERROR"}})
        elif refusal.mode == "close":
            self.close(refusal.close_code, f"auth refused: {refusal.code}")

    def _accept(self, jwt: Jwt, frame: Dict[str, Any], body: Dict[str, Any]) -> None:
        params = body.get("params")
        if jwt.resource is not None and jwt.resource != frame.get("deviceId") and not of_browser(jwt.resource):
            self._violation("auth.deviceId is not the resource that asked for the jwt")
        if jwt.device_id is not None and (not isinstance(params, dict) or params.get("deviceId") != jwt.device_id):
            self._violation("auth.body.params.deviceId is not the device that asked for the jwt")
        self.device_id = str(frame.get("deviceId"))
        self._subscription = body.get("presenceSubscription")
        roles = body.get("roles")
        self._roles = roles if isinstance(roles, list) else []
        platform = params.get("platform", "") if isinstance(params, dict) else ""

        def join() -> None:
            self.uid = jwt.uid
            self._current = {"platform": platform, "connectedAt": int(time.time() * 1000)}
            self._announce(jwt.uid, self._hub.join(jwt.uid, self), online=True)

        self.post(json.dumps({"type": "auth", "body": {"code": "200", "status": "OK"}}), before=join)

    def _leave(self) -> None:
        last = self._hub.leave(self.uid, self)
        if self.uid is not None and self.uid in self._app.chat.users:
            self._announce(self.uid, last, online=False)

    def _announce(self, uid: str, presence_changed: bool, *, online: bool) -> None:
        """Notify the webhook of this connection, and other users of a changed presence."""
        if presence_changed:
            self._app.chat.transient.announce(uid, self.device_id, online=online)
        users = self._app.chat.users
        current = {"action": "connected" if online else "disconnected", **self._current}
        event = of_connection(users.on_socket(users.get(uid), online), current, presence_changed)
        self._app.webhook.trigger(*event)

    def _violation(self, what: str) -> None:
        self._journal.add(self._journal.violations, f"socket: {what}")
