"""A seat in a line: a thread that takes, renews and gives back the lock, and speaks for its member in Redis.

All is decided on that one thread, ``cometchat-redis-N``, which takes what is to be done off a queue. Another,
``cometchat-redis-reader-N``, puts onto it what the other processes say. Both end with :meth:`RedisSeat.leave`.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
import uuid
from typing import Any, Callable, List, Optional, Tuple

import redis

from cometchat import ConnectionException, Member, SharedStatus

from ._reader import Reader
from ._wire import (
    ACQUIRE,
    RELAY,
    RELEASE,
    RENEW,
    Frame,
    Keys,
    State,
    decode,
    encode_frame,
    encode_state,
    run,
    shut,
    unreachable,
)

logger = logging.getLogger("cometchat.redis")

#: What is put on the queue: what to do, and with what.
Item = Tuple[str, Any]

_CONNECTING = SharedStatus("connecting")

#: Frames that wait to be relayed. More: the followers find a gap, and ask for what they missed.
MAX_WAITING = 10_000

#: Frames that go to Redis in one call.
_BATCH = 500

#: After so many attempts to take a lead that another holds while it is not heard of, the subscription is made anew.
_UNHEARD = 2

_GAP = "What the process that holds the connection relayed was lost on the way over Redis: it is asked for."

#: Of the lease: what a leader does not count on, for clocks that differ in speed and the way to Redis.
_MARGIN = 0.1


class RedisSeat:
    """See :class:`cometchat.Seat`.

    :param connect: makes a client of the redis library, whose calls take at most so many seconds.
    :param address: where Redis is, for messages.
    :param lease: seconds that the lock lives.
    :param number: for the threads' names.
    :param on_end: called when the seat is no more.
    :param clock: monotonic seconds.
    :param jitter: 0 to 1 at random.
    """

    def __init__(
        self,
        member: Member,
        keys: Keys,
        *,
        connect: Callable[[float], Any],
        address: str,
        lease: float,
        events: bool,
        number: int,
        on_end: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._member = member
        self.keys = keys
        self._connect = connect
        self._address = address
        self._lease = lease
        self._events = events
        self._number = number
        self._on_end = on_end
        self._clock = clock
        self._jitter = jitter
        self._name = uuid.uuid4().hex
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._leaving = False
        self._until = 0.0  # of this seat's lead
        self._renew_at = self._try_at = 0.0
        self._heard_at: Optional[float] = None
        self._token = 0  # of the lead that holds now
        self._own = 0  # of this seat's newest lead
        self._unheard = 0  # attempts to lead since something was heard
        self._sent = 0  # frames of this seat's lead
        self._seen: Optional[int] = None  # the newest frame of another's lead
        self._status = _CONNECTING
        self._told_away = False
        self._served = False  # Redis did what was asked, since the last failure

    @property
    def leads(self) -> bool:
        """It holds the lock, for all that it knows."""
        return self._clock() < self._until

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._main, name=f"cometchat-redis-{self._number}", daemon=True).start()

    def publish(self, status: SharedStatus) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put(("publish", status))

    def relay(self, data: bytes) -> None:
        """See :class:`cometchat.Seat`."""
        if self._events:
            self._queue.put(("relay", data if self._queue.qsize() < MAX_WAITING else None))

    def send_up(self, text: str) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put(("up", text))

    def leads_until(self) -> float:
        """See :class:`cometchat.Seat`."""
        return self._until

    def step_down(self) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put(("step down", None))

    def leave(self) -> None:
        """See :class:`cometchat.Seat`."""
        self._leaving = True
        self._queue.put(("leave", None))

    def wait_left(self, timeout: float) -> None:
        """See :class:`cometchat.Seat`."""
        self._ended.wait(timeout)

    def release_after_fork(self) -> None:
        """See :class:`cometchat.Seat`: the threads are the parent's, and the redis library knows of forks."""
        self._leaving = True
        self._until = 0.0
        self._on_end()

    # --- on the thread

    def _main(self) -> None:
        failures = 0
        try:
            while not self._leaving:
                try:
                    self._serve()
                    failures = 0
                except (redis.RedisError, OSError) as error:
                    # One that is there and refuses what is asked of it (a replica, one without memory) is away too.
                    failures = 0 if self._served else failures + 1
                    self._served = False
                    self._bear(error, min(1.0, 0.1 * 2 ** min(failures, 5)) * (0.5 + self._jitter() / 2))
        except Exception as cause:  # a mistake of this SDK: said loudly; nobody may go on to believe an old status
            logger.exception("Unexpected error of the status store.")
            self._until = 0.0
            message = f"Unexpected {type(cause).__name__} of the status store."
            self._member.away(ConnectionException("ERR_STATUS_STORE", message))
        finally:
            self._until = 0.0
            self._on_end()
            self._ended.set()

    def _serve(self) -> None:
        """As long as Redis answers, and the seat is taken."""
        client = self._connect(self._lease / 3)
        reader = Reader(self._connect(self._lease / 3), (self.keys.down, self.keys.up), self._queue, self._number)
        try:
            reader.start(self._lease / 3)
            self._resume(client)
            self._served = True
            while not self._leaving:
                self._work(client, self._due())
            self._release(client, SharedStatus("disconnected", self._status.failures, self._status.error))
        finally:
            reader.stop()
            shut(client)

    def _resume(self, client: Any) -> None:
        """Redis answers. What held before may hold still."""
        self._unheard = 0
        if self._told_away:
            logger.info("Redis at %s is back", self._address)
            self._told_away = False
            self._token = 0
        if self.leads:
            self._renew(client, again=True)
        else:
            self._until = 0.0
            self._try(client)

    def _due(self) -> float:
        """Seconds until something has to be done, whatever comes."""
        due = self._renew_at if self._until else self._try_at
        return max(0.0, due - self._clock())

    def _work(self, client: Any, wait: float) -> None:
        frames: List[bytes] = []
        for kind, value in self._take(wait):
            if kind == "relay":
                self._number_frame(value, frames)
                continue
            self._relay(client, frames)  # in the order in which they came
            if kind == "publish":
                self._status = value
                if self._until:
                    self._renew(client)
            elif kind == "message":
                self._hear(*value)
            elif kind == "up" and not self._until:
                client.publish(self.keys.up, value)
            elif kind == "step down" and self._until:
                before = self._status
                self._follow(_CONNECTING)
                self._release(client, SharedStatus("connecting", before.failures, before.error))
                self._try_at = self._clock() + self._lease
            elif kind == "broken":
                raise value
        self._relay(client, frames)
        now = self._clock()
        if self._until:
            if now >= self._renew_at:
                self._renew(client)
        elif now >= self._try_at:
            self._try(client)

    def _take(self, wait: float) -> List[Item]:
        items: List[Item] = []
        try:
            items.append(self._queue.get(timeout=wait) if wait else self._queue.get_nowait())
            while len(items) < _BATCH:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            return items
        return items

    def _try(self, client: Any) -> None:
        """Take the lock, or learn who has it."""
        began = self._clock()
        keys = self.keys
        answer = run(client, ACQUIRE, (keys.lock, keys.token, keys.state), self._name, int(self._lease * 1000))
        if answer > 0:
            self._token, self._own, self._sent, self._seen = answer, answer, 0, None
            self._status = _CONNECTING
            self._prolong(began)
            self._renew(client)
            if self._until:
                logger.info("this process holds the connection from now on (lead %d)", self._token)
                self._member.lead()
            return
        self._unheard += 1
        if self._unheard > _UNHEARD:
            raise redis.ConnectionError("its messages do not arrive")
        self._try_at = self._clock() - answer / 1000 + self._jitter() * _MARGIN * self._lease
        state: Any = client.get(keys.state)
        decoded = decode(state) if isinstance(state, bytes) else None
        if decoded is not None and decoded[0] is not None:
            self._hear_state(decoded[0], kept=True)
        else:
            self._follow(_CONNECTING)

    def _renew(self, client: Any, again: bool = False) -> None:
        """Prolong the lead, and say how the connection is."""
        began = self._clock()
        if began >= self._until:
            self._lose_lead()
            return
        keys, said = self.keys, encode_state(State(self._token, self._sent, self._status))
        arguments = (self._name, int(self._lease * 1000), self._token, said, keys.down, int(again))
        if run(client, RENEW, (keys.lock, keys.token, keys.state), *arguments):
            late = self._clock() >= self._until
            self._prolong(began)
            if late and self.leads:
                self._member.lead()  # which took it for lost
        else:
            self._lose_lead()

    def _prolong(self, began: float) -> None:
        self._until = began + self._lease * (1 - _MARGIN)
        self._renew_at = began + self._lease / 3

    def _lose_lead(self) -> None:
        logger.warning("This process lost its lead: Redis did not answer in time, or the process stood still.")
        self._until = 0.0
        self._try_at = self._clock()
        self._follow(_CONNECTING)

    def _release(self, client: Any, status: SharedStatus) -> None:
        if not self._until:
            return
        keys, said = self.keys, encode_state(State(self._token, self._sent, status, free=True))
        self._until = 0.0
        run(client, RELEASE, (keys.lock, keys.state), self._name, keys.down, said)

    def _number_frame(self, data: Optional[bytes], frames: List[bytes]) -> None:
        self._sent += 1
        if data is not None:  # else a gap, for the followers to find
            frames.append(encode_frame(Frame(self._token, self._sent, data)))

    def _relay(self, client: Any, frames: List[bytes]) -> None:
        if frames and self._until:
            if not run(client, RELAY, (self.keys.lock,), self._name, self.keys.down, *frames):
                self._lose_lead()
        frames.clear()

    def _hear(self, channel: bytes, message: bytes) -> None:
        if channel.decode() == self.keys.up:
            if self._until:
                self._member.send(message.decode("utf-8", "replace"))
            return
        decoded = decode(message)
        if decoded is None or self._until:
            return
        state, frame = decoded
        if state is not None:
            self._hear_state(state)
        elif frame is not None and frame.token == self._token and self._events:
            if self._seen is not None and frame.number != self._seen + 1:
                self._find_gap()
            self._seen = frame.number
            self._member.frame(frame.data)

    def _hear_state(self, state: State, kept: bool = False) -> None:
        """What a leader says.

        :param kept: it is what Redis keeps, not a message: it tells nothing of messages' ways.
        """
        if state.token < self._token or state.token == self._own:
            return  # fenced; or the echo of this seat's own
        now = self._clock()
        if state.token > self._token:
            self._token, self._seen = state.token, None
            self._follow(_CONNECTING)
        elif self._seen is not None and state.number > self._seen:
            self._find_gap()
            self._seen = state.number
        if not kept:
            self._unheard = 0
            self._seen = state.number if self._seen is None else self._seen
        self._heard_at = now
        self._follow(state.status)
        if state.free:
            self._try_at = now + self._jitter() * 0.05
        else:
            self._try_at = max(self._try_at, now + self._lease * (1 + self._jitter() * _MARGIN))

    def _find_gap(self) -> None:
        """Frames were lost on the way: the member's connection breaks, and the new one asks for what it missed."""
        logger.info("frames of the leader were lost on the way")
        before, error = self._status, ConnectionException("WS_CONNECTION_FAIL", _GAP)
        self._member.follow(SharedStatus("connecting", before.failures, error))
        self._member.follow(before)

    def _follow(self, status: SharedStatus) -> None:
        self._status = status
        self._member.follow(status)

    # --- without Redis

    def _bear(self, error: Exception, pause: float) -> None:
        """Wait; nobody need notice if Redis is back while what was last heard holds."""
        holds_until = self._until or (self._heard_at + self._lease if self._heard_at is not None else 0.0)
        ends = self._clock() + pause
        while not self._leaving:
            now = self._clock()
            if not self._told_away and now >= holds_until:
                self._tell_away(error)
            if now >= ends:
                return
            wait = ends - now if self._told_away else min(ends, max(holds_until, now)) - now
            for kind, value in self._take(max(wait, 0.001)):
                if kind == "relay":
                    self._number_frame(value, [])
                elif kind == "publish" and self._until:
                    self._status = value

    def _tell_away(self, cause: Exception) -> None:
        self._told_away = True
        self._until = 0.0
        error = unreachable(self._address, cause)
        logger.warning("%s", error)
        self._member.away(error)
