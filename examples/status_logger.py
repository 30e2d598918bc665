"""Log every transition of the connection, with the error that led to it.

    python examples/status_logger.py

With COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY set, it logs that user's connection until
Ctrl-C or SIGTERM. Without them it runs against a sandbox (``pip install ".[sandbox]"``), which breaks the connection,
refuses a connection, and throttles. Then it ends.
"""

import logging
import os

from cometchat import AppSettings, Client, CometChatException, ConnectionListener

logger = logging.getLogger("status")


class StatusLogger(ConnectionListener):
    """Logs one line per transition. An error comes just before the transition that it causes, if any."""

    def on_connecting(self) -> None:
        logger.info("connecting")

    def on_connected(self) -> None:
        logger.info("connected")

    def on_feature_throttled(self) -> None:
        logger.warning("featureThrottled: typing indicators, receipts and presence are limited")

    def on_disconnected(self) -> None:
        logger.warning("disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        cause = type(error.__cause__).__name__ if error.__cause__ else "nothing"
        logger.error("%s (caused by %s)", error, cause)


def with_account() -> None:
    env = os.environ
    with Client(env["COMETCHAT_APP_ID"], AppSettings.from_env()) as client:
        client.add_connection_listener("status", StatusLogger())
        client.login(env["COMETCHAT_UID"], env["COMETCHAT_AUTH_KEY"])
        client.run_forever()


def with_sandbox() -> None:
    from cometchat.sandbox import Sandbox

    with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings(settings_refresh_interval=0.2)) as client:

        def until(status: str) -> None:
            assert client.wait_for_status(status, timeout=10), f"never {status}"

        client.add_connection_listener("status", StatusLogger())
        client.login("cometchat-uid-1", sandbox.auth_key)
        until("connected")
        sandbox.refuse_upgrades(503)
        sandbox.drop_connections()
        assert sandbox.wait_for_attempts(2, 10), "it did not try again"
        sandbox.heal()
        until("connected")
        sandbox.set_mode("LIMITED_TRANSIENT")
        until("featureThrottled")
        sandbox.set_mode("DEFAULT")
        until("connected")
        client.disconnect()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    logging.getLogger("cometchat").setLevel(logging.ERROR)  # the SDK's log has the same information and more
    if "COMETCHAT_APP_ID" in os.environ:
        with_account()
    else:
        with_sandbox()
