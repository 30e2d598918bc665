"""Runs lifecycle calls piece by piece, in any order.

A call is cut at its I/O points: each HTTP call and each call of the session store. The test decides which thread runs
to its next I/O point. The transport and the service are fakes in this process, so that a run takes milliseconds.

SDK threads (connection, dispatcher, ...) are not cut: they run freely between the pieces.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import json
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set

import pytest
from integration import conftest

import cometchat._wiring as wiring
from cometchat import AppSettings, Client, CometChat, CometChatException, ConnectionListener, api
from cometchat._runtime import _threads as threads
from cometchat._runtime._threads import Wakeup
from cometchat._turns import TURNS
from cometchat.exceptions import (
    WS_CONNECTION_FAIL,
    AuthenticationException,
    exception_for,
)

#: Maximum time of a run, in seconds. A longer run counts as hung.
DEADLINE = 10.0

#: Hypothesis settings like those of all tests, but with this deadline.
eventually = functools.partial(conftest.eventually, timeout=DEADLINE)

SETTINGS = {"CHAT_HOST": "chat.local", "CHAT_USE_SSL": "0", "CHAT_WS_PORT": "80"}


class Actor:
    """A thread that makes one call, from I/O point to I/O point."""

    def __init__(self, scheduler: Scheduler, name: str, call: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self.name = name
        self._call = call
        self.permits = 0
        self.at_gate = self.blocked = self.done = False
        self.gates = 0
        self.error: Optional[BaseException] = None
        self.thread = threading.Thread(target=self._run, name=f"actor-{name}", daemon=True)

    def _run(self) -> None:
        try:
            self._call()
        except CometChatException as error:
            self.error = error
        except BaseException as error:
            self.error = error
            raise
        finally:
            with self._scheduler.changed:
                self.done = True
                self._scheduler.changed.notify_all()


class Scheduler:
    """Decides which actor runs next."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.actors: Dict[str, Actor] = {}
        self.free = False

    def add(self, name: str, call: Callable[[], object]) -> Actor:
        """Add a call. It starts with its first step."""
        actor = self.actors[name] = Actor(self, name, call)
        return actor

    def current(self) -> Optional[Actor]:
        """Return the actor on whose thread this is called."""
        thread = threading.current_thread()
        return next((actor for actor in list(self.actors.values()) if actor.thread is thread), None)

    def io(self) -> None:
        """Stop at an I/O point until the test lets the actor continue."""
        actor = self.current()
        if actor is None:
            return
        with self.changed:
            actor.at_gate = True
            actor.gates += 1
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.free or actor.permits > 0, DEADLINE)
            actor.permits = max(0, actor.permits - 1)
            actor.at_gate = False

    def step(self, name: str) -> None:
        """Let an actor run to its next I/O point, its end, or a wait inside the SDK."""
        actor = self.actors[name]
        if not actor.thread.ident:
            actor.thread.start()
        elif actor.at_gate:
            with self.changed:
                actor.permits += 1
                actor.at_gate = False
                self.changed.notify_all()
        end = time.monotonic() + DEADLINE
        with self.changed:
            while not self.changed.wait_for(lambda: actor.at_gate or actor.blocked or actor.done, 0.01):
                if _waits_for_another_call(actor.thread):
                    return
                assert time.monotonic() < end, f"{name} hangs"

    def finish(self) -> None:
        """Let all actors run to their ends."""
        with self.changed:
            self.free = True
            self.changed.notify_all()
        for actor in self.actors.values():
            if not actor.thread.ident:
                actor.thread.start()
        end = time.monotonic() + DEADLINE
        for actor in self.actors.values():
            actor.thread.join(max(0.0, end - time.monotonic()))
            assert not actor.thread.is_alive(), f"{actor.name} hangs"
            if actor.error is not None:
                assert isinstance(actor.error, CometChatException), actor.error

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Record that the current actor waits inside the SDK."""
        actor = self.current()
        if actor is None:
            yield
            return
        with self.changed:
            actor.blocked = True
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                actor.blocked = False


class Service:
    """The service that the fakes talk to."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.mode = "DEFAULT"
        self.refuses = False
        self.tokens: Dict[str, str] = {}
        self.sockets: Set[FakeSocket] = set()
        self.messages: List[Dict[str, Any]] = []
        self.held: Dict[str, threading.Event] = {}
        self.arrived: Dict[str, threading.Event] = {}
        self._numbers = itertools.count(1)

    def hold(self, what: str) -> None:
        """Answer calls of one kind (``"POST messages"``) only after :meth:`release`."""
        self.held[what], self.arrived[what] = threading.Event(), threading.Event()

    def release(self, what: str) -> None:
        """Answer the held calls."""
        self.held.pop(what).set()

    def drop(self) -> None:
        """Let every connection break."""
        for one in list(self.sockets):
            one.interrupt()

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> Any:
        """Answer an HTTP call."""
        path = url.split("://", 1)[1].partition("/")[2].split("?")[0]
        kind = f"{method} {path.rpartition('/')[2]}"
        if kind in self.held:
            gate = self.held[kind]
            self.arrived[kind].set()
            assert gate.wait(DEADLINE)
        if path.endswith("auth_tokens"):
            uid = path.split("/")[-2]
            token = f"{uid}-token-{next(self._numbers)}"
            self.tokens[token] = uid
            return {"uid": uid, "authToken": token}
        uid = self.tokens.get(headers.get("authToken", ""), "")
        if not uid:
            raise AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "unknown token")
        if path == "me" and method == "PUT":
            return {"uid": uid, "jwt": f"jwt-of-{uid}", "settings": {**SETTINGS, "MODE": self.mode}}
        if path == "me":
            del self.tokens[headers["authToken"]]
            return {"success": True}
        if path == "settings":
            return {**SETTINGS, "MODE": self.mode}
        if path == "messages" and method == "GET":
            return []
        stored = {**body, "id": str(next(self._numbers)), "sender": uid}
        self.messages.append(stored)
        return stored


