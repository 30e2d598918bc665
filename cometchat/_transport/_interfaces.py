"""The interfaces of the transports. The fakes in the tests implement them too."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional, Protocol, Union

from ._form import Form


class Rest(Protocol):
    """HTTP calls to the service. Several threads may use it at the same time.

    A signal handler may call :meth:`close` while another method runs.
    """

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        """Return the number of calls that the service still allows in this minute; None if unknown."""

    @property
    def service_time(self) -> Optional[float]:
        """Return the service's time in Unix seconds, up to a second early; None if its newest answer has no date."""

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

        If a kept connection turns out to be dead, a repeatable call (GET, PUT, DELETE, with a ``muid``, or to
        ``auth_tokens``) is sent again.

        :param body: an object, sent as JSON; or a form. A form is sent once and may take long, so the timeout is for
            each of its blocks.
        :param timeout: seconds to connect (for each of TCP, proxy and TLS), and seconds for the whole answer.
        :param expect: the type of ``data``, dict or list.
        :raises CometChatException: ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, or the
            server's own code.
        """

    def upload(self, url: str, form: Form, *, timeout: float) -> None:
        """Post a form to a storage service, without the API's headers and without credentials.

        :raises CometChatException: ``ERR_S3_UPLOAD_FAILED``, ``ERR_PRESIGNED_URL_EXPIRED``, ``FAILED_TO_FETCH``;
            ``INVALID_PATH_OR_FILE``: the file is no longer readable.
        """

    def forget_connections(self) -> None:
        """Make later calls use new connections. Calls in progress keep theirs. Does not wait."""

    def close(self) -> None:
        """Close the connections. A call in progress closes its own. Does not wait; no-op when called twice."""


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
