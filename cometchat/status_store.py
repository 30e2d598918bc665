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
    """

    status: str
    failures: int = 0
    error: Optional[CometChatException] = None


class Member(Protocol):
    """A client, as its store sees it. Every method may be called on any thread, and returns at once."""

    def lead(self) -> None:
        """Hold the connection from now on: nobody else does."""

    def follow(self, status: SharedStatus) -> None:
        """Another holds it, and its connection is so; called again with each change."""

    def away(self, error: CometChatException) -> None:
        """Nobody knows who leads, because of this: neither lead nor follow."""

    def frame(self, data: bytes) -> None:
        """A frame that the leader got from the service, in order. For those who follow."""

    def send(self, text: str) -> None:
        """A frame of a follower's, to be sent to the service. For the one who leads."""


class Seat(Protocol):
    """A client's place in a line. Every method may be called on any thread, and but one waits for nothing."""

    def publish(self, status: SharedStatus) -> None:
        """The leader's status has changed."""

    def relay(self, data: bytes) -> None:
        """The leader got a frame that the followers should get."""

    def send_up(self, text: str) -> None:
        """A follower wants a frame sent."""

    def leads_until(self) -> float:
        """Monotonic seconds until which nobody else can lead, whatever happens; 0: this one does not lead."""

    def step_down(self) -> None:
        """Let another lead, if there is one who can; go on in line."""

    def leave(self) -> None:
        """Leave the line, and the lead with it. The member hears nothing any more."""

    def wait_left(self, timeout: float) -> None:
        """After :meth:`leave`: wait until the others can know, at most ``timeout`` seconds. The one that waits."""

    def release_after_fork(self) -> None:
        """In the child of a fork: the seat is the parent's, and is let go of without a word."""


class StatusStore(Protocol):
    """Shared by all clients of a process, and by its forks."""

    def join(self, app_id: str, uid: str, member: Member) -> Seat:
        """Take a place in the line of this app's user. Returns at once; the member is told what it is.

        :param app_id: the app.
        :param uid: the user who is logged in.
        """
