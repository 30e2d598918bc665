"""What a client hears, put into a stream in Redis: by the process that holds the connection, and each message once.

Every process listens. The one that leads adds what it hears. The others keep it for a while, and whoever comes to lead
adds that again: what the leader before heard, and had not added, is not lost. Redis knows a message by its id, and
takes it once. Typing, presence and receipts have no id, and are added by the leader of the moment or not at all.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

import redis

from cometchat import Client, CometChatException, ConnectionListener

from ._codec import KINDS, METHODS, Event, encode
from ._wire import shut

logger = logging.getLogger("cometchat.redis")

#: Seconds for which a process keeps what it has not added: longer than a leader takes to be replaced.
KEPT = 60.0

#: How many events of that time, and how many that wait for Redis.
MAX_KEPT = 10_000

#: Seconds for which Redis knows a message that it has taken.
KNOWN = 3600

#: Seconds between attempts while Redis is away.
_PAUSE = 0.5

#: Add an event, unless it is known. KEYS: stream, the event's key if it has one. ARGV: event, longest stream, seconds.
ADD = """
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[1])
if KEYS[2] then
  redis.call('SET', KEYS[2], '1', 'EX', ARGV[3])
end
return 1
"""

Item = Optional[Tuple[Optional[str], bytes]]


class Capture:
    """One client's. Its thread, ``cometchat-stream-add-N``, speaks to Redis.

    :param client: of the SDK.
    :param connect: makes a client of the redis library.
    :param stream: the key.
    :param leads: this process is the one to add.
    :param listener_id: for the client's listeners.
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
    ) -> None:
        self._client = client
        self._connect = connect
        self._stream = stream
        self._leads = leads
        self._maxlen = maxlen
        self._id = listener_id
        self._clock = clock
        self._kept: Deque[Tuple[float, str, bytes]] = deque(maxlen=MAX_KEPT)  # the dispatcher thread's
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._main, name=listener_id.replace("-", "-add-", 1), daemon=True)

    def start(self) -> None:
        """Listen, and start the thread."""
        adders: Dict[str, Callable[[str, Any], None]] = {
            "user": self._client.add_user_listener,
            "group": self._client.add_group_listener,
            "message": self._client.add_message_listener,
            "call": self._client.add_call_listener,
        }
        self._thread.start()
        self._client.add_connection_listener(self._id, _Connected(self._take_over))
        for kind, add in adders.items():
            add(self._id, _listener(kind, self._take))

    def close(self) -> None:
        """Listen no more. What waits is added if Redis answers."""
        with contextlib.suppress(CometChatException):
            self._client.remove_connection_listener(self._id)
            self._client.remove_user_listener(self._id)
            self._client.remove_group_listener(self._id)
            self._client.remove_message_listener(self._id)
            self._client.remove_call_listener(self._id)
        self._stopped.set()
        self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    # --- on the client's dispatcher thread

    def _take(self, event: Event) -> None:
        try:
            data = encode(event)
        except ValueError:
            logger.exception("An event can't be put into the stream.")
            return
        if self._leads():
            self._add(event.key, data)
        if event.key is not None:
            # The leader's own too: it may lose its lead, and get it back, before Redis has it.
            now = self._clock()
            while self._kept and self._kept[0][0] < now - KEPT:
                self._kept.popleft()
            self._kept.append((now, event.key, data))

    def _take_over(self) -> None:
        """The connection is up again: where this process holds it, it sees to what the one before has left undone."""
        if not self._leads():
            return
        for at, key, data in self._kept:
            if at >= self._clock() - KEPT:
                self._add(key, data)

    def _add(self, key: Optional[str], data: bytes) -> None:
        if self._queue.qsize() < MAX_KEPT:
            self._queue.put((key, data))
        else:
            logger.warning("Too many events wait for Redis: one is let go.")

    # --- on the thread

    def _main(self) -> None:
        waiting: List[Tuple[Optional[str], bytes]] = []
        client = self._connect()
        try:
            while True:
                item = None
                if not waiting:
                    item = self._queue.get()
                    if item is None:
                        return
                    waiting.append(item)
                try:
                    self._write(client, *waiting[0])
                    waiting.clear()
                except (redis.RedisError, OSError) as error:
                    logger.info("an event could not be put into the stream yet: %s", error)
                    if self._stopped.wait(_PAUSE):
                        logger.warning("Redis is away: %d events are not in the stream.", 1 + self._queue.qsize())
                        return
        finally:
            shut(client)

    def _write(self, client: Any, key: Optional[str], data: bytes) -> None:
        keys = [self._stream] if key is None else [self._stream, f"{self._stream}:{key}"]
        client.eval(ADD, len(keys), *keys, data, self._maxlen, KNOWN)


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
