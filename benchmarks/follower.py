"""A process that follows a leader over Redis, and a process that does the same with redis-py and json.loads.

``python -m benchmarks.follower NAME REDIS PORT COUNT`` first prints ``ready``. NAME is ``sdk`` or ``plain`` for a
follower. After COUNT events it prints a line of JSON with the CPU seconds of the events, and the latency of each in
nanoseconds. NAME is ``sdk-lead`` or ``plain-lead`` for the process that holds the connection until its standard input
ends.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Callable, Dict

from .subjects import PATIENCE, Tally, settings

CHANNEL = "bench"


def sdk(address: str, port: int, tally: Tally) -> Any:
    """Run a client of the SDK. It is a follower if another process leads."""
    from cometchat import AppSettings, Client, UserListener
    from cometchat.contrib.redis import RedisStatusStore

    class Listener(UserListener):
        on_user_online = staticmethod(tally.user)

    store = RedisStatusStore(address, lease=10)
    client = Client("app", settings(AppSettings, port, status_store=store, subscription_type="ALL_USERS"))
    client.add_user_listener("bench", Listener())
    client.login("uid1", "auth-key")
    client.connect(PATIENCE)
    return store


def plain(address: str, port: int, tally: Tally) -> None:
    """Run a hand-written subscriber."""
    import redis

    subscriber = redis.Redis.from_url(address).pubsub()
    subscriber.subscribe(CHANNEL)
    subscriber.get_message(timeout=PATIENCE)

    def receive() -> None:
        loads = json.loads
        while True:
            message = subscriber.get_message(timeout=PATIENCE)
            if message is not None:
                tally.event(loads(message["data"]))

    threading.Thread(target=receive, daemon=True).start()


def plain_lead(address: str, port: int, tally: Tally) -> None:
    """Run a hand-written loop that publishes each frame of the WebSocket."""
    import redis
    import websocket

    client = redis.Redis.from_url(address)
    ws = websocket.create_connection(f"ws://127.0.0.1:{port}/plain")
    ws.send("ready")

    def pass_on() -> None:
        while True:
            client.publish(CHANNEL, ws.recv())

    threading.Thread(target=pass_on, daemon=True).start()


PROCESSES: Dict[str, Callable[[str, int, Tally], Any]] = {
    "sdk": sdk,
    "sdk-lead": sdk,
    "plain": plain,
    "plain-lead": plain_lead,
}


def main(name: str, address: str, port: int, count: int) -> int:
    """Run one process. Returns 1 if some events did not arrive."""
    tally = Tally(count, stamped=True)
    store = PROCESSES[name](address, port, tally)
    began = time.process_time()
    print("ready", flush=True)
    if name.endswith("-lead"):
        sys.stdin.read()
        return 0
    if not tally.done.wait(PATIENCE):
        return 1
    cpu = time.process_time() - began
    assert store is None or not store.leads, "it is the leader"
    print(json.dumps({"cpu": cpu, "latencies": sorted(tally.latencies)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
