"""A program that forks while another thread holds the locks of 25 status feeds.

Usage: feed_fork_program.py URL APP_ID AUTH_KEY. The child prints how many clients are connected, how many listeners
were called for that, and how many feeds report it. The parent prints the child's status, and how many of its feeds
answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from typing import List

from cometchat import AppSettings, Client, ConnectionListener
from cometchat.contrib.web import StatusFeed

COUNT = 25


class Told(ConnectionListener):
    def __init__(self) -> None:
        self.times = 0

    def on_connected(self) -> None:
        self.times += 1


def hold(feeds: List[StatusFeed], held: threading.Event, release: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        for feed in feeds:
            stack.enter_context(feed._lock)
        held.set()
        release.wait(40)


def main(url: str, app_id: str, auth_key: str) -> None:
    settings = AppSettings(admin_host=url, client_host=url, region="us")
    clients = [Client(app_id, settings) for _ in range(COUNT)]
    feeds = [StatusFeed(client) for client in clients]
    told = [Told() for _ in clients]
    for client, listener in zip(clients, told):
        client.add_connection_listener("told", listener)  # called after the feed's own
        client.login("cometchat-uid-1", auth_key)
    for client in clients:
        client.connect(20)
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(feeds, held, release))
    holder.start()
    held.wait(20)
    warnings.simplefilter("ignore")  # Python warns of forking with threads
    child = os.fork()
    if child == 0:
        before = [listener.times for listener in told]  # 1 each, or 2 if the child was quick
        end = time.monotonic() + 20
        while time.monotonic() < end and not all(listener.times == 2 for listener in told):
            time.sleep(0.02)
        connected = sum(client.get_connection_status() == "connected" for client in clients)
        reports = sum(feed.report()["status"] == "connected" for feed in feeds if _is_free(feed))
        print("child:", connected, sum(listener.times == 2 for listener in told), reports, min(before) >= 1, flush=True)
        os._exit(0)
    release.set()
    holder.join()
    _, status = os.waitpid(child, 0)
    print("parent:", status, sum(feed.report()["status"] == "connected" for feed in feeds), flush=True)
    for feed, client in zip(feeds, clients):
        feed.close()
        client.close()


def _is_free(feed: StatusFeed) -> bool:
    """Return whether a thread can take the lock. Otherwise report() would hang."""
    if feed._lock._condition.acquire(timeout=0.1):
        feed._lock._condition.release()
        return True
    return False


main(*sys.argv[1:])
