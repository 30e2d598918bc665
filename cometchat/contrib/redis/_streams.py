"""EventStream: each event goes to one worker of a group, through a consumer group of Redis Streams."""

from __future__ import annotations

import itertools
import logging
import os
import random
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Any, Callable, List, Optional, Tuple, Type, Union

import redis

from cometchat import Client

from ..._log import SafeLog
from .._arguments import wrong
from .._retry import wait_after
from ._capture import Capture
from ._codec import KINDS, decode
from ._store import RedisStatusStore
from ._wire import shut, unreachable

logger = SafeLog(logging.getLogger("cometchat.redis"))

_numbers = itertools.count(1)

#: Maximum time that one read of the stream waits for an event, in seconds; close() waits for it.
_BLOCK = 0.5

#: Maximum time of a call to Redis, in seconds.
_TIMEOUT = 2.0

#: Maximum wait between attempts while Redis is away, in seconds.
_LONGEST = 0.5

#: Maximum time that close() waits, in seconds.
_ENDS = 1.0

#: Time after which a consumer that reads nothing and holds no event is removed, in seconds; and how often that is done.
_GONE_AFTER = 3600.0
_TIDY = 60.0

#: Remove consumers without pending events: each deploy leaves some. KEYS: stream. ARGV: group, least idle time in ms,
#: name, or "" for any.
REMOVE = """
local removed = 0
for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending, idle = one[2], one[4], one[6]
  if pending == 0 and idle >= tonumber(ARGV[2]) and (ARGV[3] == '' or ARGV[3] == name) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    removed = removed + 1
  end
end
return removed
"""

#: Where a search through the pending events starts, and, as Redis' answer, where it has ended.
_FIRST = b"0-0"


