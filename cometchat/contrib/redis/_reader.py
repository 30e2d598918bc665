"""The thread that receives the messages of other processes over Redis.

It also makes the subscription: to look up the name of Redis has no time limit, and the seat must not wait for that.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any, Callable, Optional, Sequence

import redis

from ..._log import SafeLog
from ..._runtime._threads import ServiceThread
from ._connections import Link
from ._queue import LimitedQueue

logger = SafeLog(logging.getLogger("cometchat.redis"))

#: The kind of a message that another process published.
_MESSAGE = b"message"


class Reader:
    """A subscription: gives each message to its seat, and puts ``("broken", error)`` onto its queue when it ends.

    :param connect: makes a client of the redis library, for this thread only; closed at its end.
    :param take: gets the channel and the data of each message, on this thread.
    :param number: for the thread's name.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        channels: Sequence[str],
        take: Callable[[bytes, bytes], object],
        items: LimitedQueue,
        number: int,
    ) -> None:
        self._link = Link(connect)
        self._take = take
        self._channels = channels
        self._queue = items
        self._pubsub: Any = None
        self._answered = threading.Event()  # the subscription was accepted or refused
        self._refusal: Optional[Exception] = None
        self._stopped = self._has_run = False
        self._thread = ServiceThread(
            f"cometchat-redis-reader-{number}",
            self._main,
            wanted=lambda: True,
            wait=lambda seconds: None,  # the seat makes another subscription
        )

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.alive

    def start(self, timeout: float) -> None:
        """Start the thread, and wait until Redis has accepted the subscription.

        :param timeout: seconds.
        :raises redis.RedisError: Redis does not answer, or refuses.
        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        :raises Exception: what ``connect`` raises.
        """
        self._thread.start()
        if not self._answered.wait(timeout):
            raise redis.TimeoutError("it does not answer a SUBSCRIBE")
        if self._refusal is not None:
            raise self._refusal

    def stop(self) -> None:
        """End the thread and its connection. A thread that still looks up a name ends after that."""
        self._stopped = True
        connection = None if self._pubsub is None else self._pubsub.connection
        if connection is None:
            return
        with contextlib.ExitStack() as stack:  # both steps run, even if one raises
            stack.callback(self._thread.join, 1.0)
            stack.callback(connection.disconnect)  # this ends the read

    def _main(self) -> None:
        if self._has_run:
            return  # reporting the end raised
        self._has_run = True
        error: BaseException = redis.ConnectionError("the subscription ended")
        try:
            self._pubsub = self._link.get().pubsub()
            self._pubsub.subscribe(*self._channels)
            self._read()
        except BaseException as raised:  # the library raises ValueError or AttributeError if its connection is closed
            error = raised
        self._close()
        self._report(error)

    def _close(self) -> None:
        try:
            if self._pubsub is not None:
                self._pubsub.close()
        except Exception as error:
            logger.debug("could not close a subscription: %s", error)
        self._link.drop()

    def _report(self, error: BaseException) -> None:
        if not self._answered.is_set():
            self._refusal = error if isinstance(error, Exception) else redis.ConnectionError(error)
            self._answered.set()
        elif not self._stopped:
            self._queue.put("broken", error if isinstance(error, redis.RedisError) else redis.ConnectionError(error))
        logger.debug("a subscription ended: %s", error)

    def _read(self) -> None:
        subscribed = 0
        while True:
            try:
                # get_message() would set the socket's timeout twice for each message: two more system calls.
                answer = self._pubsub.connection.read_response(disconnect_on_error=False, push_request=True)
            except redis.RedisError as error:
                if not _is_timeout(error):
                    raise
                answer = None  # the connection keeps what has arrived of a message
            if self._stopped:
                return
            if answer is None:
                continue
            if answer[0] == _MESSAGE:
                self._take(answer[1], answer[2])
                continue
            message = self._pubsub.handle_message(answer)
            if message is not None and message["type"] == "subscribe":
                subscribed += 1
                if subscribed == len(self._channels):
                    self._answered.set()


def _is_timeout(error: redis.RedisError) -> bool:
    """Return True if no message arrived in time. On Python 3.9 with hiredis, redis-py raises a ConnectionError then."""
    return isinstance(error, redis.TimeoutError) or isinstance(error.__context__, TimeoutError)
