"""The measured clients: the SDK and its peers, each in a separate process.

``python -m benchmarks.subjects NAME PORT COUNT [--stamped] [--without MODULE ...]`` connects, and prints a line of JSON
with the result after COUNT events. With ``--idle`` it does nothing for COUNT seconds, and prints the cost of that.
Every subject calls the same :class:`Tally` with the result that its user would get. Where a protocol delivers text, the
subject decodes it, as its user would have to.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List

#: Maximum time for all events, in seconds. After that, a subject has lost some.
PATIENCE = 120.0


class Tally:
    """Counts events on the thread on which they arrive. The last one stops the clock.

    :param stamped: the user's name is the time of sending, and the tally keeps the latency of each event.
    """

    def __init__(self, count: int, stamped: bool) -> None:
        self.latencies: List[int] = []
        self.done = threading.Event()
        self.last = 0.0
        self._count = count
        self._numbers = itertools.count(1)
        self.event: Callable[[Dict[str, Any]], None] = self._stamped if stamped else self._counted
        self.user: Callable[[Any], None] = self._stamped_user if stamped else self._counted

    def _counted(self, event: Any) -> None:
        if next(self._numbers) == self._count:
            self._end()

    def _stamped(self, event: Dict[str, Any]) -> None:
        self.latencies.append(time.monotonic_ns() - int(event["body"]["user"]["name"]))
        self._counted(event)

    def _stamped_user(self, user: Any) -> None:
        self.latencies.append(time.monotonic_ns() - int(user.name))
        self._counted(user)

    def _end(self) -> None:
        self.last = time.monotonic()
        self.done.set()


def sdk(port: int, tally: Tally) -> None:
    """Run this SDK: typed users, on the dispatcher thread, each listener guarded."""
    from cometchat import AppSettings, Client, UserListener

    class Listener(UserListener):
        on_user_online = staticmethod(tally.user)

    client = Client("app", settings(AppSettings, port, max_queued_events=10_000_000, subscription_type="ALL_USERS"))
    client.add_user_listener("bench", Listener())
    client.login("uid1", "auth-key")
    client.connect()


#: Number of listeners of the subjects with many.
CROWD = 100


class Heard:
    """One of many listeners. It keeps the newest user."""

    newest: Any = None

    def hear(self, user: Any) -> None:
        """Keep the user."""
        self.newest = user


def sdk_crowd(port: int, tally: Tally) -> None:
    """Run this SDK with a hundred listeners. The last one counts."""
    from cometchat import AppSettings, Client, UserListener

    class Listener(UserListener, Heard):
        on_user_online = Heard.hear

    class Last(UserListener):
        on_user_online = staticmethod(tally.user)

    client = Client("app", settings(AppSettings, port, max_queued_events=10_000_000, subscription_type="ALL_USERS"))
    for number in range(CROWD - 1):
        client.add_user_listener(str(number), Listener())
    client.add_user_listener("last", Last())
    client.login("uid1", "auth-key")
    client.connect()


def loop_crowd(port: int, tally: Tally, **options: Any) -> None:
    """Run the hand-written loop with a for loop over a hundred bound methods. The last one counts."""
    import websocket

    methods = [*(Heard().hear for _ in range(CROWD - 1)), tally.event]

    def receive() -> None:
        loads = json.loads
        while True:
            event = loads(ws.recv())
            for method in methods:
                method(event)

    ws = websocket.create_connection(f"ws://127.0.0.1:{port}/plain", **options)
    ws.send("ready")
    _in_thread(receive)


def loop_crowd_trusting(port: int, tally: Tally) -> None:
    """Run the same with skip_utf8_validation."""
    loop_crowd(port, tally, skip_utf8_validation=True)


def settings(cls: Any, port: int, **others: Any) -> Any:
    """Return AppSettings for the server at a port."""
    base = f"http://127.0.0.1:{port}"
    return cls(admin_host=base, client_host=base, **{"auto_establish_socket_connection": False, **others})


def loop(port: int, tally: Tally, **options: Any) -> None:
    """Run websocket-client: create_connection, recv, json.loads, on the calling thread."""
    import websocket

    ws = websocket.create_connection(f"ws://127.0.0.1:{port}/plain", **options)
    ws.send("ready")
    _in_thread(lambda: _receive(ws.recv, tally))


def loop_trusting(port: int, tally: Tally) -> None:
    """Run the same with skip_utf8_validation, an option that few users know. json.loads checks UTF-8 in any case."""
    loop(port, tally, skip_utf8_validation=True)


def _receive(recv: Callable[[], Any], tally: Tally) -> None:
    hear, loads = tally.event, json.loads
    while True:
        hear(loads(recv()))


def app(port: int, tally: Tally, **options: Any) -> None:
    """Run websocket-client: WebSocketApp, which calls on_message inline."""
    import websocket

    hear, loads = tally.event, json.loads
    ws = websocket.WebSocketApp(
        f"ws://127.0.0.1:{port}/plain",
        on_open=lambda ws: ws.send("ready"),
        on_message=lambda ws, message: hear(loads(message)),
    )
    _in_thread(lambda: ws.run_forever(**options))


def app_trusting(port: int, tally: Tally) -> None:
    """Run the same with skip_utf8_validation."""
    app(port, tally, skip_utf8_validation=True)


def websockets_sync(port: int, tally: Tally) -> None:
    """Run websockets' threaded client: recv, json.loads."""
    from websockets.sync.client import connect

    def receive() -> None:
        with connect(f"ws://127.0.0.1:{port}/plain", compression=None) as ws:
            ws.send("ready")
            _receive(ws.recv, tally)

    _in_thread(receive)


