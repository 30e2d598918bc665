"""Answer each text message with its text.

    python examples/echo_bot.py

With COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY set, the bot is that user, until Ctrl-C.
Without them it runs against a sandbox (``pip install ".[sandbox]"``), gets two messages, and ends.
"""

import os
import threading
from typing import Callable, List

from cometchat import AppSettings, Client, MessageListener, TextMessage


class Echo(MessageListener):
    def __init__(self, client: Client) -> None:
        self.client = client

    def on_text_message_received(self, message: TextMessage) -> None:
        if message.sender.uid == self.client.get_logged_in_user().uid:
            return  # this user's own, from another device
        print(f"{message.sender.uid} says {message.text!r}", flush=True)
        to = message.receiver_id if message.receiver_type == "group" else message.sender.uid
        # Returns at once; a lost connection does not matter.
        self.client.outbox.put(TextMessage(text=message.text, receiver_id=to, receiver_type=message.receiver_type))


def run(app_id: str, settings: AppSettings, uid: str, auth_key: str, wait: Callable[[], object]) -> None:
    with Client(app_id, settings) as client:
        client.add_message_listener("echo", Echo(client))
        client.login(uid, auth_key)
        client.connect(timeout=None)
        print("listening", flush=True)
        wait()


# The bot ends here; below is who it runs as.


def with_account() -> None:
    env = os.environ
    hosts = {"admin_host": env.get("COMETCHAT_ADMIN_HOST"), "client_host": env.get("COMETCHAT_CLIENT_HOST")}
    settings = AppSettings(region=env.get("COMETCHAT_REGION"), **hosts)
    uid, auth_key = env["COMETCHAT_UID"], env["COMETCHAT_AUTH_KEY"]
    try:
        run(env["COMETCHAT_APP_ID"], settings, uid, auth_key, threading.Event().wait)
    except KeyboardInterrupt:
        print("bye")


def with_sandbox() -> None:
    from cometchat.sandbox import Sandbox

    with Sandbox() as sandbox:

        def answered() -> List[str]:
            return [message["data"]["text"] for message in sandbox.messages if message["sender"] == "cometchat-uid-1"]

        def conversation() -> None:
            for text in ("Hello", "Is anybody there?"):
                sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", text)
                assert sandbox.wait_until(lambda: text in answered(), 10), "no answer came"
                print(f"cometchat-uid-2 got {text!r} back", flush=True)

        run(sandbox.app_id, sandbox.settings(), "cometchat-uid-1", sandbox.auth_key, conversation)


if __name__ == "__main__":
    if "COMETCHAT_APP_ID" in os.environ:
        with_account()
    else:
        with_sandbox()
