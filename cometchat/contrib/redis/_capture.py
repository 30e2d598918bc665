"""What a client receives, added to a stream in Redis: by the process that holds the connection, each message once.

Every process listens. The leader adds what it receives. The others keep it for a while, and a new leader adds that
again: what the leader before received but had not added is not lost. Redis recognizes a message by its id. Typing,
presence and receipts have no id of their own: the leader adds them under an id that it makes, so that a call that is
repeated because its answer was late adds nothing twice.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

import redis

from cometchat import Client, CometChatException, ConnectionListener

from ..._log import SafeLog
from .._retry import wait_after
from ._codec import KINDS, METHODS, Event, encode
from ._queue import MAX_WAITING, MAX_WAITING_BYTES, Item, SeatQueue
from ._wire import shut

logger = SafeLog(logging.getLogger("cometchat.redis"))

#: Time for which a process keeps what it has received, in seconds: longer than it takes to replace a leader.
KEPT = 60.0

#: Time for which Redis recognizes a message, and an event without an id of its own, in seconds.
KNOWN = 3600
KNOWN_CALL = 60

#: Maximum wait between attempts while Redis is away, in seconds.
_LONGEST = 0.5

#: Maximum wait of the thread for an event, in seconds.
_IDLE = 60.0

#: Add events that are not yet known. KEYS: stream, then the key of each event. ARGV: longest stream, then of each event
#: the data and the seconds for which it is known. Returns how many were added.
ADD = """
local added = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[i * 2 - 2])
    redis.call('SET', KEYS[i], '1', 'EX', ARGV[i * 2 - 1])
    added = added + 1
  end
end
return added
"""


class KeptEvents:
    """The messages of the last minute, bounded in number and bytes. Any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: Deque[Tuple[float, str, bytes]] = deque()
        self._bytes = 0

    def add(self, key: str, data: bytes) -> None:
        """Keep a message, and forget what is too old or too much."""
        now = self._clock()
        with self._lock:
            self._events.append((now, key, data))
            self._bytes += len(data)
            while self._events and (
                self._events[0][0] < now - KEPT
                or len(self._events) > MAX_WAITING
                or (self._bytes > MAX_WAITING_BYTES and len(self._events) > 1)
            ):
                self._bytes -= len(self._events.popleft()[2])

    def newest(self) -> List[Tuple[str, bytes]]:
        """The messages that are not too old, in order."""
        earliest = self._clock() - KEPT
        with self._lock:
            return [(key, data) for at, key, data in self._events if at >= earliest]


