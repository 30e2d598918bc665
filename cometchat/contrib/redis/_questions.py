"""Let one process ask the service for all. After a change of leaders each process needs the same page of the history.

An answer counts for a process only if it was asked for after this process needed it. The answer has all earlier
messages, and the process's own connection delivers the later ones. So each process takes a number when it needs an
answer, and the process that asks takes another number just before it asks.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from typing import Any, Callable, Optional, TypeVar

from ..._log import SafeLog
from ._connections import Link, run
from ._wire import NEXT_NUMBER, Keys, whole

logger = SafeLog(logging.getLogger("cometchat.redis"))

T = TypeVar("T")

#: Maximum time, in seconds, that a process waits for another's answer before it asks for itself.
PATIENCE = 5.0

#: Maximum time, in seconds, that the process that asks waits for others with the same question.
GATHERING = 0.1

#: Seconds between two looks for the answer.
_LOOK = 0.03

#: Time for which an answer, and the right to ask, stay in Redis, in seconds.
_KEPT = 5.0
_ASKING = 30.0

#: Maximum size of an answer that is shared, in bytes.
_LONGEST = 4 * 2**20

#: Return a number that is higher than all before. KEYS: the newest number.
_NEXT = f"{NEXT_NUMBER}return next_number(KEYS[1])"

#: Let others ask. KEYS: turn. ARGV: the name of the process that asked.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
"""


class SharedQuestion:
    """One process's need of one answer.

    :param keys: of the line.
    :param question: its text is the same in all processes.
    :param ask: asks the service.
    :param clock: monotonic seconds.
    :param wait: waits so many seconds.
    :param jitter: 0 to 1, at random.
    """

    def __init__(
        self,
        keys: Keys,
        question: str,
        ask: Callable[[], bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._numbers, self._answer, self._turn = keys.question(question)
        self._ask = ask
        self._clock = clock
        self._wait = wait
        self._jitter = jitter
        self._name = uuid.uuid4().hex
        self._failed = False

    def answer(self, connect: Callable[[], Any]) -> bytes:
        """Return the answer that another process gets, or ask. Without Redis it asks at once.

        :param connect: makes a client of the redis library.
        :raises Exception: what ``ask`` raises.
        """
        link = Link(connect)
        try:
            found = self._try(lambda: self._find(link.get()))
            if found is not None:
                return found
            number = self._try(lambda: run(link.get(), _NEXT, (self._numbers,)))
            answer = self._ask()
            if number is not None and len(answer) <= _LONGEST:
                self._try(lambda: link.get().set(self._answer, b"%d:%s" % (number, answer), px=int(_KEPT * 1000)))
            return answer
        finally:
            self._try(lambda: run(link.get(), _RELEASE, (self._turn,), self._name))
            link.drop()

    def _try(self, step: Callable[[], T]) -> Optional[T]:
        """Take a step in Redis. Returns None if it failed, and after one that failed."""
        if self._failed:
            return None
        try:
            return step()
        except Exception as error:  # of the application's function for Redis, too
            self._failed = True
            logger.info("A question to the service can't be shared, this process asks for itself: %s", error)
            return None

    def _find(self, client: Any) -> Optional[bytes]:
        """Wait for an answer. Returns None if this process is the one to ask."""
        needed = run(client, _NEXT, (self._numbers,))
        ends = self._clock() + PATIENCE
        while self._clock() < ends:
            asks = client.set(self._turn, self._name, nx=True, px=int(_ASKING * 1000))
            self._wait(self._jitter() * GATHERING if asks else _LOOK)
            found = _after(needed, client.get(self._answer))
            if found is not None:
                return found
            if asks:
                return None
        return None


def _after(needed: int, answer: object) -> Optional[bytes]:
    """Return an answer without its number; None if it was asked for too early, or can't be read."""
    number, _, found = answer.partition(b":") if isinstance(answer, bytes) else (b"", b"", b"")
    try:
        return found if whole(number) > needed else None
    except ValueError:  # of another program
        return None
