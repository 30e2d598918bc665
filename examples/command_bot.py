"""A bot with commands and files.

    python examples/command_bot.py

It answers /help, /count, /log (sends the conversation as a file) and /forget, and names the files that it receives.
COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY name its account. Without an account:

    python examples/play.py examples/command_bot.py Hello /count /log
"""

import os
from typing import Callable, Dict

from cometchat import AppSettings, Client, CometChatException, MediaMessage, MessageListener, TextMessage

ME = os.environ["COMETCHAT_UID"].lower()  # as the service writes it


class Bot(MessageListener):
    """Callbacks run one at a time. While a command runs, the next message waits and is not lost."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: Dict[str, TextMessage] = {}  # uid -> the newest answer
        self.commands: Dict[str, Callable[[TextMessage], None]] = {
            "/help": self.help,
            "/count": self.count,
            "/log": self.log,
            "/forget": self.forget,
        }

    def on_text_message_received(self, message: TextMessage) -> None:
        if message.sender.uid == ME or message.receiver_type != "user":
            return
        words = message.text.split()
        command = self.commands.get(words[0].lower() if words else "", self.help)
        try:
            self.client.add_reaction(message, "👀")
            command(message)
        except CometChatException as error:  # from the service, such as ERR_BLOCKED_SENDER: the bot continues
            print(f"{message.text!r} of {message.sender.uid}: {error}", flush=True)

    def on_media_message_received(self, message: MediaMessage) -> None:
        if message.sender.uid != ME and message.receiver_type == "user":
            sizes = ", ".join(f"{each.name} ({each.size} bytes)" for each in message.attachments)
            self.client.send_text(f"Thank you for {sizes}", uid=message.sender.uid, parent_message_id=message.id)

    def help(self, message: TextMessage) -> None:
        self.say(message, f"I know {', '.join(sorted(self.commands))}")

    def count(self, message: TextMessage) -> None:
        answer = self.say(message, "I count ...")
        texts = [each for each in self.client.get_messages(uid=message.sender.uid) if isinstance(each, TextMessage)]
        self.client.edit_message(answer, f"We have {len(texts)} texts")

    def log(self, message: TextMessage) -> None:
        history = self.client.get_messages(uid=message.sender.uid, after="0")
        lines = [f"{each.sender.uid}: {each.text}" for each in history if isinstance(each, TextMessage)]
        log = "\n".join(lines).encode()
        self.client.send_media_message(log, uid=message.sender.uid, name="log.txt", caption=f"{len(lines)} lines")

    def forget(self, message: TextMessage) -> None:
        answer = self.answers.pop(message.sender.uid, None)
        if answer is not None:
            self.client.delete_message(answer)

    def say(self, message: TextMessage, text: str) -> TextMessage:
        answer = self.client.send_text(text, uid=message.sender.uid)
        self.answers[message.sender.uid] = answer
        return answer


if __name__ == "__main__":
    client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
    client.add_message_listener(Bot(client))
    client.login(ME, os.environ["COMETCHAT_AUTH_KEY"])
    client.run_forever()
