"""Decides when to try again, by tenacity's strategies and ``Retry-After``, and waits until then."""

from __future__ import annotations

import copy
import logging
import math
import random
import time
from typing import Callable, ContextManager, Iterator, Optional

import tenacity

from ..._log import SafeLog
from ..._protocol._error_codes import ErrorKind, known_kind
from ..._protocol._states import Phase, Signal
from ..._transport.net import SharedProbe, host_probe_for, is_unanswered
from ...exceptions import ERR_PONG_TIMEOUT, CometChatException, without_frames
from ...settings import LONGEST, StopStrategy, WaitStrategy
from .._threads import Wakeup
from ._state import ConnectionState, Generation

logger = logging.getLogger("cometchat.connection")

#: Minimum time between two attempts, in seconds, if the network's return ends the wait. An unstable network returns
#: often.
SOONEST = 0.5

#: Maximum average rate, per second, at which the clients of a process try again when the machine's network returns.
_RETURN_RATE = 100.0

#: Maximum default wait, in seconds.
LONGEST_WAIT = 30.0

#: Takes a callable, and calls it each time the network comes back, while the context lasts. Its argument is the number
#: of waits that end.
NetworkWatch = Callable[[Callable[[int], None]], ContextManager[None]]


def default_wait() -> WaitStrategy:
    """Return the default strategy: a random 0 to 1 s, then exponential with full jitter, at most 30 s."""
    return tenacity.wait_random_exponential(multiplier=1, max=LONGEST_WAIT)


class ReconnectPolicy:
    """The user's strategies, or the defaults. If a user's strategy raises, the default is used and an error is logged.

    :param jitter: a random 0 to 1 s, added to a ``Retry-After``, so that many clients do not return at the same time.
    :param network_watch: reports when this machine's network comes back.
    :param host_probe: asks, during a wait, whether the host is reachable again; None if the host has answered.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        wait: Optional[WaitStrategy],
        stop: Optional[StopStrategy],
        network_watch: NetworkWatch,
        client_name: Callable[[], str],
        jitter: Callable[[], float] = random.random,
        host_probe: Callable[[Optional[BaseException]], Optional[SharedProbe]] = host_probe_for,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default_wait = default_wait()
        self._wait = wait or self._default_wait
        self._stop = stop or tenacity.stop_never
        self.network_watch = network_watch
        self.log = SafeLog(logger, client_name)
        self.jitter = jitter
        self.host_probe = host_probe
        self.clock = clock

    def seconds(self, state: tenacity.RetryCallState) -> float:
        """Return the strategy's seconds before the next attempt."""
        try:
            seconds = float(self._wait(state))
            if math.isnan(seconds) or seconds < 0:
                raise ValueError(f"{seconds} is not a number of seconds")
        except BaseException:  # includes SystemExit, which must not end the connection thread
            self.log.exception("The reconnect_wait strategy raised. The default strategy is used instead.")
            seconds = float(self._default_wait(state))
        return min(seconds, LONGEST)  # infinity is not a usable wait

    def stops(self, state: tenacity.RetryCallState) -> bool:
        """Return True if the strategy ends the attempts."""
        try:
            return bool(self._stop(state))
        except BaseException:
            self.log.exception("The reconnect_stop strategy raised. The attempts continue.")
            return False