def pysher(port: int, tally: Tally) -> None:
    """Run Pysher: a threaded Pusher client over WebSocketApp. Its data is JSON in a JSON text."""
    import pysher as library

    hear, loads = tally.event, json.loads
    client = library.Pusher("key", secure=False, custom_host="127.0.0.1", port=port, log_level=logging.CRITICAL)

    def connected(data: Any) -> None:
        client.subscribe("bench").bind("presence", lambda data: hear(loads(data)))

    client.connection.bind("pusher:connection_established", connected)
    client.connect()


def slack(port: int, tally: Tally) -> None:
    """Run slack_sdk's Socket Mode client over WebSocketApp: a queue, and ten workers."""
    from slack_sdk.socket_mode.websocket_client import SocketModeClient

    hear = tally.event
    client = SocketModeClient("xapp-1")
    client.wss_uri = f"ws://127.0.0.1:{port}/slack"
    client.socket_mode_request_listeners.append(lambda client, request: hear(request.payload))
    client.connect()


def signalr(port: int, tally: Tally) -> None:
    """Run signalrcore: a SignalR hub, JSON."""
    from signalrcore.hub_connection_builder import HubConnectionBuilder

    hear = tally.event
    builder = HubConnectionBuilder().with_url(f"ws://127.0.0.1:{port}/signalr", options={"skip_negotiation": True})
    hub = builder.configure_logging(logging.CRITICAL).build()
    hub.on("presence", lambda arguments: hear(arguments[0]))
    hub.start()


def socketio(port: int, tally: Tally) -> None:
    """Run python-socketio's threaded client, only by WebSocket."""
    import socketio as library

    client = library.Client(reconnection=False, handle_sigint=False)
    client.on("presence", tally.event)
    client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])


def mqtt(port: int, tally: Tally) -> None:
    """Run paho-mqtt over WebSocket: QoS 0, json.loads."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    hear, loads = tally.event, json.loads
    client = Client(CallbackAPIVersion.VERSION2, transport="websockets")
    client.ws_set_options(path="/mqtt")
    client.on_connect = lambda client, *others: client.subscribe("bench")
    client.on_message = lambda client, data, message: hear(loads(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    KEPT.append(client)


#: Keeps objects from the garbage collector during the run.
KEPT: List[Any] = []

SUBJECTS: Dict[str, Callable[[int, Tally], None]] = {
    "cometchat": sdk,
    "loop": loop,
    "loop-trusting": loop_trusting,
    "app": app,
    "app-trusting": app_trusting,
    "websockets": websockets_sync,
    "pysher": pysher,
    "slack": slack,
    "signalr": signalr,
    "socketio": socketio,
    "mqtt": mqtt,
    "cometchat-100": sdk_crowd,
    "loop-100": loop_crowd,
    "loop-trusting-100": loop_crowd_trusting,
}


def idle(tally: Tally, seconds: float) -> Dict[str, float]:
    """Return the wake-ups and CPU seconds of the process's threads, except this one, without traffic."""
    tally.done.wait(2.0)  # the work of connecting is over
    before, cpu = switches(), time.process_time()
    tally.done.wait(seconds)
    return {
        "wakeups": wakeups_since(before),
        "cpu": time.process_time() - cpu,
        "threads": threading.active_count() - 1,
        "seconds": seconds,
    }


def switches() -> Dict[str, int]:
    """Return how often each thread of this process, except the calling one, has stopped waiting so far."""
    found = {}
    for task in os.listdir("/proc/self/task"):
        if int(task) == threading.get_native_id():
            continue
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/status", encoding="ascii") as lines:
            found[task] = sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return found


def wakeups_since(before: Dict[str, int]) -> int:
    """Return how often threads that still run have stopped waiting since then."""
    return sum(count - before.get(task, 0) for task, count in switches().items())


def _in_thread(work: Callable[[], Any]) -> None:
    threading.Thread(target=work, name="bench", daemon=True).start()


def main() -> None:
    """Run one subject."""
    parser = argparse.ArgumentParser(prog="benchmarks.subjects")
    parser.add_argument("name", choices=SUBJECTS)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--stamped", action="store_true")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--idle", action="store_true")
    given = parser.parse_args()
    for name in given.without:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails, as if it were not installed
    tally = Tally(given.count, given.stamped)
    SUBJECTS[given.name](given.port, tally)
    if given.idle:
        sys.stdout.write(json.dumps(idle(tally, given.count)) + "\n")
        sys.stdout.flush()
        os._exit(0)  # some peers' threads are not daemons
    if not tally.done.wait(PATIENCE):
        sys.exit(f"{given.name}: not all of the events arrived")
    latencies = sorted(latency / 1000 for latency in tally.latencies)
    sys.stdout.write(json.dumps({"last": tally.last, "cpu": time.process_time(), "latencies": latencies}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some peers' threads are not daemons


if __name__ == "__main__":
    main()
