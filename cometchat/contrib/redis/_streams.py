"""EventStream: each event goes to one worker of a group, through a consumer group of Redis Streams."""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
import uuid
from typing import Any, Callable, List, Optional, Union

from cometchat import Client, CometChatException

from ..._event_source import EventSource, checked_listener
from ..._fork_marks import process_name
from ..._log import SafeLog
from ..._runtime._threads import ServiceThread, wait_after
from ...exceptions import unusable
from ._capture import Capture
from ._codec import KINDS, Event, decode
from ._connections import OUTAGES, Link, ask, if_stream_exists, run
from ._scripts import BURY, FINISH, LOST, MAKE_GROUP, REMOVE, RENEW_CLAIM, REPORT_LOST
from ._store import RedisStatusStore
from ._turn import OthersTurn, Turn
from ._wire import Keys

logger = SafeLog(logging.getLogger("cometchat.redis"))

_numbers = itertools.count(1)

#: Maximum wait of one read for an event, in seconds. close() waits for the read.
_BLOCK = 0.5

#: Maximum time of a call to Redis, in seconds.
_TIMEOUT = 2.0

#: Maximum wait between attempts while Redis is away, in seconds.
_LONGEST = 0.5

#: Maximum time that close() waits, in seconds.
_ENDS = 1.0

#: Time after which an inactive consumer without events is removed, and the interval of the checks, in seconds.
_GONE_AFTER = 3600.0
_TIDY = 60.0

#: Maximum number of a worker's pending events to look at in one step.
_AT_ONCE = 100

#: The start of a search through the pending events; in Redis's answer also its end.
_FIRST = b"0-0"


