"""A worker of a stream that works in order. A test kills it at any moment, and starts it again.

Usage, in the tests' folder: python -m contrib.stream_bot URL APP_ID FOLDER LOG REDIS. The folder holds the session and
the outbox. Each machine has a separate folder. The bot answers like tests/integration/inbox_bot.py. The log gets
``ready PID`` when the worker listens, and ``begin N PID`` when a callback begins with message N.
"""

from __future__ import annotations

import os
import sys
import threading

import tenacity
from integration.inbox_bot import Bot

from cometchat import AppSettings, Client, FileSessionStore
from cometchat.contrib.redis import EventStream, RedisStatusStore


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
