"""A Celery application whose main process is connected before it forks.

The worker itself sends the tasks: some once it is ready, and for each line of the file ``orders`` one that kills its
process. (A process that is killed from outside may hold billiard's lock of the queue, which then stays locked.) Each
process of the pool appends the state of its client to the file ``answers``, when it starts and for its task. Both files
are in the folder ``CELERY_FOLDER``.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any, List

import joining
from celery import Celery
from celery.signals import worker_process_init, worker_ready

FOLDER = os.environ["CELERY_FOLDER"]
ANSWERS = os.path.join(FOLDER, "answers")
ORDERS = os.path.join(FOLDER, "orders")
PROCESSES = 2

app = Celery("celery_app", broker="memory://")  # see celery_green_app
app.conf.worker_prefetch_multiplier = 1

CLIENT = joining.joined()


def write(where: str) -> None:
    answer = json.dumps({**joining.report(CLIENT), "where": where}) + "\n"
    descriptor = os.open(ANSWERS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, answer.encode())
    os.close(descriptor)


def written(where: str) -> List[int]:
    with open(ANSWERS, encoding="utf-8") as answers:
        return [answer["pid"] for answer in map(json.loads, answers) if answer["where"] == where]


@app.task
def answer() -> None:
    """Answer, and wait until each process of the pool has answered, so that no process gets two of the tasks."""
    write("task")
    deadline, never = time.monotonic() + 10, threading.Event()
    while len(set(written("task"))) < PROCESSES and time.monotonic() < deadline:
        never.wait(0.01)


@app.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@worker_process_init.connect
def process_started(**_: Any) -> None:
    """Start a thread in a new process of the pool.

    It waits for the connection, since Celery gives the process four seconds.
    """
    threading.Thread(target=write, args=("start",), daemon=True).start()


@worker_ready.connect
def ready(**_: Any) -> None:
    for _number in range(PROCESSES):
        answer.delay()
    threading.Thread(target=take_orders, daemon=True).start()


def take_orders() -> None:
    taken, never = 0, threading.Event()
    while not never.wait(0.05):
        given = 0
        if os.path.exists(ORDERS):
            with open(ORDERS, encoding="utf-8") as orders:
                given = len(orders.readlines())
        for _number in range(given - taken):
            die.delay()
        taken = given
