"""A program that puts numbered messages into an outbox file. A test kills it at any moment, and starts it again.

Usage: outbox_sender.py URL APP_ID FOLDER COUNT. The folder holds the session, the outbox and the number of messages put
so far. It prints ``done`` once all are delivered.
"""

from __future__ import annotations

import os
import sys

import tenacity

from cometchat import AppSettings, Client, FileSessionStore, TextMessage


def main(url: str, app_id: str, folder: str, count: int) -> None:
    settings = AppSettings(
        region="us",
        admin_host=url,
        client_host=url,
        session_store=FileSessionStore(os.path.join(folder, "session.json")),
        outbox_path=os.path.join(folder, "outbox.db"),
        reconnect_wait=tenacity.wait_random(0, 0.05),
    )
    progress = os.path.join(folder, "progress")
    client = Client(app_id, settings)
    done = os.path.getsize(progress) if os.path.exists(progress) else 0
    with open(progress, "ab", buffering=0) as file:
        for number in range(done, count):
            message = TextMessage(
                receiver_id="cometchat-uid-2", receiver_type="user", text=str(number), muid=f"muid-{number}"
            )
            client.outbox.put(message)
            file.write(b".")  # one byte for each message, after put() has returned
    assert client.outbox.flush()
    print("done", flush=True)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
