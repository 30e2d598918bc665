"""A seat in a line: a thread that takes, renews and releases the lock, and uses Redis for its member.

One thread, ``cometchat-redis-N``, makes all decisions. It gets its tasks from a queue. Another thread,
``cometchat-redis-reader-N``, adds the messages of other processes to the queue. Only a frame that is next, while no
message before it waits, goes from the reader's thread to the member at once. Both end with :meth:`RedisSeat.leave`.
The thread logs every exception and continues.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import uuid
from collections import deque
from dataclasses import replace
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional

import redis

from cometchat import ConnectionException, Member, SharedStatus

from ..._fork_marks import process_name
from ..._log import SafeLog
from ..._runtime._threads import ServiceThread, wait_after
from ._clock import as_monotonic, clock_with_sleep
from ._connections import OUTAGES, run, shut, unreachable
from ._queue import Item, LimitedQueue
from ._reader import Reader
from ._unconfirmed import UnconfirmedFrames
from ._wire import (
    ACQUIRE,
    FRAME_MARK,
    RELAY,
    RELEASE,
    RENEW,
    Frame,
    Keys,
    State,
    UpFrame,
    decode,
    decode_up,
    encode_frame,
    encode_state,
    encode_up,
)

logger = SafeLog(logging.getLogger("cometchat.redis"))

_CONNECTING = SharedStatus("connecting")

#: Maximum number of attempts to take the lock while another process holds it and none of its messages arrives. After
#: that the subscription is made again.
_UNHEARD = 2

#: Maximum time, in leases, in which a leader gets none of the messages that it publishes. After that the subscription
#: is made again.
_SILENCE = 1.5

_GAP = "Frames of the leader were lost in Redis. Missed messages are fetched."

#: The share of the lease that a leader does not use, because clocks differ in speed and Redis takes time to answer.
_MARGIN = 0.1

#: Maximum wait between attempts to reach Redis, in seconds.
_LONGEST = 1.0


class RedisSeat:
    """See :class:`cometchat.Seat`.

    :param connect: makes a client of the redis library, whose calls take at most so many seconds.
    :param address: the address of Redis, for messages.
    :param lease: lifetime of the lock, in seconds.
    :param min_replicas: minimum number of Redis's replicas that must have the lock.
    :param number: for the threads' names.
    :param on_end: called when the seat has ended.
    :param clock: monotonic seconds, with the time for which the machine slept.
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
        min_replicas: int = 0,
        on_end: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = clock_with_sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._member = member
        self.keys = keys
        self._connect = connect
        self._address = address
        self._lease = lease
        self._events = events
        self._min_replicas = min_replicas
        self._number = number
        self._on_end = on_end
        self._clock = clock
        self._jitter = jitter
        self._process = process_name()
        self._own_name = uuid.uuid4().hex
        self._name = f"{self._process}:{self._own_name}"  # the value of the lock
        self._confirmations = keys.confirmations(self._own_name)
        self._down = keys.down.encode()
        self.unconfirmed = UnconfirmedFrames(2 * lease, clock)
        self._to_confirm: Dict[str, List[int]] = {}  # by follower
        self._queue = LimitedQueue()
        self._batch: Deque[Item] = deque()  # taken from the queue, but not done
        self._ended = threading.Event()
        self._leaving = False
        self._until = self._renew_at = self._try_at = 0.0  # the end of this seat's lead, and the next attempts
        self._received_at: Optional[float] = None
        self._order = threading.Lock()  # guards what is next: the reader's thread takes frames too
        self._token = self._own_token = 0  # of the current lead, of any member; and of this seat's newest lead
        self._unheard = self._failures = 0  # attempts to lead since a message arrived; failures in a row
        self._heard_at = 0.0  # the arrival of the newest message
        self._sent = 0  # frames that this seat's lead has relayed
        self._seen = 0  # the number of the newest frame of the lead that this seat has received, or need not receive
        self._offered = self._handled = 0  # messages that the reader's thread has put onto the queue, and those done
        self._status = _CONNECTING
        self._is_away = False  # the member knows that Redis can't be used
        self._served = False  # Redis has done a task since the last failure
        self._reader: Optional[Reader] = None  # the newest

    @property
    def leads(self) -> bool:
        """Whether this seat holds the lock, as far as this process knows."""
        return self._clock() < self._until

    def start(self) -> None:
        """Start the thread.

        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        """
        ServiceThread(
            f"cometchat-redis-{self._number}",
            self._main,
            wanted=lambda: not self._leaving,
            wait=self._ended.wait,
        ).start()

    def publish(self, status: SharedStatus) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put("publish", status)

    def relay(self, data: bytes) -> None:
        """See :class:`cometchat.Seat`."""
        if self._events:
            if not self._queue.offer("relay", data, len(data)):
                self._queue.put("skip")

    def send_up(self, text: str) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put("up", text)

    def leads_until(self) -> float:
        """See :class:`cometchat.Seat`."""
        until = self._until
        return as_monotonic(until, self._clock) if until else 0.0

    def step_down(self) -> None:
        """See :class:`cometchat.Seat`."""
        self._queue.put("step down")

    def leave(self) -> None:
        """See :class:`cometchat.Seat`."""
        self._leaving = True
        self._queue.put("leave")

    def wait_left(self, timeout: float) -> None:
        """See :class:`cometchat.Seat`."""
        self._ended.wait(timeout)

    def release_after_fork(self) -> None:
        """See :class:`cometchat.Seat`. The threads exist only in the parent, and the redis library handles forks."""
        self._leaving = True
        self._until = 0.0
        self._on_end()

    # --- on the reader's thread

    def _take_message(self, channel: bytes, data: bytes) -> None:
        """Hand the frame that is next to the member; leave any other message to the seat's thread.

        A message that the queue has no room for is dropped: the numbers of the frames show the gap.
        """
        self._heard_at = self._clock()
        if data[:1] == FRAME_MARK and channel == self._down:
            frame = (decode(data) or (None, None))[1]
            if frame is None or frame.token == self._own_token:
                return  # an echo of this seat
            if self._offered == self._handled and self._is_next(frame):
                self._member.frame(frame.data)
                return
        if self._queue.offer("message", (channel, data), len(data)):
            self._offered += 1

    def _is_next(self, frame: Frame) -> bool:
        with self._order:
            is_next = self._events and not self._until and frame.token == self._token
            if not is_next or frame.number != self._seen + 1:
                return False
            self._seen = frame.number
            return True

    # --- on the thread

    def _main(self) -> None:
        try:
            while not self._leaving:
                self._turn()
        finally:
            if self._leaving:  # otherwise the thread continues
                self._until = 0.0
                self._ended.set()
                self._on_end()

    def _turn(self) -> None:
        """Serve until a step fails, then wait. Never raises."""
        try:
            self._serve()
            self._failures = 0
        except Exception as error:
            # A Redis that refuses commands (a replica, or without memory) can't be used either.
            self._failures = 0 if self._served else self._failures + 1
            if not isinstance(error, OUTAGES) and self._failures < 2:  # else it is the same again
                logger.exception("Unexpected error of the status store. It continues.")
            self._served = False
            pause = wait_after(self._failures, self._jitter(), longest=_LONGEST)
            try:
                self._wait_for_redis(error, pause)
            except Exception:
                logger.exception("Unexpected error of the status store. It continues.")

    def _serve(self) -> None:
        """Do tasks while Redis answers and the member stays."""
        if self._reader is not None and not self._reader.has_ended:
            raise redis.TimeoutError("its earlier subscription has not ended")
        with contextlib.ExitStack() as stack:
            channels = self.keys.down, self.keys.up, self._confirmations
            reader = Reader(self._new_client, channels, self._take_message, self._queue, self._number)
            self._reader = reader
            stack.callback(reader.stop)
            reader.start(2 * self._lease / 3)  # a third to connect
            client = self._new_client()
            stack.callback(shut, client)
            self._resume(client)
            self._served = True
            while not self._leaving:
                self._work(client, self._due())
                if reader.has_ended and not self._leaving:
                    raise redis.ConnectionError("the subscription ended")
            self._release(client, SharedStatus("disconnected", self._status.failures, self._status.error))

    def _new_client(self) -> Any:
        return self._connect(self._lease / 3)

    def _resume(self, client: Any) -> None:
        """Continue with the state that is still valid, after Redis answers again."""
        self._unheard = 0
        self._heard_at = self._clock()
        if self._is_away:
            self._token = 0
        if self.leads:
            self._renew(client, again=True)
        else:
            self._until = 0.0
            self._try(client)
        if self._is_away:  # not before: a replica, or a Redis that loads its data, accepts a subscription
            self._is_away = False
            logger.info("Redis at %s is reachable again", self._address)

    def _due(self) -> float:
        """Return the seconds until the next renewal of the lock, or the next attempt to take it."""
        due = self._renew_at if self._until else self._try_at
        return max(0.0, due - self._clock())

    def _work(self, client: Any, wait: float) -> None:
        frames: List[bytes] = []
        for kind, value, _ in self._items(wait):
            if kind in ("relay", "skip"):
                self._number_frame(value, frames)
                continue
            self._relay(client, frames)  # in the order of arrival
            if kind == "publish":
                self._status = value
                if self._until:
                    self._renew(client)
            elif kind == "message":
                self._receive(*value)
            elif kind == "up":
                self._send_up(client, value)
            elif kind == "step down" and self._until:
                self._step_down(client)
            elif kind == "broken":
                raise value
        self._relay(client, frames)
        self._confirm(client)
        self.unconfirmed.count_lost()
        now = self._clock()
        if self._until:
            if now >= self._renew_at:
                self._check_subscription(now)
                self._renew(client)
        elif now >= self._try_at:
            self._try(client)

    def _items(self, wait: float) -> Iterator[Item]:
        """Yield the waiting items. If an item raises, the next call yields the items after it."""
        if not self._batch:
            self._batch.extend(self._queue.take(wait))
        while self._batch:
            yield self._batch.popleft()

    def _send_up(self, client: Any, text: str) -> None:
        if self.leads:  # now
            self.unconfirmed.lose(0 if self._member.send(text) else 1)
        else:
            client.publish(self.keys.up, encode_up(UpFrame(self._own_name, self.unconfirmed.add(), text)))

    def _confirm(self, client: Any) -> None:
        """Confirm to the followers which of their frames were sent."""
        while self._to_confirm:
            name, numbers = self._to_confirm.popitem()
            client.publish(self.keys.confirmations(name), ",".join(map(str, numbers)))

    def _step_down(self, client: Any) -> None:
        before = self._status
        self._follow(_CONNECTING)
        self._release(client, SharedStatus("connecting", before.failures, before.error))
        self._try_at = self._clock() + self._lease

    def _try(self, client: Any) -> None:
        """Take the lock, or find out how long another process holds it."""
        began = self._clock()
        keys = self.keys
        answer = run(client, ACQUIRE, (keys.lock, keys.token, keys.state), self._name, int(self._lease * 1000))
        if answer > 0:
            with self._order:
                self._token, self._own_token, self._sent = answer, answer, 0
            self._status = _CONNECTING
            self._prolong(began)
            try:
                self._renew(client)
                if self._until:
                    logger.info("this process holds the connection from now on (lead %d)", self._token)
                    self._member.lead()
            except BaseException:
                self._until = 0.0  # the member does not know this lead
                raise
            return
        self._unheard += 1
        if self._unheard > _UNHEARD:
            raise redis.ConnectionError("its messages do not arrive")
        self._try_at = self._clock() - answer / 1000 + self._jitter() * _MARGIN * self._lease
        state: Any = client.get(keys.state)
        decoded = decode(state) if isinstance(state, bytes) else None
        if decoded is not None and decoded[0] is not None:
            self._receive_state(decoded[0], kept=True)
        else:
            self._follow(_CONNECTING)

    def _renew(self, client: Any, again: bool = False) -> None:
        """Prolong the lead, and publish the status."""
        began = self._clock()
        if began >= self._until:
            self._lose_lead()
            return
        keys = self.keys
        arguments = (self._name, int(self._lease * 1000), self._token, self._state(), keys.down, int(again))
        if run(client, RENEW, (keys.lock, keys.token, keys.state), *arguments):
            self._await_replicas(client)
            late = self._clock() >= self._until
            self._prolong(began)
            if late and self.leads:
                self._member.lead()  # it considered the lead lost
        else:
            self._lose_lead()

    def _state(self) -> bytes:
        """Return the state of this leader in the form for Redis."""
        return encode_state(State(self._token, self._sent, replace(self._status, leader=self._process)))

    def _await_replicas(self, client: Any) -> None:
        """Wait until enough replicas have the lock, so that a new primary has it too."""
        if self._min_replicas:
            have = int(client.wait(self._min_replicas, int(self._lease * 200)))
            if have < self._min_replicas:
                raise redis.ConnectionError(f"{have} of its replicas have the lock, not {self._min_replicas}")

    def _check_subscription(self, now: float) -> None:
        """Raise an error if this leader gets not even its own messages: its followers' frames would be lost."""
        if self.leads and now - self._heard_at > _SILENCE * self._lease:
            raise redis.ConnectionError("its messages do not arrive")

    def _prolong(self, began: float) -> None:
        self._until = began + self._lease * (1 - _MARGIN)
        self._renew_at = began + self._lease / 3

    def _lose_lead(self) -> None:
        logger.warning("This process lost its lead: Redis did not answer in time, or the process was paused.")
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
        if data is not None:  # None leaves a gap that the followers notice
            frames.append(encode_frame(Frame(self._token, self._sent, data)))

    def _relay(self, client: Any, frames: List[bytes]) -> None:
        if frames and self._until:
            keys = self.keys
            arguments = (self._name, int(self._lease * 1000), self._state(), keys.down, *frames)
            if not run(client, RELAY, (keys.lock, keys.state), *arguments):
                self._lose_lead()
        frames.clear()

    def _receive(self, channel: bytes, message: bytes) -> None:
        try:
            self._decide(channel, message)
        finally:
            self._handled += 1

    def _decide(self, channel: bytes, message: bytes) -> None:
        if channel.decode() == self._confirmations:
            self.unconfirmed.confirm(message)
            return
        if channel.decode() == self.keys.up:
            wanted = decode_up(message) if self.leads else None
            if wanted is not None and self._member.send(wanted.text):
                self._to_confirm.setdefault(wanted.name, []).append(wanted.number)
            return
        decoded = decode(message)
        if decoded is None or self._until:
            return
        state, frame = decoded
        if state is not None:
            self._receive_state(state)
        elif frame is not None and frame.token == self._token and self._events:
            if frame.number > self._seen + 1:
                self._report_gap()
            with self._order:
                self._seen = max(self._seen, frame.number)
            self._member.frame(frame.data)

    def _receive_state(self, state: State, kept: bool = False) -> None:
        """Handle the state of a leader.

        :param kept: whether it is the copy in Redis, which does not prove that messages arrive.
        """
        if state.token < self._token or state.token == self._own_token:
            return  # of an older lead, or an echo of this seat
        now = self._clock()
        if state.token > self._token:
            with self._order:
                self._token, self._seen = state.token, state.number
            self._follow(_CONNECTING)  # the member's next connection fetches the messages up to here
        elif state.number > self._seen and self._events and not kept:  # those that the copy counts may be on their way
            self._report_gap()
            with self._order:
                self._seen = state.number
        if not kept:
            self._unheard = 0
        self._received_at = now
        self._follow(state.status)
        if state.free:
            self._try_at = now + self._jitter() * 0.05
        else:
            self._try_at = max(self._try_at, now + self._lease * (1 + self._jitter() * _MARGIN))

    def _report_gap(self) -> None:
        """Break the member's connection, because frames are lost. Its next one fetches the missed messages."""
        logger.info("Frames of the leader may have been lost in Redis.")
        before, error = self._status, ConnectionException("WS_CONNECTION_FAIL", _GAP)
        self._member.follow(SharedStatus("connecting", before.failures, error))
        self._member.follow(before)

    def _follow(self, status: SharedStatus) -> None:
        self._status = status
        self._member.follow(status)

    # --- without Redis

    def _wait_for_redis(self, error: Exception, pause: float) -> None:
        """Wait. Notifies the member only if Redis is unreachable for longer than the last news is valid."""
        valid_until = self._until or (self._received_at + self._lease if self._received_at is not None else 0.0)
        ends = self._clock() + pause
        while not self._leaving:
            now = self._clock()
            if not self._is_away and now >= valid_until:
                self._report_away(error)
            if now >= ends:
                return
            wait = ends - now if self._is_away else min(ends, max(valid_until, now)) - now
            for kind, value, _ in self._items(max(wait, 0.001)):
                if kind in ("relay", "skip"):
                    self._number_frame(value, [])
                elif kind == "publish" and self._until:
                    self._status = value
                elif kind == "message":
                    self._handled += 1
                elif kind == "up":
                    self.unconfirmed.lose(1)

    def _report_away(self, cause: Exception) -> None:
        self._is_away = True
        self._until = 0.0
        error = unreachable(self._address, cause)
        logger.warning("%s", error)
        self._member.away(error)
