"""A process that shares a connection. It prints its events, and carries out commands from standard input.

Each line of output is JSON: the monotonic time and the event. ``MEMBER`` in the environment is the set-up, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict

import tenacity

from cometchat import (
    AppSettings,
    Client,
    CometChatException,
    ConnectionListener,
    MessageListener,
    TextMessage,
    TypingIndicator,
)
from cometchat.contrib.redis import RedisStatusStore

_pid = os.getpid()


def say(what: str, value: Any = None) -> None:
    if os.getpid() != _pid:
        what = f"child {what}"
    line = json.dumps([time.monotonic(), what, value]) + "\n"
    # One write, without a lock: if another thread held it at a fork, the child would wait for it forever.
    os.write(1, line.encode())


class Connection(ConnectionListener):
    def on_connecting(self) -> None:
        say("connecting")

    def on_connected(self) -> None:
        say("connected")

    def on_feature_throttled(self) -> None:
        say("featureThrottled")

    def on_disconnected(self) -> None:
        say("disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        say("error", [error.code, error.message])


class Messages(MessageListener):
    def on_text_message_received(self, message: TextMessage) -> None:
        say("text", message.text)

    def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
        say("typing", typing_indicator.sender.uid if typing_indicator.sender else None)


def main() -> None:
    told: Dict[str, Any] = json.loads(os.environ["MEMBER"])
    store = RedisStatusStore(told["redis"], lease=told["lease"], min_replicas=told.get("min_replicas", 0))
    wait = tenacity.wait_random(0, told["wait"]) if "wait" in told else None
    settings = AppSettings(admin_host=told["url"], client_host=told["url"], status_store=store, reconnect_wait=wait)
    client = Client(told["app_id"], settings)
    client.add_connection_listener("here", Connection())
    client.add_message_listener("here", Messages())
    client.login(told["uid"], told["auth_key"])
    stream = None
    if told.get("group"):
        stream = streamed(client, store, told)

    def fork() -> None:
        child = os.fork()
        if child:
            say("child", child)
            os.waitpid(child, 0)
            return
        client.connect(20)
        say("is", [str(client.get_connection_status()), store.leads])
        client.close()
        os._exit(0)

    def poll() -> None:
        for _ in range(10_000):
            client.get_connection_status()
        say("polled")

    acts: Dict[str, Callable[[], object]] = {
        "typing": lambda: client.start_typing(told["peer"], "user"),
        "status": lambda: say("status", str(client.get_connection_status())),
        "leads": lambda: say("leads", store.leads),
        "poll": poll,
        "fork": fork,
    }
    for line in sys.stdin:
        if line.strip() == "close":
            break
        acts[line.strip()]()
    began = time.monotonic()
    if stream is not None:
        stream.close()
    client.close()
    say("closed", time.monotonic() - began)


def first(mark: str) -> bool:
    """Return whether this process is the first of all to ask."""
    try:
        open(mark, "x").close()
    except FileExistsError:
        return False
    return True


def streamed(client: Client, store: RedisStatusStore, told: Dict[str, Any]) -> Any:
    from cometchat.contrib.redis import EventStream

    class Worker(MessageListener):
        def on_text_message_received(self, message: TextMessage) -> None:
            say("begun", message.text)
            if message.text == told.get("hang_at") and first(told["mark"]):
                threading.Event().wait(60)
            say("handled", message.text)

    stream = EventStream(client, store, group=told["group"], claim_after=told.get("claim_after", 60.0))
    stream.listen(Worker())
    return stream


if __name__ == "__main__":
    main()
