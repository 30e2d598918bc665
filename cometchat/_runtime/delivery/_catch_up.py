"""The catch-up: asks the service for missed messages on a separate thread, because the socket must not wait for HTTP.

This module decides when to ask, and what follows a failure. The inbox (:class:`CatchUpInbox`) decides what the answers
mean, and in which order the messages are delivered.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple

from ..._fields import moment
from ..._log import SafeLog
from ..._protocol._error_codes import ErrorKind, kind_of
from ..._protocol._position import Gap
from ...exceptions import ERR_INTERNAL, CometChatException, ConnectionException
from .._account import Account
from .._history import PAGE, History, next_page_size
from .._threads import Backoff, ServiceThread, Wakeup, rate_limit_pause
from ._inbox_store import Progress
from ._journal import Journal
from ._queue import EventQueue
from ._waiting import Message

#: Seconds between two attempts to become the delivering client while another client delivers.
TURN = 1.0

#: Maximum wait of live messages for missed ones while the requests fail, in seconds.
PATIENCE = 5.0


class CatchUp:
    """The state of one catch-up. The client's lock guards the fields that the inbox changes.

    :ivar gap: the messages to request; None if no id is known, so that only the newest id is requested.
    :ivar page_size: number of messages per request.
    :ivar stopped: set by the inbox, or by the catch-up itself, when no further request is needed.
    :ivar room: set when there may be room for a page, and when the catch-up is stopped.
    :ivar since: monotonic seconds of an earlier request for the newest id, whose connection broke before the answer.
        Messages after the newest id at that time are requested too. None if there was no such request.
    :ivar released: live messages no longer wait for it.
    :ivar renewed: it has renewed the login.
    """

    def __init__(self, generation: int, gap: Optional[Gap], since: Optional[float] = None) -> None:
        self.generation = generation
        self.gap = gap
        self.since = since
        self.page_size: int = PAGE
        self.stopped: Wakeup = Wakeup()
        self.room: Wakeup = Wakeup()
        self.released = self.renewed = False

    def stop(self) -> None:
        """End the catch-up's waits."""
        self.stopped.set()
        self.room.set()


class CatchUpInbox(Protocol):
    """The part of the inbox that a catch-up uses. Each method takes the client's lock, except :meth:`read`."""

    def read(self, body: Dict[str, Any], size: int, *, fetched: bool = False) -> Message:
        """Decode a message. The caller does not hold the lock, under which a log handler could wait for it forever.

        :param size: in bytes.
        :param fetched: whether it comes from the history.
        """

    def resume(self, task: CatchUp, progress: Progress) -> None:
        """Continue from the journal's position, at the beginning of a durable inbox."""

    def begin_after(self, task: CatchUp, newest: str) -> None:
        """Continue after the newest id at the catch-up's beginning, or stop if no message was missed."""

    def add_page(self, task: CatchUp, page: List[Message]) -> bool:
        """Queue the messages of the next page, oldest first, and advance ``task.gap``. Stop after the last page.

        :returns: whether only changes of older messages are left. See :meth:`next_change`.
        """

    def next_change(self, task: CatchUp) -> Optional[Tuple[str, Dict[str, Any]]]:
        """Return the id and the oldest change of an older message for which there is room; None without one."""

    def add_change(self, task: CatchUp, message_id: str, change: Dict[str, Any], message: Message) -> None:
        """Queue the message with that change, unless a newer change replaced it."""

    def discard_held(self, task: CatchUp) -> None:
        """Discard the messages that wait, because another client delivers them."""

    def before_held(self, newest: str) -> str:
        """Return the newest id, or the one before the oldest live message that waits."""

    def release_early(self, task: CatchUp) -> bool:
        """Deliver live messages before the missed ones from now on. Returns False if the catch-up is not wanted."""

    def give_up(self, task: CatchUp, *, refused: bool = False) -> None:
        """End a catch-up. The next connection continues where it ended.

        :param refused: the service gives no missed messages. So a durable inbox delivers the live ones without them.
        """