class FakeRest:
    """See ``cometchat._transport.http.RequestsRest``."""

    rate_limit_remaining: Optional[int] = None
    service_time: Optional[float] = None

    def __init__(self, service: Service) -> None:
        self._service = service

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Optional[Mapping[str, Any]] = None,
        timeout: float,
        expect: type = dict,
    ) -> Any:
        self._service.scheduler.io()
        return self._service.answer(method, url, headers, body)

    def forget_connections(self) -> None:
        """Do nothing: there are no cookies."""

    def close(self) -> None:
        """Do nothing: there is no connection to close."""


class FakeSocket:
    """See ``cometchat._transport.base.Socket``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._frames: List[bytes] = []
        self._changed = threading.Condition()
        self._interrupted = False
        self.sent: List[Dict[str, Any]] = []

    def open(self, url: str, timeout: float) -> None:
        if self._service.refuses:
            raise exception_for(WS_CONNECTION_FAIL, "connection refused by chat.local:80.")
        self._service.sockets.add(self)

    def receive(self, deadline: float, *, only_one: bool = False) -> List[bytes]:
        with self._changed:
            self._changed.wait_for(
                lambda: self._frames or self._interrupted, max(0.0, deadline - time.monotonic())
            )
            if self._interrupted:
                raise exception_for(WS_CONNECTION_FAIL, "interrupted")
            return [self._frames.pop(0)] if self._frames else []

    def send(self, text: str, timeout: float) -> None:
        frame = json.loads(text)
        self.sent.append(frame)
        if frame.get("type") == "auth":
            self.push(b'{"type": "auth", "body": {"code": "200", "status": "OK"}}')
        elif frame.get("action") == "ping":
            self.push(b'{"action": "pong"}')

    def push(self, frame: bytes) -> None:
        """Let the service send a frame."""
        with self._changed:
            self._frames.append(frame)
            self._changed.notify_all()

    def interrupt(self) -> None:
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def release_after_fork(self) -> None:
        self._service.sockets.discard(self)

    def close(self) -> None:
        self._service.sockets.discard(self)


class Store:
    """A session store whose calls are I/O points."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.session: Optional[Mapping[str, Any]] = None
        self._calls = 0
        #: Two calls at once, against the promise of ``SessionStore``.
        self.overlapped = False

    def load(self) -> Optional[Mapping[str, Any]]:
        return self.session

    def save(self, session: Mapping[str, Any]) -> None:
        with self._alone():
            self.session = session

    def clear(self) -> None:
        with self._alone():
            self.session = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._calls += 1
        try:
            if self._calls > 1:
                self.overlapped = True
            self._scheduler.io()
            yield
        finally:
            self._calls -= 1


class Recorder(ConnectionListener):
    """Records the callbacks, with the status at that moment."""

    def __init__(self) -> None:
        self.calls: List[str] = []

    def on_connecting(self) -> None:
        self.calls.append("connecting")

    def on_connected(self) -> None:
        self.calls.append("connected")

    def on_feature_throttled(self) -> None:
        self.calls.append("featureThrottled")

    def on_disconnected(self) -> None:
        self.calls.append("disconnected")


#: (status before, status after) that one callback may report.
_PATHS = {
    ("disconnected", "connecting"),
    ("connecting", "connected"),
    ("connecting", "disconnected"),
    ("connected", "featureThrottled"),
    ("connected", "disconnected"),
    ("featureThrottled", "connected"),
    ("featureThrottled", "disconnected"),
}


