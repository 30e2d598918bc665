"""The thread that hears what other processes say over Redis."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Optional, Sequence, Tuple

import redis

from ._wire import shut

logger = logging.getLogger("cometchat.redis")

#: Seconds after which a read that nothing comes in for begins anew. (Without a limit some versions of the redis library
#: take that of the connection.)
_LOOK = 60.0


class Reader:
    """A subscription: puts ``("message", (channel, data))`` onto a queue, and ``("broken", error)`` when it ends.

    :param client: of the redis library, for this thread alone; closed with it.
    :param number: for the thread's name.
    """

    def __init__(
        self, client: Any, channels: Sequence[str], items: queue.SimpleQueue[Tuple[str, Any]], number: int
    ) -> None:
        self._client = client
        self._channels = channels
        self._queue = items
        self._pubsub = client.pubsub()
        self._answered = threading.Event()  # the subscription, well or not
        self._refusal: Optional[redis.RedisError] = None
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name=f"cometchat-redis-reader-{number}", daemon=True)

    def start(self, timeout: float) -> None:
        """Subscribe, and wait for it.

        :param timeout: seconds.
        :raises redis.RedisError: Redis does not answer, or refuses.
        """
        self._pubsub.subscribe(*self._channels)
        self._thread.start()
        if not self._answered.wait(timeout):
            raise redis.TimeoutError("it does not answer a subscription")
        if self._refusal is not None:
            raise self._refusal

    def stop(self) -> None:
        """End the thread, and its connection."""
        self._stopped = True
        connection = self._pubsub.connection
        if connection is not None:
            connection.disconnect()  # which ends the read
        if self._thread.ident is not None:
            self._thread.join(1.0)
        self._pubsub.close()
        shut(self._client)

    def _read(self) -> None:
        subscribed = 0
        try:
            while not self._stopped:
                message = self._pubsub.get_message(timeout=_LOOK)
                if message is None:
                    continue
                if message["type"] == "message":
                    self._queue.put(("message", (message["channel"], message["data"])))
                elif message["type"] == "subscribe":
                    subscribed += 1
                    if subscribed == len(self._channels):
                        self._answered.set()
        except (redis.RedisError, OSError, ValueError, AttributeError) as error:
            # The last two come out of the library where its connection is closed under it.
            failure = error if isinstance(error, redis.RedisError) else redis.ConnectionError(error)
            if not self._answered.is_set():
                self._refusal = failure
                self._answered.set()
            elif not self._stopped:
                self._queue.put(("broken", failure))
            logger.debug("a subscription ended: %s", error)
