"""A worker of a stream that works in order, to be killed at any moment and started again.

Usage: stream_bot.py URL APP_ID FOLDER LOG REDIS. The folder holds the session and the outbox: each machine has its own.
The log gets ``ready PID`` when the worker listens, and ``begin N PID`` when a callback begins with message N.
"""

from __future__ import annotations

import os
import sys
import threading

import tenacity

from cometchat import AppSettings, Client, FileSessionStore, MessageListener, TextMessage
from cometchat.contrib.redis import EventStream, RedisStatusStore


class Bot(MessageListener):
    """Answers each message through the outbox."""

    def __init__(self, client: Client, log: int) -> None:
        self._client = client
        self._log = log

    def on_text_message_received(self, message: TextMessage) -> None:
        """The muid comes from the message's id: a message that is handled again is not answered again."""
        if message.sender is not None and message.sender.uid == "cometchat-uid-1":
            return  # another worker has sent it
        os.write(self._log, f"begin {message.text} {os.getpid()}\n".encode())
        answer = TextMessage(
            text=f"re {message.text}", receiver_id="cometchat-uid-3", receiver_type="user", muid=f"answer-{message.id}"
        )
        self._client.outbox.put(answer)


def main(url: str, app_id: str, folder: str, log_path: str, redis: str) -> None:
    store = RedisStatusStore(redis, lease=1.0)
    settings = AppSettings(
        region="us",
        admin_host=url,
        client_host=url,
        session_store=FileSessionStore(os.path.join(folder, "session.json")),
        outbox_path=os.path.join(folder, "outbox.db"),
        status_store=store,
        reconnect_wait=tenacity.wait_random(0, 0.05),
    )
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    client = Client(app_id, settings)
    client.connect()
    stream = EventStream(client, store, group="bot", in_order=True)
    stream.listen(Bot(client, log))
    os.write(log, f"ready {os.getpid()}\n".encode())
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
