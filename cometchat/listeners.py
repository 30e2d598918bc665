"""The listener classes: subclass one, override what you want to hear of. Every method does nothing by default.

A listener can be made from callables as well: ``ConnectionListener(on_connected=light.green)``.

All methods are called one at a time, in order, on the client's dispatcher thread (``cometchat-dispatcher-N``). A method
that raises is logged with its listener's id; the other listeners and the connection do not notice. A slow method delays
the other listeners' calls, never the connection. Any method of the SDK may be called from inside.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Set, Tuple, Type, Union
from weakref import WeakSet

from .exceptions import CometChatException, InvalidArgumentException

if TYPE_CHECKING:  # importing the package does not load them
    from .models import (
        Action,
        AIAssistantEvent,
        AIAssistantMessage,
        AIToolArgumentMessage,
        AIToolResultMessage,
        BaseMessage,
        Call,
        CardMessage,
        Conversation,
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


class _Listener:
    """What every listener class has.

    :param callbacks: callables in place of methods, by the method's name.
    :raises CometChatException: ``INVALID_LISTENER``: the class has no such method, or the value can't be called.
    """

    def __init__(self, **callbacks: Callable[..., object]) -> None:
        super().__init__()
        known = _callbacks(self)
        for name, callback in callbacks.items():
            if name not in known:
                raise _invalid(f"a callback of {type(self).__name__}", f"{name!r}{_suggestion(name, known)}")
            if not callable(callback):
                raise _invalid(f"a callable for {name}", type(callback).__name__)
            setattr(self, name, callback)


class ConnectionListener(_Listener):
    """Hears of the connection: exactly the transitions that happen, each once, in order, from its registration on.

    ::

        class Light(ConnectionListener):
            def on_connected(self) -> None:
                print("green")

            def on_disconnected(self) -> None:
                print("red")

        ConnectionListener(on_connected=lambda: print("green"))  # the same for one callback
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


class LoginListener(_Listener):
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
        """The user is logged out: the connection is closed, the token void, the store empty.

        By ``logout()``, or since the service does not know the auth token any more, and there is no ``refresh``.
        """

    def logout_failure(self, error: CometChatException) -> None:
        """A logout failed; the call itself raised the same error, and the user is still logged in.

        :param error: why.
        """


class UserListener(_Listener):
    """Hears of the presence of the users that ``subscription_type`` asks for."""

    def on_user_online(self, user: User) -> None:
        """A user came online. ``user.status`` is ``"online"``."""

    def on_user_offline(self, user: User) -> None:
        """A user went offline. ``user.status`` is ``"offline"``, ``user.last_active_at`` says since when."""


class GroupListener(_Listener):
    """Hears of the members of the groups that the logged-in user is in.

    A user or group is None where the service did not say who or which.
    """

    def on_group_member_joined(
        self, action: Action, joined_user: Optional[User], joined_group: Optional[Group]
    ) -> None:
        """A user joined a group."""

    def on_group_member_left(self, action: Action, left_user: Optional[User], left_group: Optional[Group]) -> None:
        """A user left a group."""

    def on_group_member_kicked(
        self,
        action: Action,
        kicked_user: Optional[User],
        kicked_by: Optional[User],
        kicked_from: Optional[Group],
    ) -> None:
        """A user was removed from a group, and may join again."""

    def on_group_member_banned(
        self,
        action: Action,
        banned_user: Optional[User],
        banned_by: Optional[User],
        banned_from: Optional[Group],
    ) -> None:
        """A user was removed from a group, and may not join again."""

    def on_group_member_unbanned(
        self,
        action: Action,
        unbanned_user: Optional[User],
        unbanned_by: Optional[User],
        unbanned_from: Optional[Group],
    ) -> None:
        """A user may join a group again."""

    def on_group_member_scope_changed(
        self,
        action: Action,
        updated_by: Optional[User],
        updated_user: Optional[User],
        scope_changed_to: Optional[str],
        scope_changed_from: Optional[str],
        group: Optional[Group],
    ) -> None:
        """A member's scope changed: ``"admin"``, ``"moderator"`` or ``"participant"``."""

    def on_member_added_to_group(
        self,
        action: Action,
        added_by: Optional[User],
        user_added: Optional[User],
        added_to: Optional[Group],
    ) -> None:
        """A user was made a member by another."""


