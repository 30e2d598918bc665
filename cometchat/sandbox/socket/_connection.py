"""One WebSocket of one client, from the upgrade to its end. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from aiohttp import WSMsgType, web

from .. import _shapes as shapes
from .._state import State
from ..chat._users import Jwt, RefusedJwt
from ..faults._faults import Refusal
from ._hub import Hub

#: Close codes that are never sent: no code in the close frame, no close frame.
NO_CODE = 1005
NO_CLOSE = 1006

#: SO_LINGER on, 0 s: closing such a socket sends RST in place of FIN.
_RESET = struct.pack("ii", 1, 0)

_Outgoing = Tuple[float, Union[str, bytes], Callable[[], None]]


class Connection:
    """Reads what the client sends, judges it, and answers; what goes out keeps its order."""

    def __init__(self, websocket: web.WebSocketResponse, transport: asyncio.Transport, state: State, hub: Hub) -> None:
        self._websocket = websocket
        #: What carries it; the service needs to know its own.
        self.transport = transport
        self._raw = transport.get_extra_info("socket")
        self._state = state
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[_Outgoing] = asyncio.Queue()
        self._auth_seen = False
        self._verdict: Optional[asyncio.TimerHandle] = None
        #: True once the sandbox itself ends it: then its end is not the client's doing.
        self._ended_here = False
        self._closing: Optional[asyncio.Future[Any]] = None
        #: Set by an accepted ``auth``, not before.
        self.uid: Optional[str] = None
        self.device_id = ""
        self._subscription: Optional[str] = None
        self._roles: List[str] = []

    async def serve(self) -> None:
        """Until the connection ends, from either side."""
        writer = asyncio.ensure_future(self._write())
        try:
            code = await self._read()
            if code is not None and not self._ended_here:
                self._state.journal.note_close_code(code)
        finally:
            if self._verdict is not None:
                self._verdict.cancel()
            writer.cancel()
            self._hub.leave(self)
            # A close that the sandbox began waits a while for the client's answer; TCP is to stay up for so long.
            ending: List[asyncio.Future[Any]] = [writer] if self._closing is None else [writer, self._closing]
            await asyncio.gather(*ending, return_exceptions=True)

    def post_frame(self, frame: Dict[str, Any]) -> None:
        """Send a frame, after the latency in force and after everything posted before it."""
        self.post(json.dumps(frame))

    def post(self, data: Union[str, bytes], before: Callable[[], None] = lambda: None) -> None:
        """Send text or, for bytes, binary data; ``before`` is called in the moment it goes out."""
        self._outbox.put_nowait((self._loop.time() + self._state.faults.latency, data, before))

    def abort(self, reset: bool) -> None:
        """End the TCP connection without a close frame: with RST, or with FIN."""
        self._ended_here = True
        if reset and self._raw.fileno() != -1:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def close(self, code: int, reason: str) -> asyncio.Future[Any]:
        """Send a close frame. The future is done when the client has answered it, or has had its time to."""
        self._ended_here = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._websocket.close(code=code, message=reason.encode()))
        return self._closing

    def write(self, data: bytes) -> None:
        """Write bytes to the TCP connection, past all of WebSocket."""
        self.transport.write(data)

    def wants_presence(self, role: str) -> bool:
        """Whether it asked for the presence of users of this role. Nobody has friends here, so FRIENDS hear of none."""
        return self._subscription == "ALL_USERS" or (self._subscription == "ROLES" and role in self._roles)

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
                return  # the reading side learns of it too, and says so

    async def _read(self) -> Optional[int]:
        """Take frames until the end; the code with which the client closed, None where it was not the client."""
        while True:
            message = await self._websocket.receive()
            if message.type is WSMsgType.TEXT:
                self._take(message.data)
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
            frame = json.loads(text)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            self._violation("a frame that is not a JSON object")
            return
        self._state.journal.note_frame(self.uid, frame)
        if frame.get("type") == "auth":
            self._take_auth(frame)
        elif self.uid is None:
            self._violation("a frame before auth was accepted")
        elif frame.get("action") == "ping":
            self._take_ping(frame)
        elif frame.get("type") in shapes.TRANSIENT_TYPES:
            self._take_transient(frame)
        else:
            self._violation("a frame of an unknown type")

    def _take_ping(self, frame: Dict[str, Any]) -> None:
        if frame != shapes.PING:
            self._violation("a ping that is not of the protocol")
        if not self._state.faults.ignoring_pings:
            self.post_frame({"action": "pong"})

    def _take_transient(self, frame: Dict[str, Any]) -> None:
        assert self.uid is not None
        wrong = shapes.transient_frame(frame, self._state.app_id, self.uid, self.device_id)
        for violation in wrong:
            self._violation(violation)
        if not wrong:
            self._hub.route(self, frame)

    def _take_auth(self, frame: Dict[str, Any]) -> None:
        if self._auth_seen:
            self._violation("a second auth")
            return
        self._auth_seen = True
        for violation in shapes.auth_frame(frame, self._state.app_id):
            self._violation(violation)
        self._verdict = self._loop.call_later(self._state.faults.auth_delay, self._judge, frame)

    def _judge(self, frame: Dict[str, Any]) -> None:
        refusal = self._state.faults.take_auth_refusal()
        if refusal is not None:
            self._refuse(refusal)
            return
        body = frame.get("body")
        body = body if isinstance(body, dict) else {}
        credential = str(body.get("auth"))
        if credential in self._state.accounts.tokens:
            # An auth token in place of the jwt. The live service never answers it.
            self._violation("auth.body.auth is an auth token; the socket wants the jwt")
            return
        try:
            jwt = self._state.accounts.read_jwt(credential)
        except RefusedJwt:
            self._refuse(self._state.faults.bad_jwt)
            return
        if jwt.uid != frame.get("sender"):
            self._violation("auth.sender is not the jwt's user")
            self._refuse(self._state.faults.bad_jwt)
            return
        self._accept(jwt, frame, body)

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.mode == "frame":
            self.post_frame({"type": "auth", "body": {"code": refusal.code, "status": "ERROR"}})
        elif refusal.mode == "close":
            self.close(refusal.close_code, f"auth refused: {refusal.code}")

    def _accept(self, jwt: Jwt, frame: Dict[str, Any], body: Dict[str, Any]) -> None:
        params = body.get("params")
        if jwt.resource is not None and jwt.resource != frame.get("deviceId") and not shapes.of_browser(jwt.resource):
            self._violation("auth.deviceId is not the resource that asked for the jwt")
        if jwt.device_id is not None and (not isinstance(params, dict) or params.get("deviceId") != jwt.device_id):
            self._violation("auth.body.params.deviceId is not the device that asked for the jwt")
        self.device_id = str(frame.get("deviceId"))
        self._subscription = body.get("presenceSubscription")
        roles = body.get("roles")
        self._roles = roles if isinstance(roles, list) else []

        def join() -> None:
            self.uid = jwt.uid
            self._hub.join(self)

        self.post(json.dumps({"type": "auth", "body": {"code": "200", "status": "OK"}}), before=join)

    def _violation(self, what: str) -> None:
        self._state.journal.note_violation(f"socket: {what}")
