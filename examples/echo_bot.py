"""Answer each text message to the bot with its text.

    python examples/echo_bot.py

COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY name the bot's account. Without an account:

    python examples/play.py examples/echo_bot.py Hello

COMETCHAT_INBOX_PATH names a file that records the answered messages. After a restart the bot first answers the messages
that arrived in between. COMETCHAT_OUTBOX_PATH names a file that keeps the answers until the service has stored them.
The answer's muid contains the message's id. So a service that knows the muid stores the answer once, even if the bot
repeats it after a kill. The bot does not answer its own messages from other devices.
"""

import os

from cometchat import AppSettings, Client, MessageListener, TextMessage


def echo(message: TextMessage) -> None:
    if message.receiver_type == "user" and message.sender.uid != os.environ["COMETCHAT_UID"].lower():
        to = {"receiver_id": message.sender.uid, "receiver_type": "user"}
        client.outbox.put(TextMessage(text=message.text, muid=f"echo-{message.id}", **to))


client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
client.add_message_listener(MessageListener(on_text_message_received=echo))
client.login(os.environ["COMETCHAT_UID"], os.environ["COMETCHAT_AUTH_KEY"])
client.run_forever()
