"""Messages on their way to the listeners: each once, and after a reconnect the missed ones first.

The service keeps messages, so that what came while the connection was down can be asked for, with the id of the newest
one that is known. Until the answer is here live messages wait, for the order's sake.

Where the listeners are so slow that the queue has no room for more, messages are let go in the same way, and asked for
once there is room.

Known is what went to the dispatcher's queue. Where ``disconnect()`` cuts that queue, the messages in it become unknown
again, and the next connection asks for them.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, Optional

from .._protocol import Delivery, Self, deliver_message, id_of, newer, older, rank
from ..exceptions import ERR_BAD_RESPONSE, CometChatException, ConnectionException, RateLimitException
from .backoff import backoff
from .catch_up import CatchUp, Held, History, Queued
from .connection import Superseded
from .run import Run

logger = logging.getLogger("cometchat.messages")

#: Ids that are remembered, so that no message is told twice.
REMEMBERED = 20_000

#: Seconds that live messages wait for missed ones while asking for them fails.
PATIENCE = 5.0


#: Puts a call into the dispatcher's queue in the name of a run, with the bytes of the message. The last argument is
#: asked right before the call is made; False: it is not made. None: it may be dropped where too many wait.
Post = Callable[[Run, Delivery, int, Optional[Callable[[], bool]]], None]


class Inbox:
    """One client's. :meth:`begin`, :meth:`take` and :meth:`lost` on the connection thread, the rest on any.

    :param post: raises Superseded where the run is an old one.
    :param wanted: tells whether somebody listens to messages.
    :param me: tells who listens: what this connection has sent itself is no news.
    :param enabled: ask for missed messages at all.
    :param has_room: tells whether the queue has room for one more; False: :meth:`go_on` is called once it has.
    :param name: of the thread that asks.
    :param clock: monotonic seconds.
    :param jitter: 0 to 1 at random.
    :param wait: waits for an event, some seconds at the most.
    """

    def __init__(
        self,
        history: History,
        post: Post,
        *,
        wanted: Callable[[], bool],
        me: Callable[[], Self],
        enabled: bool,
        name: str,
        has_room: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._history = history
        self._post = post
        self._wanted = wanted
        self._me = me
        self._enabled = enabled
        self._name = name
        self._has_room = has_room
        self._clock = clock
        self._jitter = jitter
        self._wait = wait
        self._lock = threading.Lock()  # under it only the queue's own locks are taken, and nothing waits
        self._known: Optional[str] = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._queued: Deque[Queued] = deque()
        self._run: Optional[Run] = None
        self._up = False
        self._task: Optional[CatchUp] = None
        # Where a catch-up stands that has not come to its end.
        self._unfinished: Optional[str] = None
        self._held: Optional[Held] = None
        self._refused_before = False
        #: Messages that were asked for, and told.
        self.fetched = 0

    def begin(self, run: Run) -> None:
        """A connection is up: from here on live messages wait until the missed ones are told."""
        if not self._enabled:
            return
        with self._lock:
            if self._run is not run:
                self._held = None  # what an old run held back is stored, and asked for now
            self._run, self._up = run, True
            task = self._prepare()
        self._start(task)

    def look_again(self) -> None:
        """Somebody has begun to listen: from now on it matters what comes."""
        task = None
        with self._lock:
            if self._up and self._task is None and self._known is None:
                task = self._prepare()
        self._start(task)

    def take(self, run: Run, body: Dict[str, Any], own: bool, size: int) -> None:
        """A live message came.

        :param own: this connection has sent it: nobody is told, but it is known.
        :param size: bytes of its frame.
        :raises Superseded: the run is an old one.
        """
        task = None
        with self._lock:
            if run.stopped:  # cut() has said what is known
                raise Superseded
            if own:
                self._note(id_of(body))
            elif self._held is not None:
                self._held.add(body, size)
            elif not self._enabled or self._known is None or _own_id(body) is None or self._has_room():
                self._tell(run, body, size)
            else:
                task = self._open_gap(run, body, size)
        self._start(task)

    def go_on(self) -> None:
        """The queue has room again. On the dispatcher thread."""
        with self._lock:
            if self._task is not None:
                self._task.room.set()

    def sent(self, message_id: Optional[str]) -> None:
        """This client has sent a message: should it come back from the history, it is no news."""
        with self._lock:
            self._remember(message_id)

    def lost(self) -> None:
        """The connection is down; what waits goes on waiting, for the next one."""
        with self._lock:
            self._up = False
            if self._task is not None and self._task.after is not None:
                self._stop()

    def cut(self, run: Run) -> None:
        """The run is over: of what is queued in its name, or an earlier one's, nothing will be told any more."""
        with self._lock:
            if self._run is run:
                self._up = False
                self._stop()
                self._held = None
            for queued in self._queued:
                if queued.run.number <= run.number and not queued.claimed:
                    queued.cut = True
                    self._seen.pop(queued.message_id, None)
                    self._known = older(_before(queued), self._known)
            self._queued = deque(queued for queued in self._queued if not queued.cut)

    def forget(self) -> None:
        """The user is another one, or none: nothing is known."""
        with self._lock:
            self._stop()
            self._known = self._unfinished = self._held = None
            self._seen.clear()

    def _prepare(self) -> Optional[CatchUp]:
        """Under the lock."""
        if not self._wanted() or self._run is None:
            # Nobody hears: what passes from here on is missed by nobody.
            self._stop()
            self._known = self._unfinished = None
            return None
        if self._known is None and self._task is not None and self._task.run is self._run:
            # Asked by an earlier connection, and still unanswered: asking anew would take what was missed for known.
            self._task.goes_on = True
            self._held = Held()
            return None
        self._stop()
        # A cut may have put what is known back to before where a catch-up stood.
        after = older(self._unfinished, self._known)
        self._task = CatchUp(self._run, after)
        if after is not None:
            self._unfinished = after
            if self._held is None:
                self._held = Held()
        return self._task

    def _start(self, task: Optional[CatchUp]) -> None:
        if task is None:
            return
        try:
            threading.Thread(target=self._catch_up, args=(task,), name=self._name, daemon=True).start()
        except RuntimeError as error:
            logger.warning("Missed messages can't be asked for, no thread can be started: %s.", error)
            self._finish(task, unfinished=task.after)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.stopped.set()
            self._task.room.set()
            self._task = None

    def _open_gap(self, run: Run, body: Dict[str, Any], size: int) -> Optional[CatchUp]:
        """Under the lock: from this message on they are asked for once there is room."""
        self._held = Held()
        self._held.add(body, size)
        if self._task is not None and self._task.after is not None:
            self._task.released = False
            return None  # it comes to these too
        self._stop()
        self._run = run
        self._task, self._unfinished = CatchUp(run, self._known), self._known
        return self._task

    def _catch_up(self, task: CatchUp) -> None:
        """On a thread of its own: the socket must not wait for HTTP."""
        try:
            self._ask(task)
        except Exception:  # a mistake of this SDK: said loudly, and live messages wait no longer
            logger.exception("Unexpected error while missed messages were asked for.")
            self._finish(task, unfinished=task.after)

    def _ask(self, task: CatchUp) -> None:
        failures, began = 0, 0.0
        while not task.stopped.is_set():
            task.room.clear()
            if task.after is not None and not self._has_room():
                if not task.stopped.is_set():
                    task.room.wait()
                continue
            try:
                if self._step(task):
                    return
                failures = 0
            except Superseded:
                return
            except CometChatException as error:
                if task.stopped.is_set():
                    return
                if error.http_status == 401 and self._renewed(task):
                    continue
                if _is_final(error):
                    self._refused(task, error)
                    return
                if error.code == ERR_BAD_RESPONSE:  # the answer may have been too long
                    task.limit = max(1, task.limit // 4)
                began, failures = (began if failures else self._clock()), failures + 1
                self._bear(task, error, self._clock() - began)
                self._wait(task.stopped, max(error.retry_after or 0.0, backoff(failures, self._jitter())))

    def _step(self, task: CatchUp) -> bool:
        """One question to the service. True: there is no more to ask."""
        if task.after is None:
            newest = self._history.newest_message_id()
            with self._lock:
                if self._task is task:
                    # Not newer(): a late answer may count what was stored after the connection broke.
                    self._known = newest if self._known is None else self._known
                    if task.goes_on:
                        task.after = self._unfinished = newest
                        return False
            self._finish(task)
            return True
        page = [(body, len(str(body))) for body in self._history.messages_after(task.after, task.limit)]
        with self._lock:
            if self._task is not task:
                return True
            before, let_go = task.after, self._held.let_go if self._held is not None else 0
            if self._held is not None:
                self._held.let_go = 0
            for body, size in page:
                self._tell(task.run, body, size, fetched=True)
                task.after = newer(id_of(body), task.after)
            if self._held is not None:
                # Now, while it is remembered.
                self._held.keep(lambda body: _own_id(body) not in self._seen)
            self._unfinished = task.after
            # A server may ignore the size of a page; that nothing new came is the end.
            if task.after != before or let_go:
                return False
            # Under the same lock: nothing may come between the look and the release.
            self._end(task, None)
            return True

    def _renewed(self, task: CatchUp) -> bool:
        """The login was refused: once, it is renewed."""
        if task.renewed:
            return False
        task.renewed = True
        try:
            self._history.renew()
        except CometChatException as error:
            logger.info("the login could not be renewed: %s", error)
            return False
        return True

    def _refused(self, task: CatchUp, error: CometChatException) -> None:
        level = logging.INFO if self._refused_before else logging.WARNING
        self._refused_before = True
        logger.log(level, "The service does not give missed messages, live ones go on: %s", error)
        self._finish(task, unfinished=task.after)  # where the next connection goes on to ask

    def _bear(self, task: CatchUp, error: CometChatException, waited: float) -> None:
        if task.released or waited < PATIENCE:
            logger.info("missed messages could not be fetched, it is tried again: %s", error)
            return
        with self._lock:
            if self._task is not task or not self._has_room():
                return
            task.released = True
            self._release(task.run)
        logger.warning("Missed messages could not be fetched for %.0f s, live ones go before them: %s", waited, error)

    def _finish(self, task: CatchUp, unfinished: Optional[str] = None) -> None:
        with self._lock:
            if self._task is task:
                self._end(task, unfinished)

    def _end(self, task: CatchUp, unfinished: Optional[str]) -> None:
        self._task, self._unfinished = None, unfinished
        self._release(task.run)

    def _release(self, run: Run) -> None:
        held, self._held = self._held, None
        for body, size in held.messages if held is not None else ():
            self._tell(run, body, size)

    def _tell(self, run: Run, body: Dict[str, Any], size: int, fetched: bool = False) -> None:
        """Under the lock: to the queue, unless it was there before."""
        message_id = id_of(body) if fetched else _own_id(body)
        if message_id in self._seen:
            return
        delivery = self._delivery_of(body, fetched)
        claim: Optional[Callable[[], bool]] = None
        # What can't be asked for may be dropped, and nobody counts on it.
        if message_id is not None and self._enabled:
            queued = Queued(message_id, self._known, run)
            claim = lambda: self._claim(queued)  # noqa: E731
        if delivery is not None:
            self._post(run, delivery, size, claim)
            if claim is not None:
                self._queued.append(queued)
            self.fetched += fetched
        if message_id is not None:
            self._note(message_id)

    def _delivery_of(self, body: Dict[str, Any], fetched: bool) -> Optional[Delivery]:
        try:
            return deliver_message(body, self._me(), fetched=fetched)
        except Exception:  # a message can't end a thread; that it could be read so badly is a mistake of this SDK
            logger.exception("A message can't be delivered.")
            return None

    def _note(self, message_id: Optional[str]) -> None:
        self._remember(message_id)
        self._known = newer(message_id, self._known)

    def _remember(self, message_id: Optional[str]) -> None:
        if message_id is not None:
            self._seen[message_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)

    def _claim(self, queued: Queued) -> bool:
        """The message's turn has come, on the dispatcher thread: it is told, unless it was cut."""
        with self._lock:
            if queued.cut:
                return False
            queued.claimed = True
            while self._queued and self._queued[0].claimed:
                self._queued.popleft()
            return True


def _own_id(body: Dict[str, Any]) -> Optional[str]:
    """A live message's id. One with these marks is a change of an older message, told under the older one's id."""
    return None if body.get("editedAt") or body.get("deletedAt") else id_of(body)


def _is_final(error: CometChatException) -> bool:
    """Asking again is no use."""
    status = error.http_status
    if status is not None and (400 <= status < 500 or status == 501):
        return status not in (408, 425, 429)
    return not isinstance(error, (ConnectionException, RateLimitException))


def _before(queued: Queued) -> Optional[str]:
    """What to ask from, for a message to come again: it may have come when newer ones were known already."""
    number = rank(queued.message_id)
    return queued.before if number < 1 else older(queued.before, str(number - 1))
