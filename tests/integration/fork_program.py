"""A program that forks while it is connected, and while other threads hold every lock that there is.

Usage: fork_program.py URL APP_ID AUTH_KEY FOLDER. Prints what parent and child see, a line each.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from typing import List

from cometchat import AppSettings, CometChat, ConnectionListener, TextMessage


class Heard(ConnectionListener):
    def __init__(self) -> None:
        self.names: List[str] = []

    def on_connecting(self) -> None:
        self.names.append("on_connecting")

    def on_connected(self) -> None:
        self.names.append("on_connected")

    def on_disconnected(self) -> None:
        self.names.append("on_disconnected")


def say(who: str, *what: object) -> None:
    os.write(1, f"{who}: {' '.join(map(str, what))}\n".encode())


def hold_every_lock(held: threading.Event, release: threading.Event) -> None:
    client = CometChat._client
    assert client is not None
    parts = [client._registry, client._dispatcher, client._connection, client._account, client._account._secrets]
    parts += [client._inbox, client._sender, client._outbox_delivery._thread]
    with contextlib.ExitStack() as stack:
        for part in parts:
            stack.enter_context(part._lock)  # type: ignore[attr-defined]
        stack.enter_context(CometChat._lock)
        stack.enter_context(client._logging_in)
        held.set()
        release.wait(20)


def main(url: str, app_id: str, auth_key: str, folder: str) -> None:
    heard = Heard()
    CometChat.add_connection_listener("heard", heard)
    settings = AppSettings(admin_host=url, client_host=url, region="us", outbox_path=os.path.join(folder, "o.db"))
    CometChat.init(app_id, settings)
    CometChat.login("cometchat-uid-1", auth_key)
    CometChat.connect(10)
    CometChat.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="before"))
    assert CometChat.outbox.flush(10)
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold_every_lock, args=(held, release))
    holder.start()
    held.wait(20)
    warnings.simplefilter("ignore")  # Python warns of forking with threads
    if os.fork() == 0:
        user = CometChat.get_logged_in_user()
        say("child", user.uid if user else None)
        CometChat.wait_for_status("connected", 10)  # by itself
        assert CometChat.ping(10) > 0
        CometChat.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="of the child"))
        assert CometChat.outbox.flush(10)
        CometChat.disconnect()
        say("child", *heard.names[2:])  # without the parent's
        sys.exit(0)  # with all that Python does at its end
    release.set()
    holder.join()
    _, status = os.wait()
    say("parent", "the child ended with", status)
    if os.fork() == 0:
        sys.exit(0)  # without having touched the SDK
    os.wait()
    assert CometChat.ping(10) > 0
    CometChat.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="after"))
    assert CometChat.outbox.flush(10)
    say("parent", CometChat.get_connection_status(), *heard.names)


if __name__ == "__main__":
    main(*sys.argv[1:])
