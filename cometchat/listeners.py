"""The listener classes: subclass one, override what you want to hear of. Every method does nothing by default.

All methods are called one at a time, in order, on the client's dispatcher thread (``cometchat-dispatcher-N``). A method
that raises is logged with its listener's id; the other listeners and the connection do not notice. A slow method delays
the other listeners' calls, never the connection. Any method of the SDK may be called from inside.
"""

from __future__ import annotations

from .exceptions import CometChatException
from .models import User


class ConnectionListener:
    """Hears of the connection: exactly the transitions that happen, each once, in order, from its registration on.

    ::

        class Light(ConnectionListener):
            def on_connected(self) -> None:
                print("green")

            def on_disconnected(self) -> None:
                print("red")
    """

    def on_connecting(self) -> None:
        """A series of attempts starts: the first time, or after a loss. The status is ``connecting``."""

    def on_connected(self) -> None:
        """The server has accepted the authentication; also called when throttling ends. The status is ``connected``."""

    def on_feature_throttled(self) -> None:
        """The service has switched transient features off (its ``MODE`` is not ``DEFAULT``).

        The status is ``featureThrottled``: the connection is up, messages work; typing indicators, receipts, presence
        and transient messages are limited or off. Called right after :meth:`on_connected`, or later.
        """

    def on_disconnected(self) -> None:
        """A connection that was up is gone, or the SDK has stopped trying. The status is ``disconnected``."""

    def on_connection_error(self, error: CometChatException) -> None:
        """An attempt failed, or a connection broke.

        :param error: what happened: its ``code``, ``message`` and ``details``. It comes before the
            :meth:`on_disconnected` of the same event; a failed attempt that will be repeated gives this call alone.
        """


class LoginListener:
    """Hears of logins and logouts of this client."""

    def login_success(self, user: User) -> None:
        """A user is logged in.

        :param user: that user.
        """

    def login_failure(self, error: CometChatException) -> None:
        """A login failed; the call itself raised the same error.

        :param error: why.
        """

    def logout_success(self) -> None:
        """The user is logged out: the connection is closed, the token void, the store empty."""

    def logout_failure(self, error: CometChatException) -> None:
        """A logout failed; the call itself raised the same error, and the user is still logged in.

        :param error: why.
        """
