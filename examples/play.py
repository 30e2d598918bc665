"""Play the other user for a bot, in a sandbox. It needs no account.

    python examples/play.py examples/echo_bot.py Hello "Is it you?"

Needs ``pip install ".[sandbox]"``. Starts the bot, sends each text, and prints the bot's answers until it is quiet.
With ``--kill`` it kills the bot (``kill -9``) between two texts, and starts it again.
"""

import argparse
import os
import signal
import subprocess
import sys
from typing import Dict, List

from cometchat.sandbox import Sandbox

BOT, OTHER = "cometchat-uid-1", "cometchat-uid-2"


def start(bot: str, sandbox: Sandbox) -> "subprocess.Popen[bytes]":
    env = {
        **os.environ,
        "COMETCHAT_APP_ID": sandbox.app_id,
        "COMETCHAT_UID": BOT,
        "COMETCHAT_AUTH_KEY": sandbox.auth_key,
        "COMETCHAT_ADMIN_HOST": sandbox.url,
        "COMETCHAT_CLIENT_HOST": sandbox.url,
    }
    process = subprocess.Popen([sys.executable, bot], env=env)
    try:
        if not sandbox.wait_for_connections(1, 20):
            sys.exit(f"{bot} has not connected")
    except BaseException:  # the end by a signal too
        process.kill()
        raise
    return process


def show(message: Dict[str, object]) -> str:
    data = message["data"]
    assert isinstance(data, dict)
    edited = " (edited)" if "editedAt" in message else ""
    files = [f"{file['name']}, {file['size']} bytes" for file in data.get("attachments", [])]
    return " ".join([str(data.get("text", "")), *files]) + edited


def answers(sandbox: Sandbox) -> List[Dict[str, object]]:
    return [message for message in sandbox.messages if message["sender"] == BOT and message["category"] == "message"]


def play(sandbox: Sandbox, bot: str, texts: List[str], kill: bool) -> int:
    process = start(bot, sandbox)
    try:
        for number, text in enumerate(texts):
            if kill and number:
                process.kill()
                process.wait()
                sandbox.wait_for_connections(0)
                process = start(bot, sandbox)
            before = len(answers(sandbox))
            print(f"{OTHER}: {text}", flush=True)
            sandbox.send_message(OTHER, BOT, text)
            sandbox.wait_until(lambda: len(answers(sandbox)) > before, 10)
            requests = -1
            while requests != len(sandbox.requests):  # until the bot makes no request for half a second
                requests = len(sandbox.requests)
                sandbox.wait_until(lambda: len(sandbox.requests) > requests, 0.5)
            for message in answers(sandbox)[before:]:
                print(f"{BOT}: {show(message)}", flush=True)
        process.send_signal(signal.SIGTERM)
        return process.wait()
    finally:
        process.kill()  # if a signal ends this program


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Play the other user for a bot.")
    parser.add_argument("bot", help="the bot's program")
    parser.add_argument("texts", nargs="+", metavar="text")
    parser.add_argument("--kill", action="store_true", help="kill the bot between two texts, and start it again")
    options = parser.parse_args()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda number, frame: sys.exit(128 + number))
    with Sandbox() as running:
        sys.exit(play(running, options.bot, options.texts, options.kill))
