"""Measurements of the SDK that need a separate process: ``python -m benchmarks.probe NAME PORT JSON``.

Each prints one line of JSON. Its reference, a bare websocket-client or requests, runs in the same process and takes
turns with the SDK.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from typing import Any, Callable, Dict, List

from cometchat import AppSettings, Client, CometChatWSState, ConnectionListener, TextMessage

from .subjects import settings, switches, wakeups_since

#: The ``auth`` frame of a bare client.
_AUTH = json.dumps({"appId": "app", "type": "auth", "sender": "uid1", "body": {"auth": "header.payload.signature"}})
_AUTH = _AUTH.replace('"type": "auth"', '"type":"auth"')

_USER = "uid1", "auth-key"


def client_of(port: int, **others: Any) -> Client:
    """Return a client that is logged in."""
    client = Client("app", settings(AppSettings, port, **others))
    client.login(*_USER)
    return client


def bare_connect(port: int, auth: str = _AUTH, **options: Any) -> Any:
    """Connect with websocket-client, send the ``auth`` frame, and receive its answer."""
    import websocket

    address = f"ws://127.0.0.1:{port}/cometchat"
    ws = websocket.create_connection(address, sockopt=((6, 1, 1),), **options)  # TCP_NODELAY
    ws.send(auth)
    if '"200"' not in ws.recv():
        ws.close()
        raise websocket.WebSocketException("the server refused the auth frame")
    return ws


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files as far as it may. Return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


class Ups(ConnectionListener):
    """Sets an event when the connection is back."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.at = 0.0

    def on_connected(self) -> None:
        """Set the event."""
        self.at = time.monotonic()
        self.back.set()


def reconnects(port: int, drop: Callable[[], float], clients: int, rounds: int, **_: Any) -> Dict[str, Any]:
    """Measure the seconds from a drop to on_connected with the default waits, for some clients at once.

    The connections are 10 s old.
    """
    ups = [Ups() for _ in range(clients)]
    made = [client_of(port) for _ in ups]
    waits = []
    for client, up in zip(made, ups):
        client.add_connection_listener("bench", up)
        client.connect()
    for _ in range(rounds):
        threading.Event().wait(10.5)  # a connection of this age starts its count of attempts again
        for up in ups:
            up.back.clear()
        dropped = drop()
        for up in ups:
            assert up.back.wait(30)
            waits.append(up.at - dropped)
    for client in made:
        client.close()
    return {"waits": waits}


def own_share(port: int, drop: Callable[[], float], times: int, **_: Any) -> Dict[str, Any]:
    """Measure the same without a wait, and a bare connect and auth."""
    up = Ups()
    client = client_of(port, reconnect_wait=lambda state: 0.0)
    client.add_connection_listener("bench", up)
    client.connect()
    sdk, bare = [], []
    for _ in range(times):
        up.back.clear()
        dropped = drop()
        assert up.back.wait(30)
        sdk.append(up.at - dropped)
        began = time.monotonic()
        ws = bare_connect(port)
        bare.append(time.monotonic() - began)
        ws.close()
    client.close()
    return {"sdk": sdk, "bare": bare}


def disconnects(port: int, drop: Callable[[], float], state: str, times: int, **_: Any) -> Dict[str, Any]:
    """Measure the seconds of disconnect() in one state."""
    client = client_of(port, reconnect_wait=lambda state: 60.0)
    drop()  # from here on the server behaves as the state needs it
    took = []
    wanted = {"online": CometChatWSState.CONNECTED, "throttled": CometChatWSState.FEATURE_THROTTLED}
    for _ in range(times):
        if state != "idle":
            client.connect(timeout=0)
            if state in wanted:
                assert client.wait_for_status(wanted[state], 10)
            else:
                assert _reaches(client, state)
        began = time.monotonic()
        client.disconnect()
        took.append(time.monotonic() - began)
        assert client.get_connection_status() is CometChatWSState.DISCONNECTED
    client.close()
    return {"took": took}


def _reaches(client: Client, phase: str) -> bool:
    """Wait until the connection is in a phase, and a moment longer. The public status has fewer values."""
    nap, deadline = threading.Event(), time.monotonic() + 10
    while time.monotonic() < deadline:
        if client._core.state._machine.phase.value.lower() == phase:
            nap.wait(0.005)
            if client._core.state._machine.phase.value.lower() == phase:
                return True
        nap.wait(0.001)
    return False


def logins(port: int, times: int, **_: Any) -> Dict[str, Any]:
    """Measure the seconds of login, connect and close of new clients, and of the same calls without the SDK."""
    import requests

    def sdk() -> None:
        client = client_of(port)
        client.connect()
        client.close()

    def bare() -> None:
        base, body = f"http://127.0.0.1:{port}/api", {"platform": "python", "deviceId": "app_1_1"}
        with requests.Session() as http:
            token = http.post(f"{base}/users/uid1/auth_tokens", headers={"apiKey": "auth-key"}, json=body, timeout=10)
            headers = {"authToken": token.json()["data"]["authToken"]}
            assert http.put(f"{base}/me", headers=headers, json=body, timeout=10).json()["data"]["jwt"]
            bare_connect(port).close()

    sdk(), bare()
    took: Dict[str, List[float]] = {"sdk": [], "bare": []}
    for _ in range(times):
        for name, work in (("sdk", sdk), ("bare", bare)):
            began = time.monotonic()
            work()
            took[name].append(time.monotonic() - began)
    return took