class EventStream:
    """Adds what a client receives to a stream in Redis, and hands each event to one worker of each group.

    Make one in every process, after login, and another in the child of a fork. The process that holds the
    connection adds to the stream (a client without a status store always does, so make it in one process only); every
    process that calls :meth:`listen` works on it, on a thread of its own.

    A message is in the stream once, also where its leader is killed. A worker that is killed while it works on an event
    leaves it to another, which works on it again after ``claim_after`` seconds: at least once in such a case, and
    exactly once in all others.

    :param client: logged in.
    :param store: the RedisStatusStore of its settings, or an address as that takes it.
    :param group: of workers that share the events. A new group starts with the oldest event in the stream.
    :param consumer: this worker's name, unlike all others'. Default: made of host and process.
    :param maxlen: about how many events (1 to 10,000,000) the stream holds; beyond it the oldest go, handled or not.
    :param claim_after: seconds (1 to 86,400) after which an event that a worker has taken, and not finished, is
        another's. Longer than the longest callback, or that runs twice.
    :param retries: how often (0 to 1000) an event is handed out again whose callback raised, or whose worker died;
        then it goes to the stream of dead letters, ``dead_letters``.
    :raises CometChatException: ``INVALID_STORE``, ``INVALID_GROUP``, ``INVALID_CONSUMER``, ``INVALID_MAXLEN``,
        ``INVALID_CLAIM_AFTER``, ``INVALID_RETRIES``, ``INVALID_CLIENT``: no user is logged in.
    """

    def __init__(
        self,
        client: Client,
        store: Union[RedisStatusStore, str],
        group: str = "workers",
        consumer: Optional[str] = None,
        *,
        maxlen: int = 100_000,
        claim_after: float = 60.0,
        retries: int = 3,
    ) -> None:
        user = client.get_logged_in_user() if isinstance(client, Client) else None
        if user is None:
            raise wrong("client", "give a Client that is logged in")
        if isinstance(store, str):
            store = RedisStatusStore(store)
        if not isinstance(store, RedisStatusStore):
            raise wrong("store", "give the RedisStatusStore of the settings, or an address")
        for name, text in (("group", group), ("consumer", consumer or "-")):
            if not isinstance(text, str) or not text:
                raise wrong(name, "give a text")
        _check("maxlen", maxlen, 1, 10_000_000, whole=True)
        _check("claim_after", claim_after, 1, 86_400)
        _check("retries", retries, 0, 1000, whole=True)
        self.group = group
        self.consumer = consumer or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        #: The stream's key, and that of its dead letters.
        self.key = f"{store.prefix}:{{{client.app_id}:{user.uid}}}:events"
        self.dead_letters = f"{self.key}:dead"
        self._store = store
        self._claim_after = claim_after
        self._retries = retries
        self._claimed = _FIRST
        self._failures = 0  # in a row
        self._number = next(_numbers)
        self._listeners: Tuple[object, ...] = ()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._capture = Capture(
            client,
            lambda: store.connection(_TIMEOUT),
            self.key,
            leads=_leads(client, user.uid),
            maxlen=maxlen,
            listener_id=f"cometchat-stream-{self._number}",
        )
        self._capture.start()

    def __repr__(self) -> str:
        return f"<EventStream {self.key} group={self.group!r} consumer={self.consumer!r}>"

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def listen(self, listener: object) -> None:
        """Work on the events from now on: call this listener's methods, one event at a time.

        They run on the stream's thread, ``cometchat-stream-N``. An event is done when the methods of all listeners have
        returned. One that raises is logged, and the event is handed out again after ``claim_after`` seconds, to any
        worker.

        :param listener: such as a MessageListener; any kind but connection, login and outbox, or several in one.
        :raises CometChatException: ``INVALID_LISTENER``.
        """
        if not isinstance(listener, tuple(KINDS.values())):
            raise wrong("listener", "give a MessageListener, UserListener, GroupListener or CallListener")
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                name = f"cometchat-stream-{self._number}"
                thread = threading.Thread(target=self._main, name=name, daemon=True)
                self._listeners += (listener,)
                try:
                    thread.start()
                except BaseException:
                    self._listeners = self._listeners[:-1]
                    raise
                self._thread = thread
            else:
                self._listeners += (listener,)

    def lag(self) -> Optional[int]:
        """Ask Redis how many events of the stream the group has not yet taken. Makes a call, and waits for it.

        :returns: the number; None if Redis does not know it: before 7.0, or before a worker of the group listens.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        client: Any = self._store.connection(_TIMEOUT)
        try:
            groups = client.xinfo_groups(self.key)
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise unreachable(self._store.address, error) from error
            return None
        except (redis.RedisError, OSError) as error:
            raise unreachable(self._store.address, error) from error
        finally:
            shut(client)
        found = [group.get("lag") for group in groups if group["name"].decode() == self.group]
        return found[0] if found else None

    def close(self) -> None:
        """Stop adding and working, within a second. A callback that still runs is not interrupted."""
        self._capture.close()
        with self._lock:
            self._stopped.set()
            thread = self._thread
        deadline = time.monotonic() + _ENDS
        self._capture.join(_ENDS)
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))

    # --- on the thread

    def _main(self) -> None:
        client: Any = None
        try:
            while not self._stopped.is_set():
                try:
                    client = client or self._store.connection(_TIMEOUT)
                    self._make_group(client)
                    self._work(client)
                except Exception as error:
                    self._report(error)
                    self._failures += 1
                    self._stopped.wait(min(_LONGEST, wait_after(self._failures, random.random())))  # nosec B311
            if client is not None:
                self._leave(client)
        finally:
            if client is not None:
                shut(client)

    def _leave(self, client: Any) -> None:
        """Remove this consumer from the group, unless it has an event that is not finished."""
        try:
            client.eval(REMOVE, 1, self.key, self.group, 0, self.consumer)
        except Exception as error:
            logger.debug("The consumer could not be removed: %s", error)

    def _report(self, error: Exception) -> None:
        if not isinstance(error, (redis.RedisError, OSError)):
            logger.exception("Unexpected error of the stream of events; it continues.")
        elif not self._failures and not self._stopped.is_set():
            logger.warning("The stream of events can't be read, it is tried again: %s", error)

    def _make_group(self, client: Any) -> None:
        try:
            client.xgroup_create(self.key, self.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _work(self, client: Any) -> None:
        look_at = tidy_at = 0.0
        while not self._stopped.is_set():
            now = time.monotonic()
            if now >= tidy_at:
                tidy_at = now + _TIDY
                client.eval(REMOVE, 1, self.key, self.group, int(_GONE_AFTER * 1000), "")
            if now >= look_at:
                left = self._claim(client)
                look_at = 0.0 if left else now + self._claim_after / 4
                for entry in left:
                    self._handle(client, *entry)
            block = None if look_at == 0.0 else int(_BLOCK * 1000)  # does not wait where more is left
            read = client.xreadgroup(self.group, self.consumer, {self.key: ">"}, count=1, block=block)
            if self._failures:
                self._failures = 0
                logger.info("The stream of events is back.")
            for _, entries in read.items() if isinstance(read, dict) else read or ():
                for entry in entries[0] if entries and isinstance(entries[0], list) else entries:
                    self._handle(client, *entry)

    def _claim(self, client: Any) -> List[Any]:
        """Return one event that a worker has taken and not finished, or nothing if there is none."""
        idle = int(self._claim_after * 1000)
        while not self._stopped.is_set():
            # Redis looks at ten at a time. The first may be in work, or have their time yet to come.
            answer = client.xautoclaim(
                self.key, self.group, self.consumer, min_idle_time=idle, start_id=self._claimed, count=1
            )
            self._claimed = answer[0]
            for entry, fields in answer[1]:
                if not fields:
                    continue
                pending = client.xpending_range(self.key, self.group, min=entry, max=entry, count=1)
                if not pending or pending[0]["times_delivered"] <= self._retries + 1:
                    return [(entry, fields)]
                self._bury(client, entry, fields, "it was handed out too often")
            if self._claimed == _FIRST:
                break
        return []

    def _handle(self, client: Any, entry: Any, fields: Any) -> None:
        try:
            event = decode(fields[b"event"])
        except (ValueError, KeyError) as error:
            self._bury(client, entry, fields, f"it can't be read: {error}")
            return
        good = True
        for listener in self._listeners:
            if isinstance(listener, KINDS[event.kind]):
                try:
                    getattr(listener, event.method)(*event.args)
                except BaseException:  # SystemExit too: a listener's error is its own, and must not end this thread
                    logger.exception("A listener of the stream raised in %s(); it is handed out again.", event.method)
                    good = False
        if good:
            self._finish(client, entry)

    def _finish(self, client: Any, entry: Any) -> None:
        """Acknowledge the event, however long Redis is away: else Redis would hand it out again."""
        while True:
            try:
                client.xack(self.key, self.group, entry)
                return
            except Exception as error:
                logger.info("An event is done, but can't be acknowledged yet: %s", error)
                if self._stopped.wait(_LONGEST):
                    logger.warning("An event is done, but could not be acknowledged: it will be handed out again.")
                    return

    def _bury(self, client: Any, entry: Any, fields: Any, why: str) -> None:
        logger.error("An event goes to the dead letters: %s.", why)
        client.xadd(self.dead_letters, {**fields, b"why": why.encode()}, maxlen=10_000, approximate=True)
        client.xack(self.key, self.group, entry)


def _leads(client: Client, uid: str) -> Callable[[], bool]:
    store = client.settings.status_store
    if store is None:
        return lambda: True
    if not isinstance(store, RedisStatusStore):
        raise wrong("client", "give one whose status_store is a RedisStatusStore, or none")
    return lambda: store.leads_line(client.app_id, uid)


def _check(name: str, value: Any, least: int, most: int, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise wrong(name, f"give a {'whole ' if whole else ''}number from {least} to {most}")
