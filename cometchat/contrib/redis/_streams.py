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

from cometchat import Client, CometChatException

from ..._log import SafeLog
from ..._runtime._threads import ServiceThread
from ..._tap import EventSource
from .._arguments import wrong
from .._retry import wait_after
from ._capture import Capture
from ._codec import KINDS, Event, decode
from ._connections import Link
from ._scripts import FINISH, LOST, MAKE_GROUP, REMOVE, RENEW_CLAIM
from ._store import RedisStatusStore
from ._wire import Keys, run, shut, unreachable

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

#: Where a search through the pending events starts, and, as Redis' answer, where it has ended.
_FIRST = b"0-0"


class EventStream:
    """Adds what a client receives to a stream in Redis, and hands each event to one worker of each group.

    Make one in every process, after login, and another in the child of a fork. The process that holds the
    connection adds to the stream (a client without a status store always does, so make it in one process only); every
    process that calls :meth:`listen` works on it, on a thread of its own.

    A message is in the stream once, also where its leader is killed, and where no process ran when it was sent. A
    worker that is killed while it works on an event leaves it to another, which works on it again after ``claim_after``
    seconds: at least once in such a case, and once in all others. :meth:`lost` counts what went missing in Redis.

    :param client: logged in.
    :param store: the RedisStatusStore of its settings, or an address as that takes it.
    :param group: of workers that share the events. A new group starts with the oldest event in the stream.
    :param consumer: this worker's name, unlike all others'. Default: made of host and process.
    :param maxlen: about how many events (1 to 10,000,000) the stream holds. Beyond it the oldest go that all groups
        have finished; beyond twice as many (and at least 1,000 more) the oldest go in any case, and count as lost.
    :param claim_after: seconds (1 to 86,400) after which an event of a worker that is gone, or whose callback raised,
        is another's. A callback that runs keeps its event.
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
            raise wrong("client", "a Client that is logged in")
        if isinstance(store, str):
            store = RedisStatusStore(store)
        if not isinstance(store, RedisStatusStore):
            raise wrong("store", "the RedisStatusStore of the client's settings, or an address")
        _check_text("group", group)
        _check_text("consumer", consumer or "-")
        _check("maxlen", maxlen, 1, 10_000_000, whole=True)
        _check("claim_after", claim_after, 1, 86_400)
        _check("retries", retries, 0, 1000, whole=True)
        self.group = group
        self.consumer: str = consumer or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        #: The stream's key, and that of its dead letters.
        self.key: str = Keys.of(store.prefix, client.app_id, user.uid).events
        self.dead_letters: str = f"{self.key}:dead"
        self._store = store
        self._claim_after = claim_after
        self._retries = retries
        self._claimed = _FIRST
        self._failures = 0  # in a row
        self._reported_lost = 0
        self._link = Link(self._connection)  # of the thread that works
        self._in_hand: Optional[bytes] = None  # the entry that is worked on
        self._process = os.getpid()
        number = next(_numbers)
        self._listeners: Tuple[object, ...] = ()
        self._stopped = threading.Event()
        self._record = f"{self.key}:record"
        self._thread = self._service_thread(f"cometchat-stream-{number}", self._main)
        self._claims = self._service_thread(f"cometchat-stream-claims-{number}", self._renew_claims)
        leads, name = _leads(client, user.uid), f"cometchat-stream-add-{number}"
        self._capture = Capture(EventSource(client), self._connection, self.key, leads=leads, maxlen=maxlen, name=name)
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
        :raises CometChatException: ``INVALID_LISTENER``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        if not isinstance(listener, tuple(KINDS.values())):
            raise wrong("listener", "a listener for events of the service, such as a MessageListener")
        before = self._listeners
        self._listeners = (*before, listener)
        if self._stopped.is_set():
            return
        try:
            self._thread.start()
            self._claims.start()
        except CometChatException:
            self._listeners = before
            raise

    def lag(self) -> Optional[int]:
        """Ask Redis how many events of the stream the group has not yet taken. Makes a call, and waits for it.

        :returns: the number; None if Redis does not know it: before 7.0, or before a worker of the group listens.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        groups = self._ask(lambda client: client.xinfo_groups(self.key)) or ()
        found = [group.get("lag") for group in groups if group["name"].decode() == self.group]
        return found[0] if found else None

    def lost(self) -> Optional[int]:
        """Ask Redis how many events went missing before the group finished them. Makes a call, and waits for it.

        They were trimmed (see ``maxlen``), or Redis evicted them. A worker looks once a minute too, and logs it.

        :returns: the number since the group was made; None if Redis can't tell now.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        lost = self._ask(self._count_lost)
        return None if lost is None or lost < 0 else lost

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Return an answer of Redis; None if there is no stream yet."""
        client: Any = self._connection()
        try:
            return question(client)
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise unreachable(self._store.address, error) from error
            return None
        except (redis.RedisError, OSError) as error:
            raise unreachable(self._store.address, error) from error
        finally:
            shut(client)

    def _count_lost(self, client: Any) -> int:
        return run(client, LOST, (self.key, self._record), self.group)

    def close(self) -> None:
        """Stop adding and working, within a second. A callback that still runs is not interrupted."""
        self._capture.close()
        self._stopped.set()
        deadline = time.monotonic() + _ENDS
        self._capture.join(_ENDS)
        for thread in (self._claims, self._thread):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _connection(self) -> Any:
        """Return a client of the redis library."""
        return self._store.connection(_TIMEOUT)

    def _service_thread(self, name: str, work: Callable[[], None]) -> ServiceThread:
        return ServiceThread(name, work, wanted=lambda: not self._stopped.is_set(), wait=self._stopped.wait)

    # --- on the thread for claims

    def _renew_claims(self) -> None:
        """Keep the event that is worked on from being handed out to another worker."""
        link = Link(self._connection)
        last: Optional[bytes] = None
        try:
            while not self._stopped.wait(self._claim_after / 4):
                entry = self._in_hand
                if entry is not None and entry == last:  # in work for a while
                    try:
                        run(link.get(), RENEW_CLAIM, (self.key,), self.group, self.consumer, entry)
                    except (redis.RedisError, OSError) as error:
                        link.drop()
                        logger.info("An event is in work, and its claim can't be renewed now: %s", error)
                last = entry
        finally:
            link.drop()

    # --- on the thread that works

    def _main(self) -> None:
        link = self._link
        try:
            while not self._stopped.is_set() and os.getpid() == self._process:
                try:
                    run(link.get(), MAKE_GROUP, (self.key, self._record), self.group)
                    self._work()
                except Exception as error:
                    link.drop()
                    self._report(error)
                    self._failures += 1
                    self._stopped.wait(min(_LONGEST, wait_after(self._failures, random.random())))  # nosec B311
            if os.getpid() == self._process:
                self._leave()
        finally:
            link.drop()

    def _leave(self) -> None:
        """Remove this consumer from the group, unless it has an event that is not finished."""
        try:
            run(self._link.get(), REMOVE, (self.key,), self.group, 0, self.consumer)
        except Exception as error:
            logger.debug("The consumer could not be removed: %s", error)

    def _report(self, error: Exception) -> None:
        if not isinstance(error, (redis.RedisError, OSError)):
            logger.exception("Unexpected error of the stream of events; it continues.")
        elif not self._failures and not self._stopped.is_set():
            logger.warning("The stream of events can't be read, it is tried again: %s", error)

    def _work(self) -> None:
        look_at = tidy_at = 0.0
        while not self._stopped.is_set() and os.getpid() == self._process:
            now, client = time.monotonic(), self._link.get()
            if now >= tidy_at:
                tidy_at = now + _TIDY
                run(client, REMOVE, (self.key,), self.group, int(_GONE_AFTER * 1000), "")
                self._report_lost(client)
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

    def _report_lost(self, client: Any) -> None:
        lost = self._count_lost(client)
        if lost > self._reported_lost:
            logger.error(
                "%d events went missing in Redis before the group %r had finished them: it evicted or trimmed them.",
                lost - self._reported_lost,
                self.group,
            )
        self._reported_lost = max(lost, self._reported_lost)

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
                if not fields:  # trimmed; Redis 7.0 takes it from the worker by itself
                    client.xack(self.key, self.group, entry)
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
        self._in_hand = entry
        try:
            good = all([self._call(listener, event) for listener in self._listeners])
        finally:
            self._in_hand = None
        if good and os.getpid() == self._process:
            self._finish(entry)

    def _call(self, listener: object, event: Event) -> bool:
        """Call a listener. Returns False if it raised."""
        if not isinstance(listener, KINDS[event.kind]) or os.getpid() != self._process:
            return True
        try:
            getattr(listener, event.method)(*event.args)
        except BaseException:  # SystemExit too: a listener's error is its own, and must not end this thread
            if os.getpid() != self._process:
                raise  # it ends the child of a fork
            logger.exception("A listener of the stream raised in %s(); it is handed out again.", event.method)
            return False
        return True

    def _finish(self, entry: Any) -> None:
        """Acknowledge the event, however long Redis is away: else Redis would hand it out again."""
        while True:
            try:
                run(self._link.get(), FINISH, (self.key, self._record), self.group, entry)
                return
            except Exception as error:
                self._link.drop()
                logger.info("An event is done, but can't be acknowledged yet: %s", error)
                if self._stopped.wait(_LONGEST):
                    logger.warning("An event is done, but could not be acknowledged: it will be handed out again.")
                    return

    def _bury(self, client: Any, entry: Any, fields: Any, why: str) -> None:
        logger.error("An event goes to the dead letters: %s.", why)
        client.xadd(self.dead_letters, {**fields, b"why": why.encode()}, maxlen=10_000, approximate=True)
        run(client, FINISH, (self.key, self._record), self.group, entry)


def _leads(client: Client, uid: str) -> Callable[[], bool]:
    store = client.settings.status_store
    if store is None:
        return lambda: True
    if not isinstance(store, RedisStatusStore):
        raise wrong("client", "a client whose status_store is None or a RedisStatusStore")
    keys = Keys.of(store.prefix, client.app_id, uid)
    return lambda: store.leads_line(keys)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise wrong(name, "a string")


def _check(name: str, value: Any, least: int, most: int, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise wrong(name, f"a {'whole ' if whole else ''}number from {least} to {most}")
