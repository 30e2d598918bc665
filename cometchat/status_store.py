"""One connection for many processes: the interface for ``AppSettings(status_store=...)``.

The clients of a user join one line in the store. One of them leads and holds the connection. The others follow: they
have the leader's status, and the store passes on to them what the service sends. ``cometchat.contrib.redis`` has a
store over Redis. Your own store is an object with the methods below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol, runtime_checkable

from .exceptions import CometChatException


@dataclass(frozen=True)
class SharedStatus:
    """The state of the leader's connection.

    :ivar status: the string of a CometChatWSState.
    :ivar failures: number of errors since it leads.
    :ivar error: the newest error, or None.
    :ivar leader: ``host:pid`` of its process; None if the store does not say.
    """

    status: str
    failures: int = 0
    error: Optional[CometChatException] = None
    leader: Optional[str] = None


class Member(Protocol):
    """A client, as seen by its store. The store may call every method on any thread. Each returns at once."""

    def lead(self) -> None:
        """Hold the connection from now on. No other process holds it."""

    def follow(self, status: SharedStatus) -> None:
        """Take over the status of the leader, another process. Called again at each change."""

    def away(self, error: CometChatException) -> None:
        """Neither lead nor follow, since the store does not know the leader because of this error."""

    def frame(self, data: bytes) -> None:
        """Receive a frame that the leader got from the service, in order. Called for followers.

        The calling thread may read the frame and queue its event. It calls no listener.
        """

    def send(self, text: str) -> bool:
        """Send a follower's frame to the service. Called for the leader. Returns False if it was not sent."""


class Seat(Protocol):
    """A client's place in the line. Any thread may call every method. Only :meth:`wait_left` waits."""

    def publish(self, status: SharedStatus) -> None:
        """Pass the leader's new status to the followers."""

    def relay(self, data: bytes) -> None:
        """Pass a frame that the leader got to the followers."""

    def send_up(self, text: str) -> None:
        """Pass a follower's frame to the leader. If the leader does not confirm it, it counts as lost."""

    def leads_until(self) -> float:
        """Return the time (monotonic seconds) until which no other process can lead; 0 for a follower."""

    def step_down(self) -> None:
        """Let another process lead, if possible. Stay in the line."""

    def leave(self) -> None:
        """Leave the line and give up the lead. The store then calls the member no more."""

    def wait_left(self, timeout: float) -> None:
        """After :meth:`leave`, wait at most ``timeout`` seconds until the other processes can know."""

    def release_after_fork(self) -> None:
        """In the child of a fork: release the parent's seat without sending anything."""


@runtime_checkable
class AsksOnce(Protocol):
    """A store that can let one process ask for all after a change of leaders. This is optional."""

    def ask_once(self, app_id: str, uid: str, question: str, ask: Callable[[], bytes]) -> bytes:
        """Return the answer to a question that several processes have at the same time. Waits for it.

        :param question: the same text in each process.
        :param ask: asks the service. The answer has to be of a call that began after this method was called, in
            this process or another one. Its exceptions are raised here.
        """


class StatusStore(Protocol):
    """A store. All clients of a process share it, and so do its forks.

    Its methods and those of its seats should not raise. If one does, the client logs an error and goes on. After an
    exception of ``join()`` or ``leads_until()`` the attempt to connect fails with ``ERR_STATUS_STORE``. After one of
    ``send_up()`` the sender of the frame gets this code.
    """

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        """Join the line of this app's user. Returns at once; the store then calls the member.

        :param app_id: the app.
        :param uid: the user who is logged in.
        """
