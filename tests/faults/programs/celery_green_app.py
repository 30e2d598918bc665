"""A Celery application for pools that do not fork: one client, made at the worker's start, and a task that sends.

``CELERY_FOLDER`` is the folder of its broker. Each message to the client becomes a task that answers it.
"""

from __future__ import annotations

import os
from typing import Any

import joining
from celery import Celery
from celery.signals import worker_init, worker_shutdown

from cometchat import MessageListener, TextMessage

FOLDER = os.environ["CELERY_FOLDER"]

for name in ("queue", "control"):
    os.makedirs(os.path.join(FOLDER, name), exist_ok=True)
app = Celery("celery_green_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": os.path.join(FOLDER, "queue"),
        "data_folder_out": os.path.join(FOLDER, "queue"),
        "control_folder": os.path.join(FOLDER, "control"),
        "polling_interval": 0.05,
    },
    broker_connection_retry_on_startup=True,
)


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
    joining.logged_in().add_message_listener("to tasks", ToTasks())
    joining.kept[0].connect(10)


@worker_shutdown.connect
def stop(**_: Any) -> None:
    joining.kept[0].close()