class Capture:
    """One client's. Its thread, ``cometchat-stream-add-N``, talks to Redis, and survives any exception.

    :param client: of the SDK.
    :param connect: makes a client of the redis library.
    :param stream: the key.
    :param leads: whether this process is the one that adds.
    :param listener_id: for the client's listeners.
    :param clock: monotonic seconds.
    :param jitter: 0 to 1, at random.
    """

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Any],
        stream: str,
        *,
        leads: Callable[[], bool],
        maxlen: int,
        listener_id: str,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._connect = connect
        self._stream = stream
        self._leads = leads
        self._maxlen = maxlen
        self._id = listener_id
        self._jitter = jitter
        self._name = uuid.uuid4().hex
        self._count = 0  # of the events that got an id here
        self._kept = KeptEvents(clock)
        self._queue = SeatQueue()
        #: How many events found no room in the queue.
        self.dropped = 0
        self._is_full = False
        self._stopped = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Start the thread, and listen.

        :raises RuntimeError: the system has no thread left.
        """
        adders: Dict[str, Callable[..., str]] = {
            "group": self._client.add_group_listener,
            "message": self._client.add_message_listener,
            "call": self._client.add_call_listener,
            "ai_assistant": self._client.add_ai_assistant_listener,
            "conversation": self._client.add_conversation_listener,
            "event": self._client.add_event_listener,
        }
        if self._client.settings.subscription_type != "NONE":  # else no presence comes, and the client warns
            adders["user"] = self._client.add_user_listener
        thread = threading.Thread(target=self._main, name=self._id.replace("-", "-add-", 1), daemon=True)
        thread.start()
        self._thread = thread
        self._client.add_connection_listener(self._id, _Connected(self._take_over))
        for kind, add in adders.items():
            add(self._id, _listener(kind, self._take))

    def close(self) -> None:
        """Stop listening. What waits is added if Redis answers."""
        with contextlib.suppress(CometChatException):
            self._client.remove_connection_listener(self._id)
            self._client.remove_user_listener(self._id)
            self._client.remove_group_listener(self._id)
            self._client.remove_message_listener(self._id)
            self._client.remove_call_listener(self._id)
            self._client.remove_ai_assistant_listener(self._id)
            self._client.remove_conversation_listener(self._id)
            self._client.remove_event_listener(self._id)
        self._stopped.set()
        self._queue.put("stop")

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    # --- on the client's dispatcher thread

    def _take(self, event: Event) -> None:
        try:
            data = encode(event)
        except ValueError:
            logger.exception("An event can't be put into the stream.")
            return
        key = event.key
        if self._leads():
            self._add(key, data)
        if key is not None:
            # The leader's own too: it may lose its lead, and get it back, before Redis has them.
            self._kept.add(key, data)

    def _take_over(self) -> None:
        """The connection is up again: if this process leads, add what the leader before may have left."""
        if self._leads():
            self._add_kept()

    def _add_kept(self) -> None:
        for key, data in self._kept.newest():
            self._add(key, data)

    def _add(self, key: Optional[str], data: bytes) -> None:
        if key is None:
            self._count += 1
            key, seconds = f"{self._name}:{self._count}", KNOWN_CALL
        else:
            seconds = KNOWN
        if self._queue.offer("add", (key, data, seconds), len(data)):
            return
        self.dropped += 1
        if not self._is_full:
            self._is_full = True
            logger.warning("Events wait for Redis, and there is no room for more: the newest are dropped.")

    # --- on the thread

    def _main(self) -> None:
        client: Any = None
        batch: List[Item] = []
        failures = 0
        try:
            while batch or self._queue.waits or not self._stopped.is_set():
                try:
                    client = client or self._connect()
                    batch = batch or [item for item in self._queue.take(_IDLE) if item.kind == "add"]
                    if batch:
                        self._write(client, batch)
                    batch, failures = [], 0
                    self._add_what_was_dropped()
                except Exception as error:
                    if isinstance(error, (redis.RedisError, OSError)):
                        logger.info("Events could not be put into the stream yet: %s", error)
                    else:
                        logger.exception("Unexpected error of the stream; it continues.")
                    failures += 1
                    if self._stopped.wait(min(_LONGEST, wait_after(failures, self._jitter()))):
                        left = len(batch) + self._queue.waits
                        logger.warning("Redis is away: %d events are not in the stream.", left)
                        return
        finally:
            if client is not None:
                shut(client)

    def _write(self, client: Any, batch: List[Item]) -> None:
        """Add a batch in one call."""
        keys, arguments = [self._stream], [self._maxlen]
        for item in batch:
            key, data, seconds = item.value
            keys.append(f"{self._stream}:{key}")
            arguments += [data, seconds]
        client.eval(ADD, len(keys), *keys, *arguments)

    def _add_what_was_dropped(self) -> None:
        """There is room again: add the messages that were dropped and are still kept. The rest is lost, and said."""
        if not self._is_full or self._queue.waits:
            return
        self._is_full = False
        logger.warning("%d events found no room until now; the messages of the last minute are added.", self.dropped)
        self._add_kept()


class _Connected(ConnectionListener):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_connected(self) -> None:
        self._call()


def _listener(kind: str, take: Callable[[Event], None]) -> Any:
    """A listener of this kind that hands every call on."""

    def method(name: str) -> Callable[..., None]:
        return lambda self, *args: take(Event(kind, name, args))

    return type("Captured", (KINDS[kind],), {name: method(name) for name in METHODS[kind]})()
