"""A hand-written client of the sandbox over requests and websocket-client, without any part of the SDK."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
import requests
import websocket

from cometchat.sandbox import Sandbox

TIMEOUT = 5.0


class RawClient:
    """Calls one sandbox, and closes what it opened."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        now = int(time.time() * 1000)
        self.resource = f"PYTHON-0_1_0-{uuid.uuid4()}-{now}"
        self.device_id = f"{sandbox.app_id}_{uuid.uuid4()}_{now}"
        self.headers = {
            "appId": sandbox.app_id,
            "Accept": "application/json",
            "Content-Type": "application/json",
            "sdk": "python@0.1.0",
            "resource": self.resource,
        }
        self.device = {
            "platform": "python",
            "deviceId": self.device_id,
            "appInfo": {"version": "0.1.0", "apiVersion": "v3.0", "userAgent": "tests"},
        }
        self._http = requests.Session()
        self._sockets: List[websocket.WebSocket] = []

    def call(
        self, method: str, path: str, *, headers: Any = None, body: Any = None, **options: Any
    ) -> requests.Response:
        """Make one HTTP call with the usual headers. A header of None is left out."""
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        options.setdefault("timeout", TIMEOUT)
        return self._http.request(
            method,
            self.sandbox.url + path,
            headers={**self.headers, **(headers or {})},
            data=data,
            verify=self.sandbox.ca_certs or True,
            **options,
        )

    def create_token(self, uid: str, **headers: Any) -> requests.Response:
        return self.call(
            "POST",
            f"/users/{uid}/auth_tokens",
            headers={"apiKey": self.sandbox.auth_key, **headers},
            body=self.device,
        )

    def me(self, token: Optional[str], **headers: Any) -> requests.Response:
        return self.call("PUT", "/me", headers={"authToken": token, **headers}, body=self.device)

    def log_in(self, uid: str = "cometchat-uid-1") -> Dict[str, Any]:
        token = self.create_token(uid).json()["data"]["authToken"]
        data = self.me(token).json()["data"]
        assert isinstance(data, dict)
        return data

    def auth_frame(self, uid: str, jwt: str, *, presence: Optional[str] = "ALL_USERS", **body: Any) -> Dict[str, Any]:
        content: Dict[str, Any] = {
            "auth": jwt,
            "deviceId": self.resource,
            "params": {
                "appInfo": {
                    "version": "0.1.0",
                    "apiVersion": "v3.0",
                    "origin": "",
                    "uts": int(time.time() * 1000),
                },
                "userAgent": "",
                "deviceId": self.device_id,
                "platform": "python",
            },
            **body,
        }
        if presence is not None:
            content["presenceSubscription"] = presence
        return {
            "appId": self.sandbox.app_id,
            "deviceId": self.resource,
            "type": "auth",
            "sender": uid,
            "body": content,
        }

    def frame(self, kind: str, uid: str, receiver: str, body: Dict[str, Any], **envelope: Any) -> Dict[str, Any]:
        return {
            "appId": self.sandbox.app_id,
            "receiver": receiver,
            "receiverType": "user",
            "deviceId": self.resource,
            "type": kind,
            "sender": uid,
            "body": {"user": {"uid": uid, "name": "as it likes"}, **body},
            **envelope,
        }

    def open(self, path: str = "/", timeout: float = TIMEOUT) -> websocket.WebSocket:
        """Open a WebSocket that has not sent anything yet."""
        sslopt = {"ca_certs": self.sandbox.ca_certs} if self.sandbox.ca_certs else {}
        socket = websocket.create_connection(
            self.sandbox.url.replace("http", "ws", 1) + path, timeout=timeout, sslopt=sslopt
        )
        self._sockets.append(socket)
        return socket

    def connect(self, uid: str = "cometchat-uid-1", *, path: str = "/", **auth: Any) -> websocket.WebSocket:
        """Open a WebSocket whose auth has been accepted."""
        socket = self.open(path)
        self.send(socket, self.auth_frame(uid, self.sandbox.jwt(uid), **auth))
        assert self.receive(socket) == {"type": "auth", "body": {"code": "200", "status": "OK"}}
        return socket

    def send(self, socket: websocket.WebSocket, frame: Dict[str, Any]) -> None:
        socket.send(json.dumps(frame))

    def receive(self, socket: websocket.WebSocket) -> Any:
        return json.loads(socket.recv())

    def hears_nothing(self, socket: websocket.WebSocket, seconds: float = 0.15) -> bool:
        """Return whether no message arrives within this many seconds, on a connection that stays open."""
        socket.settimeout(seconds)
        try:
            socket.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            socket.settimeout(TIMEOUT)
        return False

    def close(self) -> None:
        self._http.close()
        for socket in self._sockets:
            socket.shutdown()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def make_client() -> Iterator[Callable[[Sandbox], RawClient]]:
    """Make raw clients, and close all of them after the test."""
    clients: List[RawClient] = []

    def make(sandbox: Sandbox) -> RawClient:
        clients.append(RawClient(sandbox))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(sandbox: Sandbox, make_client: Callable[[Sandbox], RawClient]) -> RawClient:
    return make_client(sandbox)


@pytest.fixture
def say(client: RawClient, sandbox: Sandbox) -> Callable[..., requests.Response]:
    """Make calls as a user. Each returns the whole answer."""

    def call(
        uid: str, method: str, path: str, body: Any = None, by: RawClient = client, headers: Any = None, **options: Any
    ) -> requests.Response:
        headers = {"authToken": sandbox.auth_token(uid), **(headers or {})}
        return by.call(method, path, headers=headers, body=body, **options)

    return call


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Assert that every test ends without a thread of the sandbox."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("cometchat-sandbox")]
    assert left == []