class CatchUpThread:
    """The work of one client's catch-up threads. The state of a catch-up is in its :class:`CatchUp`.

    :param journal: of a durable inbox.
    :param name: of the thread.
    :param clock: monotonic seconds.
    :param jitter: returns 0 to 1, at random.
    :param wait: waits for an event, for at most some seconds.
    """

    def __init__(
        self,
        inbox: CatchUpInbox,
        events: EventQueue,
        account: Account,
        history: History,
        journal: Optional[Journal],
        name: str,
        log: SafeLog,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        wait: Callable[[Wakeup, float], object],
    ) -> None:
        self._inbox = inbox
        self._events = events
        self._account = account
        self._history = history
        self._journal = journal
        self._name = name
        self._log = log
        self._clock = clock
        self._jitter = jitter
        self._wait = wait
        self._refused_before = False
        # Monotonic seconds, over all connections since the last answer. A connection may be too short for the patience.
        self._failing_since: Optional[float] = None

    def start(self, task: CatchUp) -> None:
        """Start the thread of a catch-up. If the system can't start one, log it, and end the catch-up."""
        try:
            ServiceThread(
                self._name,
                lambda: self._run(task),
                wanted=lambda: not task.stopped.is_set(),
                wait=task.stopped.wait,
            ).start()
        except BaseException as error:  # a KeyboardInterrupt too: live messages would wait for this task forever
            self._inbox.give_up(task)
            if not isinstance(error, CometChatException):
                raise
            self._log.warning("Missed messages can't be fetched: %s", error)

    def _run(self, task: CatchUp) -> None:
        """Make requests until the inbox stops the catch-up."""
        backoff: Optional[Backoff] = None  # of the failures since the last answer
        while not task.stopped.is_set():
            if not self._has_room(task):
                continue
            asked_at = self._clock()
            error = self._try_to_ask(task)
            if error is not None and kind_of(error) is ErrorKind.CREDENTIAL and not task.stopped.is_set():
                error = self._renew(task, error)
            if error is not None and not _is_final(error) and self._failing_since is None:
                self._failing_since = asked_at
            if task.stopped.is_set():
                return
            if error is None:
                backoff = self._failing_since = None
                self._slow_down(task)
            elif _is_final(error):
                self._refused(task, error)
            else:
                task.page_size = next_page_size(task.page_size, error)
                if backoff is None:
                    backoff = Backoff(jitter=self._jitter)
                self._pause(task, error, backoff.next(error.retry_after))

    def _has_room(self, task: CatchUp) -> bool:
        """Return True if the queue has room for a page. If not, wait until it may have room, or until the stop."""
        task.room.clear()
        if task.gap is None or self._events.has_room():
            return True
        self._events.when_room(task.room)
        if not task.stopped.is_set():
            task.room.wait()
        return False

    def _slow_down(self, task: CatchUp) -> None:
        """Wait, to reserve the rest of the rate limit for the user's calls."""
        pause = rate_limit_pause(self._account.rate_limit_remaining, self._jitter())
        if pause:
            self._wait(task.stopped, pause)

    # --- the requests

    def _try_to_ask(self, task: CatchUp) -> Optional[CometChatException]:
        """Make one request to the service. Returns the failure."""
        try:
            self._ask(task)
        except CometChatException as error:
            return error
        except Exception as cause:  # a bug of this SDK: live messages must not wait forever
            self._log.exception("Unexpected error while fetching missed messages.")
            return ConnectionException(ERR_INTERNAL, f"Unexpected {type(cause).__name__}.")
        return None

    def _ask(self, task: CatchUp) -> None:
        if task.gap is not None:
            found = self._history.messages_after(task.gap.after, task.page_size)
            task.page_size = next_page_size(task.page_size)
            page = [self._inbox.read(body, len(str(body)), fetched=True) for body in found]
            if self._inbox.add_page(task, page):
                self._fetch_changes(task)
        elif self._journal is not None:
            self._load(self._journal, task)
        else:
            self._inbox.begin_after(task, self._newest_at_begin(task))

    def _load(self, journal: Journal, task: CatchUp) -> None:
        """Read from the journal where to continue."""
        me = self._account.me
        if me.uid is None:
            task.stop()  # the login has just ended
            return
        # An earlier event may still be in a callback, and is recorded only afterwards. It may be another user's, whose
        # lock acquire() releases.
        self._events.passed(task.room)  # cleared by _has_room()
        if not task.stopped.is_set():
            task.room.wait()
        if task.stopped.is_set():
            return
        if not journal.acquire(me.uid):
            self._inbox.discard_held(task)
            self._wait(task.stopped, TURN)
            return
        progress = journal.load(me.uid, me.resource)
        if progress.position is None:
            newest = self._newest_at_begin(task)
            if task.stopped.is_set():  # after a stop, the request may be another user's
                return
            position = self._inbox.before_held(newest)
            journal.start(me.uid, position)
            progress = progress._replace(position=position)
        self._inbox.resume(task, progress)

    def _newest_at_begin(self, task: CatchUp) -> str:
        """Return the newest id when the first request for it began. The newest one now may be of a missed message."""
        return self._history.newest_message_id(None if task.since is None else self._clock() - task.since)

    def _fetch_changes(self, task: CatchUp) -> None:
        """Queue the changes of older messages while there is room."""
        while True:
            change = self._inbox.next_change(task)
            if change is None:
                return
            message_id, body = change
            changed = body if moment(body, "deletedAt") else self._edited(task, message_id, body)
            self._inbox.add_change(task, message_id, body, self._inbox.read(changed, len(str(changed))))

    def _edited(self, task: CatchUp, message_id: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Return an edited message in its current form."""
        self._slow_down(task)
        try:
            return {**body, **self._history.message(message_id)}
        except CometChatException as error:
            if not _is_final(error):
                raise
            self._log.info("the edited message %s can't be fetched: %s", message_id, error)
            return body

    # --- after a failure

    def _renew(self, task: CatchUp, refusal: CometChatException) -> Optional[CometChatException]:
        """Renew a refused login, once. Returns None if that helped; an error that may pass if it can be tried again."""
        if task.renewed:
            return refusal
        try:
            self._account.renew()
        except CometChatException as error:
            self._log.info("the login could not be renewed: %s", error)
            return refusal if _is_final(error) else error
        task.renewed = True
        return None

    def _refused(self, task: CatchUp, error: CometChatException) -> None:
        self._inbox.give_up(task, refused=True)  # first: a log handler may block
        report = self._log.info if self._refused_before else self._log.warning
        self._refused_before = True
        report("The service does not give missed messages. Live messages continue: %s", error)

    def _pause(self, task: CatchUp, error: CometChatException, seconds: float) -> None:
        """Wait before the next request. If the patience ends during the wait, live messages are delivered then."""
        failing = 0.0 if self._failing_since is None else self._clock() - self._failing_since
        patience = max(0.0, PATIENCE - failing)
        if task.released or patience:
            self._log.info("missed messages could not be fetched, trying again: %s", error)
        if not task.released and seconds >= patience:
            if patience:
                self._wait(task.stopped, patience)
            if not task.stopped.is_set():
                self._release(task, error, failing + patience)
            seconds -= patience
        if not task.stopped.is_set():
            self._wait(task.stopped, seconds)

    def _release(self, task: CatchUp, error: CometChatException, waited: float) -> None:
        if self._inbox.release_early(task):
            order = "go before them" if self._journal is None else "wait for them"
            self._log.warning(
                "Missed messages could not be fetched for %.0f s, live ones %s: %s", waited, order, error
            )


def _is_final(error: CometChatException) -> bool:
    """Return True if another request would get the same answer."""
    return kind_of(error) not in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT, ErrorKind.OPERATOR)
