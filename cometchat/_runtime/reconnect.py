"""When to try again: tenacity's strategies, ``Retry-After``, and a wait that can be ended."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import random
import threading
import time
from typing import Callable, ContextManager, Iterator, Optional

import tenacity

from .._transport import HostProbe as Reach
from .._transport import host_probe_for as reach_of
from ..settings import LONGEST, StopStrategy, WaitStrategy

logger = logging.getLogger("cometchat.connection")

#: Seconds that lie between two attempts at the least where the network's return ends a wait: it may come and go.
SOONEST = 0.5

#: Seconds between two looks for an answer of the host.
LOOK = 0.25

#: Seconds: the cap of the default wait.
LONGEST_WAIT = 30.0


def default_wait() -> WaitStrategy:
    """A random 0 to 1 s, then exponential with full jitter, capped at 30 s."""
    return tenacity.wait_random_exponential(multiplier=1, max=LONGEST_WAIT)


#: Set on tenacity's state, which is the user's to see.
_BEGAN_WITH_LOSS = "cometchat_began_with_loss"


class ReconnectPolicy:
    """The user's strategies, or the defaults. What they raise is logged, and the defaults take their place.

    :param jitter: 0 to 1 s at random, put on top of a ``Retry-After``, so that many clients do not come back at once.
    :param watched: while its context lasts, what it is given is called whenever the network comes back.
    :param reach: what asks, during a wait, whether there is a way to the host again; None: the failure was an answer.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        wait: Optional[WaitStrategy],
        stop: Optional[StopStrategy],
        jitter: Callable[[], float] = random.random,
        watched: Callable[[Callable[[], None]], ContextManager[None]] = lambda on_return: contextlib.nullcontext(),
        reach: Callable[[Optional[BaseException]], Optional[Reach]] = reach_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default_wait()
        self._wait = wait or self._default
        self._stop = stop or tenacity.stop_never
        self._jitter = jitter
        self._watched = watched
        self._reach = reach
        self._clock = clock
        self._obeys = False  # the server asked for this wait
        self._failure: Optional[BaseException] = None

    def attempts(
        self,
        *,
        wake: threading.Event,
        wanted: Callable[[], bool],
        before_wait: Callable[[tenacity.RetryCallState], None],
        after_wait: Callable[[], None],
        rearm: Callable[[], None] = lambda: None,
    ) -> Iterator[tenacity.AttemptManager]:
        """One series of attempts, a new one for each ``with`` block that raises.

        :param wake: ends a wait when set.
        :param wanted: asked after each failure; False ends the series.
        :param before_wait: called when the next wait is decided.
        :param after_wait: called when it is over.
        :param rearm: clears ``wake``, unless it was the user who set it.
        """

        def sleep(seconds: float) -> None:
            self._wait_for(wake, seconds, rearm)
            after_wait()

        return iter(
            tenacity.Retrying(
                sleep=sleep,
                wait=self.seconds,
                stop=self._stops,
                retry=lambda state: state.outcome is not None and state.outcome.failed and wanted(),
                before_sleep=before_wait,
                reraise=True,
            )
        )

    def seconds(self, state: tenacity.RetryCallState) -> float:
        """Seconds to wait before the next attempt: the strategy's, and not less than the server asked for."""
        try:
            seconds = float(self._wait(_counted(state)))
            if math.isnan(seconds) or seconds < 0:
                raise ValueError(f"{seconds} is no number of seconds")
        except BaseException:  # SystemExit too: it must not end the connection thread
            logger.exception("The reconnect_wait strategy raised; the default one takes its place.")
            seconds = float(self._default(_counted(state)))
        seconds = min(seconds, LONGEST)  # an Event can't wait for infinity
        self._failure = None if state.outcome is None else state.outcome.exception()
        asked = getattr(self._failure, "retry_after", None)
        self._obeys = asked is not None
        return seconds if asked is None else max(seconds, asked + self._jitter())

    def _wait_for(self, wake: threading.Event, seconds: float, rearm: Callable[[], None]) -> None:
        """Wait; not as long where the network comes back meanwhile."""
        nap = tenacity.sleep_using_event(wake)
        failure, self._failure = self._failure, None
        if self._obeys or seconds <= 2 * SOONEST:
            nap(seconds)
            return
        returned = threading.Event()

        def on_return() -> None:
            returned.set()
            wake.set()

        began = self._clock()
        reach = self._reach(failure)
        with self._watched(on_return):
            if reach is None:
                nap(seconds)
            else:
                self._look(reach, wake, began + seconds, on_return)
        if returned.is_set():
            rearm()
            # Many clients may be on this machine: not all in the same moment.
            rest = SOONEST * (1 + self._jitter()) - (self._clock() - began)
            nap(max(rest, SOONEST * self._jitter()))

    def _look(self, reach: Reach, wake: threading.Event, ends: float, on_return: Callable[[], None]) -> None:
        """Wait, and ask the host meanwhile: of an outage farther away this machine's network says nothing."""
        nap = tenacity.sleep_using_event(wake)
        try:
            while not wake.is_set() and self._clock() < ends:
                if reach.is_back():
                    logger.debug("the host can be reached again")
                    on_return()
                else:
                    nap(min(LOOK, max(0.0, ends - self._clock())))
        finally:
            reach.close()

    def _stops(self, state: tenacity.RetryCallState) -> bool:
        try:
            return bool(self._stop(state))
        except BaseException:
            logger.exception("The reconnect_stop strategy raised; the attempts go on.")
            return False


def _counted(state: tenacity.RetryCallState) -> tenacity.RetryCallState:
    """As a wait strategy sees it: a loss that began the series is its first failure, and no attempt."""
    if not getattr(state, _BEGAN_WITH_LOSS, False):
        return state
    seen = copy.copy(state)
    seen.attempt_number += 1
    return seen


def count_loss(state: tenacity.RetryCallState, lived: float, restart: bool) -> None:
    """A connection that was up is lost: its life is no time of trying.

    :param lived: seconds for which it was up.
    :param restart: it has lived long: the attempts are counted, and measured, from here on.
    """
    state.start_time += lived
    if restart:
        setattr(state, _BEGAN_WITH_LOSS, True)
        state.attempt_number = 0
        state.idle_for = 0.0
        state.start_time = time.monotonic()