class MessageListener(_Listener):
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

    def on_ai_assistant_message_received(self, message: AIAssistantMessage) -> None:
        """An AI assistant's answer, once it is complete."""

    def on_ai_tool_result_received(self, message: AIToolResultMessage) -> None:
        """What a tool returned to an AI assistant."""

    def on_ai_tool_arguments_received(self, message: AIToolArgumentMessage) -> None:
        """The tools that an AI assistant calls, with their arguments."""

    def on_other_message_received(self, message: BaseMessage) -> None:
        """A stored message of a kind that this SDK does not know: see its ``category``, ``type`` and ``raw``."""

    def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
        """A user has begun to type."""

    def on_typing_ended(self, typing_indicator: TypingIndicator) -> None:
        """A user has stopped typing."""

    def on_messages_delivered(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were delivered."""

    def on_messages_delivered_to_all(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were delivered to all members of the group.

        Calls :meth:`on_messages_delivered` unless you override it. ``receipt_type`` tells the two apart.
        """
        self.on_messages_delivered(message_receipt)

    def on_messages_read(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were read."""

    def on_messages_read_by_all(self, message_receipt: MessageReceipt) -> None:
        """The messages up to this one were read by all members of the group.

        Calls :meth:`on_messages_read` unless you override it. ``receipt_type`` tells the two apart.
        """
        self.on_messages_read(message_receipt)

    def on_message_edited(self, message: BaseMessage) -> None:
        """A message was edited; this is how it reads now."""

    def on_message_deleted(self, message: BaseMessage) -> None:
        """A message was deleted."""

    def on_message_moderated(self, message: BaseMessage) -> None:
        """The service has judged a message: see its ``moderation_status``. One's own messages included."""

    def on_transient_message_received(self, message: TransientMessage) -> None:
        """A message that is not stored."""

    def on_message_reaction_added(self, reaction_event: ReactionEvent) -> None:
        """A user reacted to a message."""

    def on_message_reaction_removed(self, reaction_event: ReactionEvent) -> None:
        """A user took a reaction back."""

    def on_interaction_goal_completed(self, interaction_receipt: InteractionReceipt) -> None:
        """A user completed the goal of an interactive message."""

    def on_message_pinned(self, message: BaseMessage) -> None:
        """A message was pinned to its conversation."""

    def on_message_unpinned(self, message: BaseMessage) -> None:
        """A message is not pinned any more."""

    def on_message_saved(self, message: BaseMessage) -> None:
        """The logged-in user saved a message, on another device."""

    def on_message_unsaved(self, message: BaseMessage) -> None:
        """The logged-in user removed a message from the saved ones, on another device."""


class CallListener(_Listener):
    """Hears of the signalling of calls. This SDK carries neither sound nor picture."""

    def on_incoming_call_received(self, call: Call) -> None:
        """A user calls."""

    def on_outgoing_call_accepted(self, call: Call) -> None:
        """A call was accepted. Of a call to a group only the user hears who made it."""

    def on_outgoing_call_rejected(self, call: Call) -> None:
        """A call was rejected, or the other side is busy. Of a call to a group only the user hears who made it."""

    def on_incoming_call_cancelled(self, call: Call) -> None:
        """A call was cancelled, or not answered in time."""

    def on_call_ended_message_received(self, call: Call) -> None:
        """A call has ended."""


class AIAssistantListener(_Listener):
    """Hears of an AI assistant's run while it lasts. The complete answer is a message of its own."""

    def on_ai_assistant_event_received(self, event: AIAssistantEvent) -> None:
        """One event of the run: it started, a piece of text arrived, a tool was called, it finished, ..."""


class ConversationListener(_Listener):
    """Hears of the logged-in user's list of conversations."""

    def on_conversation_pinned(self, conversation: Conversation) -> None:
        """A conversation was pinned."""

    def on_conversation_unpinned(self, conversation: Conversation) -> None:
        """A conversation is not pinned any more."""


class EventListener(_Listener):
    """Hears of every frame of the server that has no callback of its own."""

    def on_event(self, type: str, body: Mapping[str, Any]) -> None:
        """A frame that this SDK has no other callback for.

        :param type: the frame's type, such as ``"notification_feed_item"``.
        :param body: the frame's body, as the service sent it.
        """


class OutboxListener(_Listener):
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


#: The kinds for whose listeners the client fetches messages that were missed.
MESSAGE_KINDS = ("message", "group", "call")

#: The kinds of listeners, and the class of each.
KINDS: Dict[str, Type[_Listener]] = {
    "connection": ConnectionListener,
    "login": LoginListener,
    "user": UserListener,
    "group": GroupListener,
    "message": MessageListener,
    "call": CallListener,
    "ai_assistant": AIAssistantListener,
    "conversation": ConversationListener,
    "event": EventListener,
    "outbox": OutboxListener,
}

#: The classes that check_listener() has warned about.
_warned: WeakSet[type] = WeakSet()


def check_listener(listener: object, kind: str) -> Optional[str]:
    """Check the callbacks of a listener that is being registered. Returns a warning to log, at most one for each class.

    The warning names methods that look like callbacks, and that nothing calls: usually typing errors.

    :param kind: a key of :data:`KINDS`. The listener is an instance of its class.
    :raises CometChatException: ``INVALID_LISTENER``: a callback is an ``async def``, or can't be called.
    """
    cls = type(listener)
    known = _callbacks(listener)
    for name in sorted(known):
        callback = getattr(listener, name)
        if not callable(callback):
            raise _invalid(f"a callable for {name}", type(callback).__name__)
        if any(map(_is_async, (callback, getattr(callback, "__call__", None)))):
            raise _invalid(f"a plain function for {name}", "an async one: nothing would await it")
    unknown = _uncalled(listener, kind, known)
    if not unknown or cls in _warned:
        return None
    _warned.add(cls)
    names = ", ".join(f"{name}(){_suggestion(name, known)}" for name in unknown)
    return f"{cls.__name__} defines what {KINDS[kind].__name__} never calls: {names}."


def _callbacks(listener: object) -> Set[str]:
    """Return the names of the callbacks of a listener: those of each kind that it is."""
    kinds = (kind for kind in KINDS.values() if isinstance(listener, kind))
    return {name for kind in kinds for name in vars(kind) if not name.startswith("_")}


def _uncalled(listener: object, kind: str, known: Set[str]) -> List[str]:
    prefixes: Tuple[str, ...] = ("on_", "login_", "logout_") if kind == "login" else ("on_",)
    found = (name for name in dir(listener) if name.startswith(prefixes) and name not in known)
    # Not getattr(), which would run the code of a property.
    return [name for name in found if _is_method(inspect.getattr_static(listener, name))]


def _is_method(value: object) -> bool:
    return callable(value) or isinstance(value, (classmethod, staticmethod))


def _is_async(callback: object) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.isasyncgenfunction(callback)


def _suggestion(name: str, known: Set[str]) -> str:
    import difflib  # here, since it is needed for errors only

    similar = difflib.get_close_matches(name, sorted(known), 1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def _invalid(expected: str, got: str) -> CometChatException:
    return InvalidArgumentException(
        "INVALID_LISTENER", f"Invalid listener: expected {expected}, got {got}.", name="listener"
    )
