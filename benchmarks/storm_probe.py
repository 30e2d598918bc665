"""Measurements of many clients in one process: ``python -m benchmarks.storm_probe NAME PORT JSON``, as ``probe``.

The bare peer is one thread per client with websocket-client: it connects, sends the same ``auth`` frame, and receives
until it loses the connection. Then it waits 0 to 1 s, as the SDK does by default, and connects again.
"""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Dict, List, Sequence

from .probe import Ups, bare_connect, client_of, main, raise_descriptor_limit

#: Seconds between two requests to the view of an application, and the work of one, in milliseconds of Python.
_VIEW_EVERY, _VIEW_WORK = 0.01, 1.0

#: Clients and sockets that must stay connected.
_KEPT: List[Any] = []

#: Seconds after the last reconnect, for its further work, such as the fetch of missed messages.
_REST = 1.0

_BODY = {"platform": "python", "deviceId": "app_1_1"}


class View(threading.Thread):
    """Another thread of the application: every 10 ms a request comes, and needs 1 ms of Python.

    :ivar millis: from the moment that each request was due to the end of its work.
    :ivar cpu: seconds of CPU that this thread used.
    """

    def __init__(self) -> None:
        super().__init__(name="bench-view", daemon=True)
        self.millis: List[float] = []
        self.cpu = 0.0
        self._ended = False
        self._steps = _steps(_VIEW_WORK / 1000)

    def run(self) -> None:
        """Answer requests until the end."""
        while not self._ended:
            due = time.perf_counter() + _VIEW_EVERY
            time.sleep(_VIEW_EVERY)
            _work(self._steps)
            self.millis.append((time.perf_counter() - due) * 1000)
        self.cpu = time.thread_time()

    def end(self) -> None:
        """Stop after the request that is being answered."""
        self._ended = True
        self.join()


def _work(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += number & 7
    return total


def _steps(seconds: float) -> int:
    """Return how many steps of work take so long, on this machine."""
    steps, best = 20_000, 1.0
    for _ in range(5):
        began = time.perf_counter()
        _work(steps)
        best = min(best, time.perf_counter() - began)
    return max(1, int(steps * seconds / best))


class BarePeer(threading.Thread):
    """One bare client, which connects again until the process ends."""

    def __init__(self, port: int, auth: str, up: Ups) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._auth = auth
        self._up = up

    def run(self) -> None:
        """Connect, receive until the connection is lost, wait, and repeat."""
        import websocket

        while True:
            try:
                ws = bare_connect(self._port, self._auth, timeout=10)
                ws.settimeout(None)
                self._up.on_connected()
                while ws.recv():
                    pass
            except (OSError, websocket.WebSocketException):
                time.sleep(random.random())


def auth_frame(jwt: str) -> str:
    """Return the first frame that the SDK sends."""
    device = "PYTHON-0_0_0-00000000-0000-4000-8000-000000000000-1700000000000"
    info = {"version": "0.0.0", "apiVersion": "v3.0", "origin": "", "uts": 1700000000000}
    agent = {"appInfo": info, "userAgent": "bench/0.0.0", "deviceId": "app_1_1", "platform": "python"}
    body = {"auth": jwt, "deviceId": device, "params": agent}
    return json.dumps({"appId": "app", "deviceId": device, "type": "auth", "sender": "uid1", "body": body})


def _start_peer(port: int, auth: str, up: Ups) -> None:
    BarePeer(port, auth, up).start()
    up.back.wait(30)


def _start_client(port: int, up: Ups, **settings: Any) -> None:
    client = client_of(port, **settings)
    _KEPT.append(client)
    client.add_connection_listener("bench", up)
    client.connect()


def _connected(count: int, connect: Callable[[Ups], None]) -> List[Ups]:
    """Connect a number of clients, four at a time. Return a listener of each."""
    raise_descriptor_limit()
    ups = [Ups() for _ in range(count)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(connect, ups))
    for up in ups:
        assert up.back.wait(30)
    return ups


def _await_all(ups: Sequence[Ups], since: float, limit: float) -> List[float]:
    """Return the seconds until each client was back, without clients that were not back within the limit."""
    ends = time.monotonic() + limit
    for up in ups:
        up.back.wait(max(0.0, ends - time.monotonic()))
    return sorted(up.at - since for up in ups if up.back.is_set())


def storm(
    port: int, drop: Callable[..., float], clients: int, jwt: str, bare: bool, limit: float, rest: float = _REST
) -> Dict[str, Any]:
    """Measure the seconds from a drop until each client is back, the CPU of this process, and the times of the view.

    :param limit: maximum time of the storm, in seconds.
    """
    connect = partial(_start_peer, port, auth_frame(jwt)) if bare else partial(_start_client, port)
    ups = _connected(clients, connect)
    nap, view = threading.Event(), View()
    nap.wait(rest)
    for up in ups:
        up.back.clear()
    view.start()
    cpu = time.process_time()
    waits = _await_all(ups, drop(), limit)
    view.end()
    nap.wait(rest)
    return {"waits": waits, "cpu": time.process_time() - cpu - view.cpu, "view": view.millis}


def logins(port: int, clients: int, threads: int, bare: bool, **_: Any) -> Dict[str, Any]:
    """Measure the seconds of login and connect of a number of clients, which stay connected."""
    raise_descriptor_limit()

    def sdk(_: int) -> None:
        client = client_of(port)
        _KEPT.append(client)
        client.connect()

    def plain(_: int) -> None:
        _KEPT.append(_bare_login(port))

    work = plain if bare else sdk
    work(0)  # imports the modules
    began = time.monotonic()
    if threads == 1:
        for number in range(clients):
            work(number)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(clients)))
    return {"took": time.monotonic() - began}


def _bare_login(port: int) -> Any:
    """Make the same calls with requests and websocket-client. The session lives as long as the socket."""
    import requests

    base, http = f"http://127.0.0.1:{port}/v3.0", requests.Session()
    http.headers.update({"appId": "app"})
    token = http.post(f"{base}/users/uid1/auth_tokens", headers={"apiKey": "auth-key"}, json=_BODY, timeout=10)
    headers = {"authToken": token.json()["data"]["authToken"]}
    jwt = http.put(f"{base}/me", headers=headers, json=_BODY, timeout=10).json()["data"]["jwt"]
    return http, bare_connect(port, auth_frame(jwt))


def returns(
    port: int, drop: Callable[..., float], clients: int, away: float, spread: float, limit: float
) -> Dict[str, Any]:
    """Measure the seconds from the return of a server, which was away for some time, until each client is back.

    :param spread: maximum wait between two attempts, in seconds. It stands for an hour without the server: the default
        strategy then waits a random 0 to 30 s.
    """
    import tenacity

    ups = _connected(clients, partial(_start_client, port, reconnect_wait=tenacity.wait_random(0, spread)))
    for up in ups:
        up.back.clear()
    drop("leave")
    threading.Event().wait(away)
    returned = drop("return")
    return {"waits": _await_all(ups, returned, limit)}


PROBES: Dict[str, Callable[..., Dict[str, Any]]] = {"storm": storm, "logins": logins, "returns": returns}


if __name__ == "__main__":
    main(PROBES)