def relogins(port: int, times: int, **_: Any) -> Dict[str, Any]:
    """Run one client that logs in many times, so that the server counts its HTTP connections."""
    client = client_of(port)
    for _ in range(times):
        client.login(*_USER)
        client.connect()
        client.disconnect()
    client.close()
    return {}


def crowd(port: int, clients: int, windows: int, seconds: float, listens: bool, **_: Any) -> Dict[str, Any]:
    """Measure the memory of further clients in one process, and the CPU of all of them without traffic.

    :param listens: whether each client has a listener.
    """
    raise_descriptor_limit()
    kept, memory = [], []
    step = max(1, clients // 20)
    for number in range(1, clients + 1):
        client = client_of(port)
        if listens:
            client.add_connection_listener(ConnectionListener())
        client.connect()
        kept.append(client)
        if number % step == 0:
            memory.append([number, _rss()])
    nap = threading.Event()
    nap.wait(min(seconds, 2.0))
    spent = []
    for _ in range(windows):
        before, cpu, began = switches(), time.process_time(), time.monotonic()
        nap.wait(seconds)
        passed = time.monotonic() - began
        spent.append([(time.process_time() - cpu) / passed, wakeups_since(before) / passed])
    up = sum(client.get_connection_status() is CometChatWSState.CONNECTED for client in kept)
    return {"memory": memory, "spent": spent, "up": up, "threads": threading.active_count()}


def _rss() -> float:
    """Return the resident memory of this process, in KiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def outbox(port: int, items: int, folder: str, bare_first: bool, **_: Any) -> Dict[str, Any]:
    """Measure puts and drained items per second, of the outbox and of sqlite3 with the same commits and HTTP calls."""
    where = tempfile.mkdtemp(prefix="cometchat-bench-", dir=folder or None)
    path, bare_path = os.path.join(where, "outbox.sqlite"), os.path.join(where, "bare.sqlite")
    bare = _bare_outbox(port, items, bare_path) if bare_first else None
    client = client_of(port, outbox_path=path)
    message = TextMessage(receiver_id="uid2", receiver_type="user", text="x" * 100)
    put = _rate(items, lambda: client.outbox.put(message))
    began = time.monotonic()
    client.connect()
    assert client.outbox.flush(120)
    drain = items / (time.monotonic() - began)
    client.close()
    bare_put, bare_drain = bare or _bare_outbox(port, items, bare_path)
    shutil.rmtree(where, ignore_errors=True)
    return {"put": put, "drain": drain, "bare put": bare_put, "bare drain": bare_drain}


def _bare_outbox(port: int, items: int, path: str) -> "tuple[float, float]":
    import requests

    body = {
        "receiver": "uid2",
        "receiverType": "user",
        "category": "message",
        "type": "text",
        "data": {"text": "x" * 100},
    }
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # The same table as that of the outbox.
    db.execute(
        "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, app_id TEXT, uid TEXT, kind TEXT, muid TEXT,"
        " body TEXT, put_at REAL, UNIQUE (app_id, uid, muid))"
    )
    row = "INSERT INTO items (app_id, uid, kind, muid, body, put_at) VALUES ('app', 'uid1', 'message', ?, ?, ?)"
    put = _rate(items, lambda: db.execute(row, (str(uuid.uuid4()), json.dumps(body), time.time())))
    db.execute("PRAGMA synchronous = NORMAL")
    headers = {"authToken": "uid1_token", "appId": "app"}
    with requests.Session() as http:

        def send() -> None:
            number, _, text = db.execute("SELECT id, muid, body FROM items ORDER BY id LIMIT 1").fetchone()
            answer = http.post(
                f"http://127.0.0.1:{port}/api/messages", json=json.loads(text), headers=headers, timeout=10
            )
            assert answer.json()["data"]["id"]
            db.execute("DELETE FROM items WHERE id = ?", (number,))

        drain = _rate(items, send)
    db.close()
    return put, drain


def _rate(times: int, work: Callable[[], object]) -> float:
    began = time.monotonic()
    for _ in range(times):
        work()
    return times / (time.monotonic() - began)


PROBES: Dict[str, Callable[..., Dict[str, Any]]] = {
    "reconnects": reconnects,
    "own_share": own_share,
    "disconnects": disconnects,
    "logins": logins,
    "relogins": relogins,
    "crowd": crowd,
    "outbox": outbox,
}


def main(probes: Dict[str, Callable[..., Dict[str, Any]]]) -> None:
    """Run one measurement. It asks for a drop or another command by a line, and gets a line as the answer."""
    name, port, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])

    def drop(command: str = "drop") -> float:
        sys.stdout.write(f"{command}\n")
        sys.stdout.flush()
        return float(sys.stdin.readline())

    answer = probes[name](port, drop=drop, **options)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # without an orderly end of the thousand clients


if __name__ == "__main__":
    main(PROBES)
