"""A bot with a durable inbox. A test kills it at any moment, and starts it again.

Usage: inbox_bot.py URL APP_ID FOLDER [REDIS]. With the address of a Redis, several bots share one connection. The
folder holds the session, the inbox, the outbox and the log. The log gets the line ``run`` when the bot starts, ``begin
N PID`` when a callback begins with message N, and ``end N`` when it is done.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from pathlib import Path

import tenacity

from cometchat import AppSettings, Client, FileSessionStore, MessageListener, TextMessage


class Bot(MessageListener):
    """Answers each message through the outbox."""

    def __init__(self, client: Client, log: int) -> None:
        self._client = client
        self._log = log

    def on_text_message_received(self, message: TextMessage) -> None:
        """Put the answer. Its muid comes from the message's id, so that a repeated message has one answer."""
        if message.sender is not None and message.sender.uid == "cometchat-uid-1":
            return  # another worker has sent it
        os.write(self._log, f"begin {message.text} {os.getpid()}\n".encode())
        answer = TextMessage(
            text=f"re {message.text}", receiver_id="cometchat-uid-3", receiver_type="user", muid=f"answer-{message.id}"
        )
        self._client.outbox.put(answer)
        os.write(self._log, f"end {message.text}\n".encode())


def has_begun(path: Path) -> bool:
    """Return True if a bot has found the place to begin at."""
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=10.0)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM starts").fetchone()[0] == 1
        except sqlite3.OperationalError:  # the bot has not made the table yet
            return False


def main(url: str, app_id: str, folder: str, redis: str = "") -> None:
    store = None
    if redis:
        from cometchat.contrib.redis import RedisStatusStore

        store = RedisStatusStore(redis, lease=1.0)
    settings = AppSettings(
        region="us",
        admin_host=url,
        client_host=url,
        session_store=FileSessionStore(os.path.join(folder, "session.json")),
        inbox_path=os.path.join(folder, "inbox.db"),
        outbox_path=os.path.join(folder, "outbox.db"),
        status_store=store,
        reconnect_wait=tenacity.wait_random(0, 0.05),
    )
    log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, b"run\n")
    client = Client(app_id, settings)
    client.add_message_listener("bot", Bot(client, log))
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
