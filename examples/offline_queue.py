"""Put numbered messages into the outbox, with the network cut in the middle.

    python examples/offline_queue.py

With COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY set, it sends a message every half second
to the user COMETCHAT_TO (default: cometchat-uid-2). Switch off your network to see it work. Without these variables it
runs against a sandbox, whose network it cuts (``pip install ".[sandbox]"``). It ends when all messages are delivered.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
from typing import Any, Callable

from cometchat import AppSettings, Client, CometChatException, ConnectionListener, OutboxListener, TextMessage

COUNT = 10

logger = logging.getLogger("queue")


class Results(OutboxListener):
    def on_delivered(self, message: Any) -> None:
        logger.info("delivered %r as %s", message.text, message.id)

    def on_failed(self, message: Any, error: CometChatException) -> None:
        logger.info("refused %r: %s", message.text, error)


class Line(ConnectionListener):
    def on_connected(self) -> None:
        logger.info("the connection is up")

    def on_disconnected(self) -> None:
        logger.info("the connection is down")


def send(client: Client, receiver: str, between: Callable[[int], object]) -> bool:
    """Put the messages. Returns True when all are delivered. Calls ``between(number)`` before each message."""
    client.add_outbox_listener("results", Results())
    client.add_connection_listener("line", Line())
    for number in range(1, COUNT + 1):
        between(number)
        client.outbox.put(TextMessage(text=f"message {number}", receiver_id=receiver, receiver_type="user"))
        logger.info("put %d; %d wait", number, client.outbox.pending())
    return client.outbox.flush(timeout=600)


def with_account() -> None:
    env = os.environ
    # In a file, so that the messages outlive this process. The next run delivers the rest.
    outbox = os.path.expanduser("~/.local/state/cometchat/example-outbox.db")
    with Client(env["COMETCHAT_APP_ID"], AppSettings.from_env(outbox_path=outbox)) as client:
        client.login(env["COMETCHAT_UID"], env["COMETCHAT_AUTH_KEY"])
        done = send(client, env.get("COMETCHAT_TO", "cometchat-uid-2"), lambda number: time.sleep(0.5))
        logger.info("all delivered" if done else f"the rest waits in {outbox}")


def with_sandbox() -> None:
    from cometchat.sandbox import Sandbox

    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:

        def cut_in_the_middle(number: int) -> None:
            if number == 4:
                assert client.outbox.flush(timeout=10)
                logger.info("--- the network is cut")
                sandbox.refuse_connections()
                sandbox.drop_connections()
                assert client.wait_for_status("connecting", timeout=10)
            elif number == 8:
                logger.info("--- the network is back")
                sandbox.accept_connections()

        with Client(sandbox.app_id, sandbox.settings(outbox_path=os.path.join(folder, "outbox.db"))) as client:
            client.login("cometchat-uid-1", sandbox.auth_key)
            client.connect()
            assert send(client, "cometchat-uid-2", cut_in_the_middle), "some messages still wait"
        stored = [message["data"]["text"] for message in sandbox.messages]
        assert stored == [f"message {number}" for number in range(1, COUNT + 1)], stored
        logger.info("the service has all %d, once each, in order", COUNT)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s")
    logger.setLevel(logging.INFO)
    with contextlib.suppress(KeyboardInterrupt):
        if "COMETCHAT_APP_ID" in os.environ:
            with_account()
        else:
            with_sandbox()
