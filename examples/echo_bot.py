"""Answer each text message to the bot with its text.

    python examples/echo_bot.py

COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY say who the bot is. Without an account:

    python examples/play.py examples/echo_bot.py Hello

An answer's muid is made from the message's id: however often the bot is killed and repeats itself, the service stores
the answer once. COMETCHAT_INBOX_PATH names a file that records what was answered, so that a bot that starts again first
answers what came in between. COMETCHAT_OUTBOX_PATH names one that keeps the answers until the service has taken them.
The user's own messages, from another device, get no answer.
"""

import os

from cometchat import AppSettings, Client, MessageListener, TextMessage


def echo(message: TextMessage) -> None:
    if message.receiver_type == "user" and message.sender.uid != os.environ["COMETCHAT_UID"]:
        to = {"receiver_id": message.sender.uid, "receiver_type": "user"}
        client.outbox.put(TextMessage(text=message.text, muid=f"echo-{message.id}", **to))


client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
client.add_message_listener(MessageListener(on_text_message_received=echo))
client.login(os.environ["COMETCHAT_UID"], os.environ["COMETCHAT_AUTH_KEY"])
client.run_forever()
