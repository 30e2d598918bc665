"""Adds a client's events to a stream in Redis, each once, in the process that holds the connection.

Events get here before they are queued for the listeners, so a listener that blocks does not delay the stream. Every
process keeps its events until it knows that they are in the stream. Only the leader adds events. A new leader adds its
kept events, and fetches from the service the messages after the newest one in the stream, including those sent while no
process ran. Redis recognizes an event by its key. Typing, presence and receipts have no key, so the leader's client
makes one. Then a call that is repeated because of a late answer adds no event twice, nor do several streams of the
client.

A stream begins with its first process. A message stored since then may reach no process, because a connection or a lead
was lost. So the first leader asks for the newest message of that time, and Redis keeps the time for the next leader.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from cometchat import CometChatException

from ..._event_source import PAGE, EventSource, Received, before_live, next_page_size, overlapped, rank
from ..._log import SafeLog
from ..._runtime._threads import ServiceThread, wait_after
from ._clock import clock_with_sleep
from ._codec import Event, encode
from ._connections import OUTAGES, Link
from ._kept import KeptEvents
from ._queue import MAX_WAITING, LimitedQueue
from ._scripts import ADD, BEGIN

logger = SafeLog(logging.getLogger("cometchat.redis"))

#: Time for which Redis recognizes a stored event, and an event without its own key, in seconds.
KNOWN = 3600
KNOWN_CALL = 60

#: Seconds after which Redis may have forgotten the id of a message.
_OLD = KNOWN - 300

#: Maximum wait between attempts while Redis is away, in seconds.
_LONGEST = 0.5

#: Number of failures in a row, some seconds, after which a warning is logged.
_LASTING = 10

#: Maximum wait of the thread for an event, in seconds; the second is for a process with kept events.
_IDLE = 60.0
_LOOK = 5.0

#: Minimum time, in seconds, between two reports of the same trouble.
_REPORTS = 60.0

#: Maximum number of kept events per call to Redis.
_KEPT_AT_ONCE = 100

#: Maximum wait of live events for missed messages while the requests fail, in seconds.
_PATIENCE = 5.0


class _Addition(NamedTuple):
    """An event in the form for the stream. ``data`` is empty if Redis should only remember the key."""

    key: str
    data: bytes
    seconds: int
    received: Received


class _Gap:
    """A time for which this process may have missed events, or has only kept them.

    :ivar kept: the number of the newest event that this process kept before the gap's end.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept


