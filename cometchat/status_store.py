"""One connection for many processes: what ``AppSettings(status_store=...)`` takes.

A store lets each client of an app's user join one line. One of them leads: it holds the connection. The others follow:
their status is the leader's, and what the service sends reaches them through the store. ``cometchat.contrib.redis`` has
one over Redis; another is an object with the methods below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Protocol

from .exceptions import CometChatException


@dataclass(frozen=True)
class SharedStatus:
    """What a leader says of its connection.

    :ivar status: the string of a CometChatWSState.
    :ivar failures: how many errors it has had since it leads.
    :ivar error: the newest of them, or None.
    :ivar leader: ``host:pid`` of its process; None if the store does not say.
    """

    status: str
    failures: int = 0
    error: Optional[CometChatException] = None
    leader: Optional[str] = None


class Member(Protocol):
    """A client, as its store sees it. Every method may be called on any thread, and returns at once."""

    def lead(self) -> None:
        """Hold the connection from now on: no other process does."""

    def follow(self, status: SharedStatus) -> None:
        """Take the status of another process, which leads. Called again with each change."""

    def away(self, error: CometChatException) -> None:
        """Neither lead nor follow: the store does not know who leads, because of this error."""

    def frame(self, data: bytes) -> None:
        """Take a frame that the leader got from the service, in order. Called for followers."""

    def send(self, text: str) -> bool:
        """Send a follower's frame to the service. Called for the leader. Returns False if it was not sent."""


class Seat(Protocol):
    """A client's place in the line. Every method may be called on any thread; only :meth:`wait_left` waits."""

    def publish(self, status: SharedStatus) -> None:
        """Hand the leader's new status to the followers."""

    def relay(self, data: bytes) -> None:
        """Hand a frame that the leader got to the followers."""

    def send_up(self, text: str) -> None:
        """Hand a follower's frame to the leader. It is lost, and counted, if the leader does not confirm it."""

    def leads_until(self) -> float:
        """Return the monotonic seconds until which no other process can lead; 0 if this one does not lead."""

    def step_down(self) -> None:
        """Let another process lead, if one can; stay in the line."""

    def leave(self) -> None:
        """Leave the line, and the lead with it. The member hears nothing after it."""

    def wait_left(self, timeout: float) -> None:
        """After :meth:`leave`, wait until the others can know, for at most ``timeout`` seconds."""

    def release_after_fork(self) -> None:
        """In the child of a fork: release the parent's seat without a word on the wire."""


class StatusStore(Protocol):
    """Shared by all clients of a process, and by its forks."""

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        """Take a place in the line of this app's user. Returns at once; the store then calls the member.

        :param app_id: the app.
        :param uid: the user who is logged in.
        """
