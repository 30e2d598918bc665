"""The listener classes: subclass one, override what you want to hear of. Every method does nothing by default.

All methods are called one at a time, in order, on the client's dispatcher thread (``cometchat-dispatcher-N``). A method
that raises is logged with its listener's id; the other listeners and the connection do not notice. A slow method delays
the other listeners' calls, never the connection. Any method of the SDK may be called from inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from .exceptions import CometChatException

if TYPE_CHECKING:  # importing the package does not load them
    from .models import (
        Action,
        BaseMessage,
        Call,
        CardMessage,
        CustomMessage,
        Group,
        InteractionReceipt,
        InteractiveMessage,
        MediaMessage,
        MessageReceipt,
        ReactionEvent,
        TextMessage,
        TransientMessage,
        TypingIndicator,
        User,
    )


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


class UserListener:
    """Hears of the presence of the users that ``subscription_type`` asks for."""

    def on_user_online(self, user: User) -> None:
        """A user came online."""

    def on_user_offline(self, user: User) -> None:
        """A user went offline."""


class GroupListener:
    """Hears of the members of the groups that the logged-in user is in.

    A user or group is None where the service did not say who or which.
    """

    def on_group_member_joined(self, action: Action, joined_user: User, joined_group: Group) -> None:
        """A user joined a group."""

    def on_group_member_left(self, action: Action, left_user: User, left_group: Group) -> None:
        """A user left a group."""

    def on_group_member_kicked(self, action: Action, kicked_user: User, kicked_by: User, kicked_from: Group) -> None:
        """A user was removed from a group, and may join again."""

    def on_group_member_banned(self, action: Action, banned_user: User, banned_by: User, banned_from: Group) -> None:
        """A user was removed from a group, and may not join again."""

    def on_group_member_unbanned(
        self, action: Action, unbanned_user: User, unbanned_by: User, unbanned_from: Group
    ) -> None:
        """A user may join a group again."""

    def on_group_member_scope_changed(
        self,
        action: Action,
        updated_by: User,
        updated_user: User,
        scope_changed_to: str,
        scope_changed_from: str,
        group: Group,
    ) -> None:
        """A member's scope changed: ``"admin"``, ``"moderator"`` or ``"participant"``."""

    def on_member_added_to_group(self, action: Action, added_by: User, user_added: User, added_to: Group) -> None:
        """A user was made a member by another."""


class MessageListener:
    """Hears of messages and of what goes with them. What this very connection has sent does not come back to it."""

    def on_text_message_received(self, message: TextMessage) -> None:
        """A text message."""

    def on_media_message_received(self, message: MediaMessage) -> None:
        """An image, video, audio or file message."""

    def on_custom_message_received(self, message: CustomMessage) -> None:
        """A message of the app's own kind."""

    def on_interactive_message_received(self, message: InteractiveMessage) -> None:
        """A form or a card with buttons."""

    def on_card_message_received(self, message: CardMessage) -> None:
        """A card."""

    def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
        """Somebody has begun to type."""

    def on_typing_ended(self, typing_indicator: TypingIndicator) -> None:
        """Somebody types no longer."""

    def on_messages_delivered(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were delivered (to all: see ``receipt_type``)."""

    def on_messages_read(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were read (by all: see ``receipt_type``)."""

    def on_message_edited(self, message: BaseMessage) -> None:
        """A message was edited; this is how it reads now."""

    def on_message_deleted(self, message: BaseMessage) -> None:
        """A message was deleted."""

    def on_transient_message_received(self, message: TransientMessage) -> None:
        """A message that is not stored."""

    def on_message_reaction_added(self, reaction_event: ReactionEvent) -> None:
        """Somebody reacted to a message."""

    def on_message_reaction_removed(self, reaction_event: ReactionEvent) -> None:
        """Somebody took a reaction back."""

    def on_interaction_goal_completed(self, interaction_receipt: InteractionReceipt) -> None:
        """Somebody completed the goal of an interactive message."""


class CallListener:
    """Hears of the signalling of calls; the media is none of this SDK's business."""

    def on_incoming_call_received(self, call: Call) -> None:
        """Somebody calls."""

    def on_outgoing_call_accepted(self, call: Call) -> None:
        """A call was accepted."""

    def on_outgoing_call_rejected(self, call: Call) -> None:
        """A call was rejected, or the other side is busy."""

    def on_incoming_call_cancelled(self, call: Call) -> None:
        """A call was cancelled, or not answered in time."""

    def on_call_ended_message_received(self, call: Call) -> None:
        """A call has ended."""


class OutboxListener:
    """Hears of what ``Client.outbox`` took: each item ends in one of these calls, in the process that sent it."""

    def on_delivered(self, message: Union[BaseMessage, MessageReceipt]) -> None:
        """The service has taken it.

        :param message: as the service has stored it, its ``muid`` the one that ``put()`` returned; or a receipt.
        """

    def on_failed(self, message: Union[BaseMessage, MessageReceipt], error: CometChatException) -> None:
        """The service has refused it for good. It is among ``Client.outbox.dead_letters()``, and the rest goes on.

        :param message: as it was put.
        :param error: why.
        """


#: The kinds that hear of messages, and of what is stored with them.
MESSAGE_KINDS = ("message", "group", "call")

#: The kinds of listeners, and the class of each.
KINDS = {
    "connection": ConnectionListener,
    "login": LoginListener,
    "user": UserListener,
    "group": GroupListener,
    "message": MessageListener,
    "call": CallListener,
    "outbox": OutboxListener,
}