class RetrySeries:
    """The attempts of one generation, and the waits between them. For the connection thread.

    :param before_wait: called when the next wait is decided.
    """

    def __init__(
        self,
        policy: ReconnectPolicy,
        state: ConnectionState,
        generation: Generation,
        before_wait: Callable[[tenacity.RetryCallState], None],
    ) -> None:
        self._policy = policy
        self._state = state
        self._generation = generation
        self._before_wait = before_wait
        self._failure: Optional[BaseException] = None  # of the attempt before this wait
        self._began_with_loss = False
        # Of tenacity. The user's strategies get it.
        self._retry_state: Optional[tenacity.RetryCallState] = None

    def attempts(self) -> Iterator[tenacity.AttemptManager]:
        """Yield one attempt, and another after each that fails, while the generation is current.

        An attempt fails by a CometChatException. Any other exception leaves the loop.
        """
        for attempt in tenacity.Retrying(
            sleep=self._sleep,
            wait=self._seconds,
            stop=self._policy.stops,
            retry=self._should_retry,
            before_sleep=self._before_wait,
            reraise=True,
        ):
            self._retry_state = attempt.retry_state
            yield attempt
            failure = _failure_of(attempt.retry_state)
            if isinstance(failure, CometChatException):
                without_frames(failure)  # they refer to it: only the garbage collector would free them

    @property
    def attempt_number(self) -> int:
        """The number of the attempt in progress, from 1; 0 once the count has started again."""
        return 0 if self._retry_state is None else self._retry_state.attempt_number

    def count_loss(self, lived: float, *, restart: bool) -> None:
        """Note that a connection was lost. Its life does not count as time of the series.

        :param lived: seconds for which it was up.
        :param restart: whether the count and the time of the attempts start again, because it lived long enough.
        """
        state = self._retry_state
        assert state is not None
        state.start_time += lived
        if restart:
            self._began_with_loss = True
            state.attempt_number = 0
            state.idle_for = 0.0
            state.start_time = time.monotonic()

    def _should_retry(self, state: tenacity.RetryCallState) -> bool:
        return isinstance(_failure_of(state), CometChatException) and self._state.is_current(self._generation)

    def _seconds(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds before the next attempt, by the strategy, but at least those that the server asked for."""
        policy = self._policy
        seconds = policy.seconds(self._counted(state))
        self._failure = _failure_of(state)
        if known_kind(self._failure) is ErrorKind.OPERATOR:
            seconds = max(seconds, LONGEST_WAIT * (0.5 + policy.jitter() / 2))
        asked = getattr(self._failure, "retry_after", None)
        return seconds if asked is None else max(seconds, asked + policy.jitter())

    def _counted(self, state: tenacity.RetryCallState) -> tenacity.RetryCallState:
        """Return the state for a wait strategy, with the loss that began the series as its first failure."""
        if not self._began_with_loss:
            return state
        seen = copy.copy(state)
        seen.attempt_number += 1
        return seen

    def _sleep(self, seconds: float) -> None:
        self._wait(seconds)
        # In any phase but BACKOFF, connect() has already ended the wait.
        self._state.signal(self._generation, Signal.RETRY_DUE, only_in=Phase.BACKOFF)

    def _wait(self, seconds: float) -> None:
        """Wait. If the last attempt got no answer, and the server asked for no wait, the network's return ends it."""
        policy, wake = self._policy, self._generation.wake
        failure, self._failure = self._failure, None
        if getattr(failure, "retry_after", None) is not None or seconds <= 2 * SOONEST:
            wake.wait(seconds)
            return
        probe = policy.host_probe(failure)
        if probe is None and not _is_silence(failure):
            wake.wait(seconds)  # the host has answered, so another network does not help
            return
        returned, spread = Wakeup(), SOONEST

        def on_return(waits: int) -> None:
            nonlocal spread
            if not returned.is_set() and self._state.take_early_wakeup():
                spread = max(SOONEST, waits / _RETURN_RATE)
                returned.set()
                wake.set()

        began = policy.clock()
        if probe is not None:  # the host's answer counts, not another network of this machine
            self._wait_and_probe(probe, wake, began + seconds, on_return)
        else:
            with policy.network_watch(on_return):
                wake.wait(seconds)
        if returned.is_set():
            self._state.rearm(self._generation)
            # This machine may have many clients, which must not all try at the same time.
            rest = SOONEST * (1 + policy.jitter()) - (policy.clock() - began)
            wake.wait(max(rest, spread * policy.jitter()))

    def _wait_and_probe(self, probe: SharedProbe, wake: Wakeup, ends: float, on_return: Callable[[int], None]) -> None:
        """Wait, and probe the host, because this machine's network does not report distant outages."""
        clock = self._policy.clock
        try:
            while not wake.is_set() and clock() < ends:
                if probe.is_back():
                    self._policy.log.debug("the host can be reached again")
                    on_return(1)  # the checks of many clients are spread over time
                wake.wait(min(probe.every, ends - clock()))
        finally:
            probe.close()


def _failure_of(state: tenacity.RetryCallState) -> Optional[BaseException]:
    return None if state.outcome is None else state.outcome.exception()


def _is_silence(failure: Optional[BaseException]) -> bool:
    """Return True if the host did not answer, or no longer answers."""
    return getattr(failure, "code", None) == ERR_PONG_TIMEOUT or is_unanswered(failure)
