"""What the transports promise to the floors above; their fakes in the tests promise the same."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional, Protocol, Union

from ._form import Form


class Rest(Protocol):
    """HTTP calls to the service. May be used from several threads at once.

    A signal handler may call :meth:`close` at any line of the other calls.
    """

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        """Return how many calls the service allows in this minute, by its newest answer; None if it never said."""

    @property
    def service_time(self) -> Optional[float]:
        """Return the service's time in Unix seconds, a second early at most; None if its newest answer has no date."""

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Union[Mapping[str, Any], Form, None] = None,
        timeout: float,
        expect: type = dict,
    ) -> Any:
        """Make one call and return the ``data`` of its envelope.

        A call that may be repeated (GET, PUT, DELETE, with a ``muid``, to ``auth_tokens``) goes out once more if a kept
        connection turns out dead.

        :param body: an object, which goes as JSON; or a form, which goes out once, and may take long: then the timeout
            holds for each of its blocks.
        :param timeout: seconds to connect (TCP, a proxy and TLS each), and seconds for the whole answer.
        :param expect: what ``data`` has to be, dict or list.
        :raises CometChatException: ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, or the
            server's own code.
        """

    def upload(self, url: str, form: Form, *, timeout: float) -> None:
        """Post a form to a storage service, which gets no header of the API and no credential.

        :raises CometChatException: ``ERR_S3_UPLOAD_FAILED``, ``ERR_PRESIGNED_URL_EXPIRED``, ``FAILED_TO_FETCH``;
            ``INVALID_PATH_OR_FILE``: the file can't be read any more.
        """

    def forget_connections(self) -> None:
        """Make later calls use new connections; those under way keep theirs. Does not wait."""

    def close(self) -> None:
        """End the connections; a call under way ends its own. Does not wait; no-op when called twice."""


class Socket(Protocol):
    """One WebSocket. :meth:`open`, :meth:`receive` and :meth:`close` on one thread, the rest on any.

    A signal handler may call :meth:`interrupt` at any line of the other calls.
    """

    def open(self, url: str, timeout: float) -> None:
        """TCP, TLS and upgrade.

        :param timeout: seconds.
        :raises CometChatException: ``WS_CONNECTION_FAIL``, ``ERR_CONNECT_TIMEOUT``.
        """

    def receive(self, deadline: float) -> Optional[bytes]:
        """Return the next message, or None when the deadline (monotonic seconds) is reached.

        :raises CometChatException: ``WS_CONNECTION_FAIL`` (closed or lost), ``ERR_PROTOCOL``.
        """

    def receive_burst(self, deadline: float) -> List[bytes]:
        """Return the next message, with those behind it that have arrived; [] when the deadline is reached.

        :raises CometChatException: as :meth:`receive`.
        """

    def send(self, text: str, timeout: float) -> None:
        """Send one text frame.

        :param timeout: seconds to find room in the socket.
        :raises CometChatException: ``WS_CONNECTION_FAIL``.
        """

    def interrupt(self) -> None:
        """Make :meth:`receive` and :meth:`open` end at once with ``WS_CONNECTION_FAIL``; not a look-up in DNS.

        Does not wait. A close frame can still be sent.
        """

    def release_after_fork(self) -> None:
        """Close this process's copy of the descriptors, in the child of a fork: the parent's connection lives on."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame if that is possible without waiting, and release the socket. Never raises."""


#: Makes a socket that is not open yet.
SocketFactory = Callable[[], Socket]