class World:
    """One run: the service, the process-wide client, a listener, and the scheduler.

    :param cuts_thread_starts: the start of a thread by a call is an I/O point too.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, cuts_thread_starts: bool = False) -> None:
        self.scheduler = Scheduler()
        self.service = Service(self.scheduler)
        self.store = Store(self.scheduler)
        self.heard = Recorder()
        self.replaced = False
        service, scheduler = self.service, self.scheduler
        monkeypatch.setattr(wiring, "RequestsRest", lambda **_: FakeRest(service))
        monkeypatch.setattr(wiring, "socket_factory", lambda *_: lambda: FakeSocket(service))
        # The fakes do not take turns while the world is made and ended.
        monkeypatch.setattr(TURNS, "take", lambda **_: None)
        real_wait = Wakeup.wait

        def wait(wakeup: Wakeup, timeout: Optional[float] = None) -> bool:
            if wakeup.is_set():
                return real_wait(wakeup, timeout)
            with scheduler.waiting():
                return real_wait(wakeup, timeout)

        monkeypatch.setattr(Wakeup, "wait", wait)
        if cuts_thread_starts:
            real_start = threads.start_thread

            def start(thread: threading.Thread) -> None:
                scheduler.io()
                real_start(thread)

            monkeypatch.setattr(threads, "start_thread", start)
        api._client = None
        CometChat.add_connection_listener("recorder", self.heard)
        CometChat.init("app", self.settings())

    def settings(self, **overrides: Any) -> AppSettings:
        """Return settings that lead to the fakes."""
        values = {"admin_host": "http://api.local", "client_host": "http://api.local", "session_store": self.store}
        return AppSettings(**{**values, "reconnect_wait": lambda state: 0.01, **overrides})

    def reach(self, state: str) -> None:
        """Bring the client into a state to start from."""
        if state == "logged out":
            return
        self.service.refuses = state == "backoff"
        CometChat.login("u1", "key")
        if state == "connected":
            CometChat.connect(DEADLINE)
        elif state == "disconnected":
            CometChat.disconnect()
        else:
            assert CometChat.wait_for_status("connecting", DEADLINE)

    def check(self) -> None:
        """Check the promises that hold after every sequence of calls."""
        client = api._client
        assert client is not None
        core = client._core
        self.service.refuses = False
        # init() creates a second client with the same store.
        assert self.replaced or not self.store.overlapped
        core.dispatcher.drain(DEADLINE)
        user, status = core.account.session, str(client.get_connection_status())
        if user is None or status == "disconnected":
            # A thread of an older generation closes its socket by itself.
            assert eventually(lambda: not self.service.sockets), "a socket is open, and no connection is wanted"
        if user is None:
            assert status == "disconnected"
            # A login of the client that init() replaced may be written after the new client has read the store.
            assert self.store.session is None or self.replaced
        if status == "connecting":
            assert core.lifecycle.alive or self._settled(client)
            assert eventually(lambda: self._settled(client))
        if str(client.get_connection_status()) in ("connected", "featureThrottled"):
            assert eventually(lambda: len(self.service.sockets) == 1), f"{len(self.service.sockets)} sockets are open"
        core.dispatcher.drain(DEADLINE)
        self._check_callbacks()

    def _settled(self, client: Client) -> bool:
        """Return True once a client that was connecting is connected, or is not to connect.

        init() may have read a login whose token a logout had just voided. The service ends it.
        """
        return str(client.get_connection_status()) == "connected" or (
            self.replaced and client._core.account.session is None
        )

    def _check_callbacks(self) -> None:
        told = ["disconnected", *self.heard.calls]
        for step in zip(told, told[1:]):
            assert step in _PATHS, told

    def end(self) -> None:
        """Close the client. No thread, no socket and no held lock may be left."""
        client = api._client
        if client is not None:
            client.close()
            assert eventually(lambda: not self.service.sockets), "a socket is open after close()"
        CometChat.remove_connection_listener("recorder")
        assert eventually(lambda: not _sdk_threads()), _sdk_threads()
        free = CometChat._registry.lock.acquire(timeout=1)
        assert free, "the client's lock is held"
        CometChat._registry.lock.release()
        api._client = None


def _waits_for_another_call(thread: threading.Thread) -> bool:
    """Return True if a thread waits for another thread's call of the session store, start of a thread or init()."""
    gc.disable()  # Python 3.11.7 hangs if it collects a threading.local in this call (python/cpython#106883)
    try:
        frame = sys._current_frames().get(thread.ident or 0)
    finally:
        gc.enable()
    return frame is not None and frame.f_code.co_name in ("load", "save_newest", "start", "init")


def _sdk_threads() -> List[str]:
    mine = ("cometchat-connection", "cometchat-dispatcher", "cometchat-missed", "cometchat-settings")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(mine)]