class Capture:
    """Captures the events of one client. Its thread, ``cometchat-stream-add-N``, calls Redis and the service.

    :param source: of the events. The process adds events while the source's client leads.
    :param connect: creates a client of the redis library.
    :param stream: the key.
    :param name: the thread's.
    :param clock: monotonic seconds, with the time for which the machine slept.
    :param wall: Unix seconds, if the service's time is unknown.
    :param jitter: 0 to 1, at random.
    """

    def __init__(
        self,
        source: EventSource,
        connect: Callable[[], Any],
        stream: str,
        *,
        maxlen: int,
        name: str,
        clock: Callable[[], float] = clock_with_sleep,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._uid = source.uid  # a client may log in as another user, whose events do not belong to this stream
        self._connect = connect
        self._stream = stream
        self._record = f"{stream}:record"
        self._maxlen = maxlen
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._kept = KeptEvents(clock)
        self._queue = LimitedQueue()
        self._stopped = threading.Event()
        self._thread = ServiceThread(
            name, self._main, wanted=lambda: not self._stopped.is_set(), wait=self._stopped.wait
        )
        #: Events without room in the queue. The messages among them are fetched from the service.
        self.dropped = 0
        self._began = clock()
        self._gap = _Gap(0)  # the newest one; the first has the messages sent while no process ran
        # Only the thread uses the rest.
        self._closed_gap: Optional[_Gap] = None
        self._has_begun = False  # Redis knows when this process began
        self._reported_drops = 0
        self._batch: List[_Addition] = []
        self._is_tried = False  # the batch may already be in the stream
        self._failures = self._ask_failures = 0
        self._failing_since: Optional[float] = None
        self._warned = False  # of this failure
        self._ask_at = 0.0
        self._page_size = PAGE
        self._pages_of: Optional[_Gap] = None
        self._pages: Dict[int, List[Received]] = {}  # of that gap, by the id before them
        self._look_at = 0.0
        self._position: Optional[str] = None  # the newest message in the stream, as far as this process knows
        self._count = 0
        self._removed, self._report_at = 0, 0.0  # entries that no group will get, since the last report

    def start(self) -> None:
        """Start the thread and the capture.

        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        """
        self._source.add(self)
        try:
            self._thread.start()
        except CometChatException:
            self._source.remove(self)
            raise

    def close(self) -> None:
        """Stop the capture. Waiting events are added if Redis answers."""
        self._source.remove(self)
        self._stopped.set()
        self._queue.put("stop")

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    # --- on the thread of the client's router

    def opened(self) -> None:
        """Fetch the messages missed before this connection, if this process leads."""
        self._open_gap()
        self._queue.put("opened")  # even a follower's thread, which is behind, may have to ask now

    def received(self, received: Received) -> None:
        """Receive an event. See :class:`cometchat._event_source.Tap`."""
        if received.uid != self._uid:
            return
        key = received.key
        if key is not None:
            # The leader keeps its events too: it may lose its lead and get it back before Redis has them.
            self._kept.add(key, received)
        leads = self._source.leads
        if leads and self._queue.offer("event", received, received.size):
            return
        if key is not None:
            self._open_gap()  # the event is only kept, or only at the service
        if leads:
            self.dropped += 1
            if self.dropped == self._reported_drops + 1:
                logger.warning("Too many events wait for Redis. Typing indicators and similar events are dropped.")

    def _open_gap(self) -> None:
        was_behind = self._is_behind
        self._gap = _Gap(self._kept.last)
        if not was_behind:
            self._queue.put("gap")

    # --- on the thread

    @property
    def _is_behind(self) -> bool:
        return self._closed_gap is not self._gap

    def _main(self) -> None:
        link = Link(self._connect)
        try:
            while self._batch or self._queue.waits or not self._stopped.is_set():
                try:
                    self._turn(link.get())
                    self._failures = 0
                except Exception as error:
                    link.drop()
                    self._report(error)
                    self._failures += 1
                    if self._stopped.wait(wait_after(self._failures, self._jitter(), longest=_LONGEST)):
                        left = len(self._batch) + self._queue.waits
                        logger.warning("Redis is not reachable: %d events are not in the stream.", left)
                        return
        finally:
            link.drop()

    def _report(self, error: Exception) -> None:
        """Log the first failure in a row, and warn if they go on. The others are for debugging: several per second."""
        is_of_redis = isinstance(error, OUTAGES)
        if is_of_redis and self._failures == _LASTING:
            logger.warning("Events can't be put into the stream, trying again: %s", error)
        elif self._failures:
            logger.debug("Events still can't be put into the stream: %s", error)
        elif is_of_redis:
            logger.info("Events can't be put into the stream yet: %s", error)
        else:
            logger.exception("Unexpected error of the stream. It continues.")

    def _turn(self, client: Any) -> None:
        """Wait for a task, and do it."""
        if not self._has_begun:
            self._begin(client, "")
            self._has_begun = True
        now, gap = self._clock(), self._gap
        asks = self._is_behind and self._source.leads and self._source.uid == self._uid
        if self._queue.waits > MAX_WAITING // 2:
            asks = False  # more than Redis takes: more messages from the service would only fill the queue
        if asks and now >= self._ask_at and not self._stopped.is_set():
            self._catch_up(client)
            return
        if not self._batch:
            wait = max(0.0, self._ask_at - now) if asks else _LOOK if len(self._kept) else _IDLE
            items = self._queue.take(min(wait, _IDLE))
            try:
                self._batch = [each for item in items if item.kind == "event" for each in self._additions(item.value)]
            except BaseException:  # such as a MemoryError: the kept events are added later
                self._open_gap()
                raise
            if self._batch and self._gap is not gap:
                return  # what was missed before a part of the batch goes first
        if self._batch:
            self._write_batch(client)
        elif len(self._kept) and self._clock() >= self._look_at:
            self._look(client)
        self._report_drops()

    def _write_batch(self, client: Any) -> None:
        """Add the batch. After a failure, leave out the messages that Redis has got, but may no longer recognize."""
        if self._is_tried:
            position = rank(_text(client.hget(self._record, "id")) or "")
            self._batch = [each for each in self._batch if not self._is_known(each.received, position)]
        self._is_tried = True
        self._write(client, self._batch, self._newest_of(self._batch))
        self._batch, self._is_tried = [], False

    def _newest_of(self, batch: Sequence[_Addition]) -> str:
        """Return the newest message's id if all messages before it are in the stream; else ``""``."""
        if self._is_behind:
            return ""
        ids = [each.received.message_id for each in batch]
        return max((each for each in ids if each is not None and rank(each) >= 0), key=rank, default="")

    def _additions(self, received: Received) -> List[_Addition]:
        """Return an event in the form for the stream; [] if it can't or need not be added."""
        key, call = received.key, received.call()
        if call is None:  # this connection sent it
            return [] if key is None else [_Addition(key, b"", KNOWN, received)]
        try:
            data = encode(Event(*call))
        except ValueError:
            logger.exception("An event can't be put into the stream.")
            return []
        if key is not None:
            return [_Addition(key, data, KNOWN, received)]
        return [_Addition(received.name, data, KNOWN_CALL, received)]

    def _write(self, client: Any, batch: Sequence[_Addition], position: str) -> None:
        """Add a batch in one call.

        :param position: the id of the newest message that is in the stream with all before it; "" for no change.
        """
        newest = next((each.key for each in reversed(batch) if each.received.is_stored), "")
        live = newest if batch is self._batch else ""  # the copies keep the order of the connection
        keys, arguments = [self._stream, self._record], [self._maxlen, position, live]
        for each in batch:
            keys.append(f"{self._stream}:{each.key}")
            arguments += [each.data, each.seconds]
        count, lost = client.eval(ADD, len(keys), *keys, *arguments)
        if live:
            self._kept.note_added(live)
        self._position = position or self._position
        self._note_count(count)
        self._removed += lost
        if self._removed and self._clock() >= self._report_at:
            count, self._removed, self._report_at = self._removed, 0, self._clock() + _REPORTS
            logger.error("The stream is full: %d events were removed before all groups had finished them.", count)

    def _note_count(self, count: int) -> None:
        """Note the number of events in the stream. A Redis that restarts within the lease loses them unnoticed."""
        if count < self._count:
            logger.warning("Redis lost the stream of events. Events that the workers had not taken are lost.")
            self._open_gap()  # so that the kept events are added again
        self._count = count

    def _look(self, client: Any) -> None:
        """Ask Redis which of the kept events the leader has added, and whether they are still there."""
        self._look_at = self._clock() + _LOOK
        position, key, count = client.hmget(self._record, "id", "key", "count")
        if position is not None:
            self._position = _text(position)
        self._kept.note_added(_text(key) or "")
        self._note_count(max(0, rank(_text(count) or "0")))

    def _report_drops(self) -> None:
        if self.dropped != self._reported_drops and not self._queue.waits and not self._is_behind:
            count, self._reported_drops = self.dropped - self._reported_drops, self.dropped
            logger.warning("%d events had no room. The messages among them were fetched from the service.", count)

    # --- what was missed

    def _catch_up(self, client: Any) -> None:
        """Add the messages that the service stored since the newest one in the stream, then the kept events."""
        gap = self._gap
        try:
            is_complete = self._fetch(client, gap)
        except CometChatException as error:
            self._page_size = next_page_size(self._page_size, error)
            self._ask_later(client, error)
            return
        if not is_complete and not self._stopped.is_set():
            return  # the missed messages go before the kept events
        self._add_kept(client)
        self._failing_since, self._ask_failures, self._warned = None, 0, False
        if is_complete:
            self._closed_gap = gap
            self._pages.clear()

    def _add_kept(self, client: Any) -> None:
        kept = self._kept.all()
        additions = [each for received in kept for each in self._additions(received)]
        for first in range(0, len(additions), _KEPT_AT_ONCE):
            self._write(client, additions[first : first + _KEPT_AT_ONCE], "")
        if additions and self._source.leads:
            self._kept.note_added(additions[-1].key)

    def _fetch(self, client: Any, gap: _Gap) -> bool:
        """Add the service's messages, up to the first one that arrived live after the gap.

        :returns: False if this process lost its lead in between, even for a moment, or the client's user changed: some
            may be missing.
        """
        position, floor = self._find_position(client)
        if position is None:
            return False
        newest = rank(position)
        if newest < 0:
            return True
        after = int(overlapped(position, floor))
        while self._source.leads and not self._stopped.is_set():
            page = self._page(gap, after)
            if self._source.uid != self._uid:
                break  # they are another user's
            ids = [max(0, rank(each.message_id or "")) for each in page]
            wanted = [each for each in page if not self._is_known(each, newest)]
            end = max(ids, default=after)
            additions = [each for received in wanted for each in self._additions(received)]
            if additions:
                self._write(client, additions, str(end) if end > newest else "")
                self._pages.clear()
            if end <= after or any(self._kept.is_after(gap.kept, str(each)) for each in ids):
                return self._source.leads
            after = end
        self._pages.clear()
        return False

    def _page(self, gap: _Gap, after: int) -> List[Received]:
        """Return the messages after an id. Keeps them until Redis has them, which may refuse them for hours.

        Messages that the service stores after its answer arrive live, or another gap is opened for them.
        """
        if self._pages_of is not gap:
            self._pages_of = gap
            self._pages.clear()
        if after not in self._pages:
            self._pages[after] = self._source.messages_after(str(after), self._page_size)
            self._page_size = next_page_size(self._page_size)
        return self._pages[after]

    def _find_position(self, client: Any) -> Tuple[Optional[str], str]:
        """Return the newest message in the stream, and the floor. Returns None if the client's user changed."""
        position, floor, ago = self._begin(client, "")
        if position is None:
            start = self._position
            if start is None:
                newest = self._source.newest_message_id(ago)
                if self._source.uid != self._uid:
                    return None, ""
                # Without the service's time, the answer may be newer than live messages.
                start = before_live(newest, [each.message_id for each in self._kept.all()])
            position, floor, _ = self._begin(client, start)
            if self._position is not None:
                self._add_kept(client)  # Redis lost the stream with its newest events
        self._position = position
        return position, floor or position or ""

    def _begin(self, client: Any, position: str) -> Tuple[Optional[str], Optional[str], float]:
        """Return the position and the floor in Redis, and the seconds since the stream began. See the script."""
        age = int((self._clock() - self._began) * 1000)
        known, floor, since = client.eval(BEGIN, 1, self._record, age, position)
        return _text(known), _text(floor), since / 1000

    def _is_known(self, received: Received, position: int) -> bool:
        """Return True if a message was added so long ago that Redis may no longer recognize it."""
        number, sent_at = rank(received.message_id or ""), received.sent_at
        if not 0 <= number <= position:
            return False
        now = self._source.service_time  # this machine's clock may be wrong
        return sent_at is None or sent_at < (self._wall() if now is None else now) - _OLD

    def _ask_later(self, client: Any, error: CometChatException) -> None:
        """Make the live events wait for the missed messages for a limited time; then add the live events first."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        self._ask_failures += 1
        pause = wait_after(self._ask_failures, self._jitter(), asked=error.retry_after)
        patience = max(0.0, self._failing_since + _PATIENCE - now)
        if pause < patience:
            logger.info("Missed messages could not be fetched for the stream, trying again: %s", error)
            self._stopped.wait(pause)
            return
        if patience and self._stopped.wait(patience):
            return
        report = logger.info if self._warned else logger.warning
        self._warned = True
        report("Missed messages can't be fetched for the stream. Live ones are added before them: %s", error)
        self._add_kept(client)
        self._ask_at = now + pause


def _text(data: Optional[bytes]) -> Optional[str]:
    """Return a text in Redis, where another program may have written any bytes."""
    return None if data is None else data.decode("utf-8", "replace")
