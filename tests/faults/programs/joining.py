"""The programs' shared parts: a client from the environment, and a listener that records its callbacks.

The environment: ``SANDBOX_URL``, ``SANDBOX_APP_ID``, ``SANDBOX_AUTH_KEY``; ``SANDBOX_CA`` for TLS; ``SANDBOX_DIARY``, a
file; ``SANDBOX_SETTINGS``, JSON of further fields of AppSettings, where ``reconnect_wait`` is a number of seconds.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import tenacity

from cometchat import AppSettings, Client, CometChatException, ConnectionListener

UID = "cometchat-uid-1"

#: The clients of this process, kept from the garbage collector.
kept: List[Client] = []


class Diary(ConnectionListener):
    """Appends a line for each callback: the process and the name. Each line is one write, so that lines do not mix."""

    def note(self, name: str) -> None:
        descriptor = os.open(os.environ["SANDBOX_DIARY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{os.getpid()} {name}\n".encode())
        finally:
            os.close(descriptor)

    def on_connecting(self) -> None:
        self.note("on_connecting")

    def on_connected(self) -> None:
        self.note("on_connected")

    def on_feature_throttled(self) -> None:
        self.note("on_feature_throttled")

    def on_disconnected(self) -> None:
        self.note("on_disconnected")

    def on_connection_error(self, error: CometChatException) -> None:
        self.note("on_connection_error")


def settings(**overrides: Any) -> AppSettings:
    """Return the settings that the environment asks for."""
    url = os.environ["SANDBOX_URL"]
    fields: Dict[str, Any] = {"admin_host": url, "client_host": url, "ca_certs": os.environ.get("SANDBOX_CA")}
    fields.update(json.loads(os.environ.get("SANDBOX_SETTINGS", "{}")))
    if "reconnect_wait" in fields:
        fields["reconnect_wait"] = tenacity.wait_fixed(fields["reconnect_wait"])
    return AppSettings(**{**fields, **overrides})


def made(**overrides: Any) -> Client:
    """Return a client that has not logged in."""
    client = Client(os.environ["SANDBOX_APP_ID"], settings(**overrides))
    kept.append(client)
    client.add_connection_listener("diary", Diary())
    return client


def logged_in(uid: str = UID, **overrides: Any) -> Client:
    """Return a client that has logged in. In auto mode it is connecting."""
    client = made(**overrides)
    client.login(uid, os.environ["SANDBOX_AUTH_KEY"])
    return client


def joined(**overrides: Any) -> Client:
    """Return a client that is connected."""
    client = logged_in(**overrides)
    client.connect(10)
    return client


def wait_until_still(seconds: float) -> None:
    """Return once this process's other threads have all waited for 50 ms, on systems that report this (Linux)."""
    deadline = time.monotonic() + seconds
    before = switches()
    while time.monotonic() < deadline:
        threading.Event().wait(0.05)
        now = switches()
        if now == before:
            return
        before = now
    raise TimeoutError("the other threads go on and on")


def switches() -> Dict[str, List[str]]:
    """Return how often each other thread has begun to wait or was made to, by the kernel's number for it."""
    found = {}
    for status in Path("/proc/self/task").glob("*/status"):
        if status.parent.name != str(threading.get_native_id()):
            found[status.parent.name] = [line for line in status.read_text().splitlines() if "ctxt_switches" in line]
    return found


def report(client: Client, timeout: float = 10.0) -> Dict[str, Any]:
    """Return the state of a client in this process, with ``error`` if it is not well."""
    told: Dict[str, Any] = {"pid": os.getpid(), "parent": os.getppid()}
    try:
        client.wait_for_status("connected", timeout)
        told["round_trip"] = client.ping(timeout)
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"
    told["status"] = str(client.get_connection_status())
    told["threads"] = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("cometchat-"))
    return told


def say(*words: object) -> None:
    """Print a line for the test, past all buffers."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def told_to_go_on() -> None:
    """Wait for the test's line."""
    while os.read(0, 1) not in (b"\n", b""):
        pass
