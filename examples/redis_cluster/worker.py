"""One of many processes that share a connection. It prints a line for each status change and each text.

    python examples/redis_cluster/worker.py

COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY name the account, REDIS_URL the Redis
(``pip install ".[redis]"``). Start it as often as you like, on as many machines: the service sees one connection.
``run.py`` does all this in one command.
"""

import os

from cometchat import AppSettings, Client, CometChatException, ConnectionListener, MessageListener, TextMessage
from cometchat.contrib.redis import RedisStatusStore

env = os.environ

# The store, in the settings of every process. All other code is the same as without it.
store = RedisStatusStore(env.get("REDIS_URL", "redis://localhost:6379/0"))
client = Client(env["COMETCHAT_APP_ID"], AppSettings.from_env(status_store=store))


class Status(ConnectionListener):
    def on_connecting(self) -> None:
        print("connecting", flush=True)

    def on_connected(self) -> None:
        print("connected (holds the connection)" if store.leads else "connected", flush=True)

    def on_disconnected(self) -> None:
        print("disconnected", flush=True)

    def on_connection_error(self, error: CometChatException) -> None:
        print(f"error {error.code}: {error.message}", flush=True)


class Messages(MessageListener):
    def on_text_message_received(self, message: TextMessage) -> None:
        print(f"message {message.text!r}", flush=True)


client.add_connection_listener("status", Status())
client.add_message_listener("messages", Messages())
client.login(env["COMETCHAT_UID"], env["COMETCHAT_AUTH_KEY"])
client.run_forever()  # until Ctrl-C or SIGTERM: then another process takes over at once
