"""A bot with a durable inbox, to be killed at any moment and started again.

Usage: inbox_bot.py URL APP_ID FOLDER. The folder holds the session, the inbox, the outbox and the log. The log gets the
line ``run`` when the bot starts, ``begin N`` when a callback begins with message N, and ``end N`` when it is done.
"""

from __future__ import annotations

import os
import sys
import threading

import tenacity

from cometchat import AppSettings, Client, FileSessionStore, MessageListener, TextMessage


class Bot(MessageListener):
    """Answers each message through the outbox."""

    def __init__(self, client: Client, log: int) -> None:
        self._client = client
        self._log = log

    def on_text_message_received(self, message: TextMessage) -> None:
        """The muid comes from the message's id: a message that is handled again is not answered again."""
        os.write(self._log, f"begin {message.text}\n".encode())
        answer = TextMessage(
            text=f"re {message.text}", receiver_id="cometchat-uid-3", receiver_type="user", muid=f"answer-{message.id}"
        )
        self._client.outbox.put(answer)
        os.write(self._log, f"end {message.text}\n".encode())


def main(url: str, app_id: str, folder: str) -> None:
    settings = AppSettings(
        region="us",
        admin_host=url,
        client_host=url,
        session_store=FileSessionStore(os.path.join(folder, "session.json")),
        inbox_path=os.path.join(folder, "inbox.db"),
        outbox_path=os.path.join(folder, "outbox.db"),
        reconnect_wait=tenacity.wait_random(0, 0.05),
    )
    log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, b"run\n")
    client = Client(app_id, settings)
    client.add_message_listener("bot", Bot(client, log))
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
