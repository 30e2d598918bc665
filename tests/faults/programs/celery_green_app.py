"""A Celery application for pools that do not fork: one client, made at the worker's start, and a task that sends.

Each message to the client becomes a task that answers it.
"""

from __future__ import annotations

import os
from typing import Any

import joining
from celery import Celery
from celery.signals import worker_init, worker_shutdown

from cometchat import MessageListener, TextMessage

# The worker sends its own tasks. kombu's broker in a folder is not safe here: where one thread sends and another one
# receives, it may read a task's file before the task is in it. That ends the worker.
app = Celery("celery_green_app", broker="memory://")
app.conf.broker_transport_options = {"polling_interval": 0.05}


class ToTasks(MessageListener):
    """Makes a task of each message."""

    def on_text_message_received(self, message: TextMessage) -> None:
        assert message.sender is not None
        answer.delay(message.sender.uid, message.text, message.id)


@app.task
def answer(uid: str, text: str, message_id: str) -> None:
    """Send an answer. Its muid is the message's, so that a task that runs twice sends it once."""
    reply = TextMessage(text=f"{text} back", receiver_id=uid, receiver_type="user", muid=f"answer-{message_id}")
    joining.kept[0].send_message(reply)


@worker_init.connect
def start(**_: Any) -> None:
    """Connect before the pool starts. Celery sends worker_process_init only to the pools prefork and solo."""
    client = joining.made()
    client.add_message_listener("to tasks", ToTasks())  # before the connection, on which the test sends at once
    client.login(joining.UID, os.environ["SANDBOX_AUTH_KEY"])
    client.connect(10)


@worker_shutdown.connect
def stop(**_: Any) -> None:
    joining.kept[0].close()