class EventStream:
    """Adds a client's events to a stream in Redis, and gives each event to one worker of each group.

    Create one in every process, after the login, and another one in the child of a fork. The process that holds the
    connection adds events to the stream. (A client without a status store always does, so create it in one process
    only.) Every process that calls :meth:`listen` works on the events, on a separate thread.

    A message is in the stream once, even if its leader is killed, or no process ran when it was sent. If a worker is
    killed while it works on an event, or its callback raises, a worker gets the event again after ``claim_after``
    seconds. So in these cases an event may be handled more than once. :meth:`lost` counts the events lost in Redis.

    :param client: a logged-in client.
    :param store: the RedisStatusStore of its settings, or an address in the same format.
    :param group: of workers that share the events. A new group starts with the oldest event in the stream.
    :param consumer: this worker's name, which must be unique. Default: made from the host and process.
    :param maxlen: approximate maximum number of events (1 to 10,000,000) in the stream. Beyond it the oldest events
        that all groups have finished are removed. Beyond twice this number (and at least 1,000 more) the oldest are
        removed in any case, and count as lost.
    :param claim_after: seconds (1 to 86,400) after which another worker gets an event whose worker has ended or whose
        callback raised. A running callback keeps its event.
    :param retries: maximum number (0 to 1000) of further tries for an event whose callback raised or whose worker died.
        Then it goes to the stream of dead letters, ``dead_letters``.
    :param in_order: True lets one worker of the group work at a time, on the oldest event that is not finished. If it
        is killed, another worker takes over after the store's lease. All workers of a group need the same value.
    :raises CometChatException: ``INVALID_STORE``, ``INVALID_GROUP``, ``INVALID_CONSUMER``, ``INVALID_MAXLEN``,
        ``INVALID_CLAIM_AFTER``, ``INVALID_RETRIES``, ``INVALID_IN_ORDER``, ``INVALID_CLIENT``: no user is logged in.
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
        in_order: bool = False,
    ) -> None:
        user = client.get_logged_in_user() if isinstance(client, Client) else None
        if user is None:
            raise unusable("client", "a Client that is logged in")
        if isinstance(store, str):
            store = RedisStatusStore(store)
        if not isinstance(store, RedisStatusStore):
            raise unusable("store", "the RedisStatusStore of the client's settings, or an address")
        _check_text("group", group)
        _check_text("consumer", consumer or "-")
        _check_numbers(maxlen, claim_after, retries)
        if not isinstance(in_order, bool):
            raise unusable("in_order", "True or False")
        self.group = group
        self.consumer: str = consumer or f"{process_name().replace(':', '-')}-{uuid.uuid4().hex[:8]}"
        #: The stream's key, and that of its dead letters.
        self.key: str = Keys.of(store.prefix, client.app_id, user.uid).events
        self.dead_letters: str = f"{self.key}:dead"
        self._store = store
        self._claim_after = claim_after
        self._retries = retries
        self._turn = Turn(self.key, group, self.consumer, store.lease) if in_order else None
        self._renew_every = store.lease / 3 if in_order else claim_after / 4
        self._claimed = _FIRST
        self._failures = 0  # in a row
        self._link = Link(self._connection)  # of the thread that works
        self._in_hand: Optional[bytes] = None  # the entry that is worked on
        self._process = os.getpid()
        number = next(_numbers)
        self._listeners: List[object] = []
        self._stopped = threading.Event()
        self._record = f"{self.key}:record"
        self._thread = self._service_thread(f"cometchat-stream-{number}", self._main)
        self._claims = self._service_thread(f"cometchat-stream-claims-{number}", self._renew_claims)
        name = f"cometchat-stream-add-{number}"
        self._capture = Capture(EventSource(client), self._connection, self.key, maxlen=maxlen, name=name)
        self._capture.start()

    def __repr__(self) -> str:
        return f"<EventStream {self.key} group={self.group!r} consumer={self.consumer!r}>"

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def listen(self, listener: object) -> None:
        """Start to work on the events: call this listener's methods, one event at a time.

        They run on the stream's thread, ``cometchat-stream-N``. An event is done when the methods of all listeners have
        returned. If a method raises, the exception is logged, and a worker gets the event again after ``claim_after``
        seconds.

        :param listener: such as a MessageListener. It may have several kinds, except connection, login and outbox.
        :raises CometChatException: ``INVALID_LISTENER``; ``ERR_INTERNAL``: the system can't start a thread.
        """
        kind = next((kind for kind, cls in KINDS.items() if isinstance(listener, cls)), None)
        if kind is None:
            raise unusable("listener", "a listener for events of the service, such as a MessageListener")
        checked_listener(kind, listener)
        self._listeners.append(listener)  # one step: another thread may add one too
        if self._stopped.is_set():
            return
        try:
            self._claims.start()
            self._thread.start()  # last: it would finish events without a listener
        except CometChatException:
            self._listeners.remove(listener)
            raise

    def lag(self) -> Optional[int]:
        """Ask Redis how many events of the stream the group has not yet taken. Makes a call to Redis.

        :returns: the number; None if Redis does not know (before 7.0, or before a worker of the group listens).
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        groups = self._ask(lambda client: client.xinfo_groups(self.key)) or ()
        found = [group.get("lag") for group in groups if group["name"].decode("utf-8", "replace") == self.group]
        return found[0] if found else None

    def lost(self) -> Optional[int]:
        """Ask Redis how many events were lost before the group finished them. Makes a call to Redis.

        They were trimmed (see ``maxlen``), or Redis evicted them. A worker also checks once a minute, and logs losses.

        :returns: the number since the group was created; None if unknown now.
        :raises ConnectionException: ``ERR_STATUS_STORE``: Redis can't be used.
        """
        lost = self._ask(self._count_lost)
        return None if lost is None or lost < 0 else lost

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Return an answer of Redis; None before the stream exists."""
        return ask(self._connection, self._store.address, lambda client: if_stream_exists(lambda: question(client)))

    def _count_lost(self, client: Any) -> int:
        return run(client, LOST, (self.key, self._record), self.group)

    def close(self) -> None:
        """Stop adding and working, within a second. A callback that still runs goes on, and keeps its event."""
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
        """Keep the claim on the current event, or the turn, so that no other worker gets it."""
        link = Link(self._connection)
        last: Optional[bytes] = None
        try:
            while self._waits_to_renew():
                entry = self._in_hand
                if entry is not None and (entry == last or self._turn is not None):  # in work for a while
                    try:
                        if self._turn is not None:
                            self._turn.prolong(link.get())
                        else:
                            run(link.get(), RENEW_CLAIM, (self.key,), self.group, self.consumer, entry)
                    except OUTAGES as error:
                        link.drop()
                        logger.info("The claim of the current event can't be renewed now: %s", error)
                last = entry
        finally:
            link.drop()

    def _waits_to_renew(self) -> bool:
        """Wait until the next renewal. Returns False at the end, which is after the end of a running callback."""
        if not self._stopped.wait(self._renew_every):
            return True
        self._thread.join(self._renew_every)
        return self._thread.alive

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
                    self._stopped.wait(wait_after(self._failures, random.random(), longest=_LONGEST))  # nosec B311
            if os.getpid() == self._process:
                self._leave()
        finally:
            link.drop()

    def _leave(self) -> None:
        """Remove this consumer from the group, unless it has an event that is not finished."""
        try:
            if self._turn is not None:
                self._turn.release(self._link.get())
            run(self._link.get(), REMOVE, (self.key,), self.group, 0, self.consumer)
        except Exception as error:
            logger.debug("The consumer could not be removed: %s", error)

    def _report(self, error: Exception) -> None:
        if self._failures:  # only the first one in a row
            logger.debug("The stream of events still can't be read: %s", error)
        elif not isinstance(error, OUTAGES):
            logger.exception("Unexpected error of the stream of events. It continues.")
        elif not self._stopped.is_set():
            logger.warning("The stream of events can't be read, trying again: %s", error)

    def _work(self) -> None:
        look_at = tidy_at = 0.0
        while not self._stopped.is_set() and os.getpid() == self._process:
            now, client = time.monotonic(), self._link.get()
            if now >= tidy_at:
                tidy_at = now + _TIDY
                run(client, REMOVE, (self.key,), self.group, int(_GONE_AFTER * 1000), "")
                self._report_lost(client)
            if self._turn is not None:
                self._work_in_turn(client, self._turn)
                self._note_return()
                continue
            if now >= look_at:
                left = self._claim(client)
                look_at = 0.0 if left else now + self._claim_after / 4
                for entry in left:
                    self._handle(client, *entry)
            block = None if look_at == 0.0 else int(_BLOCK * 1000)  # does not wait while more events are left
            read = client.xreadgroup(self.group, self.consumer, {self.key: ">"}, count=1, block=block)
            self._note_return()
            for _, entries in read.items() if isinstance(read, dict) else read or ():
                for entry in entries[0] if entries and isinstance(entries[0], list) else entries:
                    self._handle(client, *entry)

    def _work_in_turn(self, client: Any, turn: Turn) -> None:
        """Work on the next event, if it is this worker's turn."""
        taken = turn.take(client, _BLOCK)
        if isinstance(taken, OthersTurn):
            self._stopped.wait(min(taken.seconds, _BLOCK) * (0.5 + random.random() / 2))  # nosec B311
        elif taken is None:
            return
        elif taken.deliveries > self._retries + 1:
            self._bury(client, taken.entry, taken.fields, "it was handed out too often")
        elif not self._handle(client, taken.entry, taken.fields):
            self._stopped.wait(wait_after(taken.deliveries, random.random()))  # nosec B311

    def _note_return(self) -> None:
        if self._failures:
            self._failures = 0
            logger.info("The stream of events can be read again.")

    def _report_lost(self, client: Any) -> None:
        new = run(client, REPORT_LOST, (self._record,), self.group, self._count_lost(client))
        if new > 0:
            logger.error("Redis evicted or trimmed %d events before the group %r had finished them.", new, self.group)

    def _claim(self, client: Any) -> List[Any]:
        """Return one event that a worker has taken but not finished; [] without such an event."""
        idle = int(self._claim_after * 1000)
        while not self._stopped.is_set():
            # Redis checks ten at a time. The first ones may be in progress, or not yet due.
            answer = client.xautoclaim(
                self.key, self.group, self.consumer, min_idle_time=idle, start_id=self._claimed, count=1
            )
            self._claimed = answer[0]
            for entry, fields in answer[1]:
                if not fields:  # trimmed; Redis 7.0 removes it from the worker, 6.2 does not name it
                    self._drop_trimmed(client)
                    continue
                pending = client.xpending_range(self.key, self.group, min=entry, max=entry, count=1)
                if not pending or pending[0]["times_delivered"] <= self._retries + 1:
                    return [(entry, fields)]
                self._bury(client, entry, fields, "too many tries")
            if self._claimed == _FIRST:
                break
        return []

    def _drop_trimmed(self, client: Any) -> None:
        """Remove from this worker the events whose entries were trimmed."""
        for pending in client.xpending_range(self.key, self.group, "-", "+", _AT_ONCE, self.consumer):
            entry = pending["message_id"]
            if not client.xrange(self.key, entry, entry):
                client.xack(self.key, self.group, entry)

    def _handle(self, client: Any, entry: Any, fields: Any) -> bool:
        """Call the listeners. Returns False if the event is not finished: one raised, or it can't be read."""
        try:
            event = decode(fields[b"event"])
        except (ValueError, KeyError) as error:
            # In a deploy, another worker may have the newer version that has added the event.
            logger.warning("This worker can't read an event. A worker gets it again: %s", error)
            if self._turn is not None:
                self._turn.release(client)
            return False
        self._in_hand = entry
        try:
            good = all([self._call(listener, event) for listener in list(self._listeners)])
        finally:
            self._in_hand = None
        if good and os.getpid() == self._process:
            self._finish(entry)
        return good

    def _call(self, listener: object, event: Event) -> bool:
        """Call a listener. Returns False if it raised."""
        if not isinstance(listener, KINDS[event.kind]) or os.getpid() != self._process:
            return True
        try:
            getattr(listener, event.method)(*event.args)
        except BaseException:  # includes SystemExit: an error of a listener must not end this thread
            if os.getpid() != self._process:
                raise  # it ends the child of a fork
            logger.exception("A listener of the stream raised in %s(). The event will be tried again.", event.method)
            return False
        return True

    def _finish(self, entry: Any) -> None:
        """Acknowledge the event, with retries while Redis is unreachable; otherwise a worker would get it again."""
        report: Callable[..., None] = logger.warning
        while True:
            try:
                run(self._link.get(), FINISH, (self.key, self._record), self.group, entry)
                return
            except Exception as error:
                self._link.drop()
                report("An event is done, but can't be acknowledged yet: %s", error)
                report = logger.debug
                if self._stopped.wait(_LONGEST):
                    logger.warning("An event is done, but could not be acknowledged. It will be handled again.")
                    return

    def _bury(self, client: Any, entry: Any, fields: Any, why: str) -> None:
        logger.error("An event becomes a dead letter: %s.", why)
        letter = itertools.chain.from_iterable({**fields, b"why": why.encode()}.items())
        run(client, BURY, (self.key, self._record, self.dead_letters), self.group, entry, *letter)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise unusable(name, "a string")


def _check_numbers(maxlen: Any, claim_after: Any, retries: Any) -> None:
    _check("maxlen", maxlen, 1, 10_000_000, whole=True)
    _check("claim_after", claim_after, 1, 86_400)
    _check("retries", retries, 0, 1000, whole=True)


def _check(name: str, value: Any, least: int, most: int, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise unusable(name, f"a {'whole ' if whole else ''}number from {least} to {most}")
