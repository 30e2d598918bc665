"""The interface of the sockets: of the real one, of a follower's, and of the fakes in the tests."""

from __future__ import annotations

from typing import Callable, List, Protocol


class Socket(Protocol):
    """One WebSocket. One thread calls :meth:`open`, :meth:`receive` and :meth:`close`; any thread the other methods.

    A signal handler may call :meth:`interrupt` while another method runs.
    """

    def open(self, url: str, timeout: float) -> None:
        """Connect: TCP, TLS and upgrade.

        :param timeout: seconds.
        :raises CometChatException: ``WS_CONNECTION_FAIL``, ``ERR_CONNECT_TIMEOUT``.
        """

    def receive(self, deadline: float, *, only_one: bool = False) -> List[bytes]:
        """Return the next message and those that arrived with it; [] when the deadline (monotonic seconds) is reached.

        :param only_one: whether to leave all messages but the first one for the next call.
        :raises CometChatException: ``WS_CONNECTION_FAIL`` (closed or lost), ``ERR_PROTOCOL``.
        """

    def send(self, text: str, timeout: float) -> None:
        """Send one text frame.

        :param timeout: maximum wait for room in the socket, in seconds.
        :raises CometChatException: ``WS_CONNECTION_FAIL``.
        """

    def interrupt(self) -> None:
        """Make :meth:`receive` and :meth:`open` fail at once with ``WS_CONNECTION_FAIL``, unless a DNS lookup runs.

        Does not wait. A close frame can still be sent.
        """

    def release_after_fork(self) -> None:
        """In the child of a fork: close its copies of the descriptors. The parent's connection stays open."""

    def close(self) -> None:
        """Send a close frame if possible without waiting, and release the socket. Never raises."""


#: Creates a socket that is not yet open.
SocketFactory = Callable[[], Socket]
