"""The listener classes. Subclass one and override the methods that you need; by default every method is a no-op.

You can also make a listener from callables: ``ConnectionListener(on_connected=light.green)``. Type checkers and
editors know the names of the callables and their arguments.

All methods are called one at a time, in order, on the client's dispatcher thread (``cometchat-dispatcher-N``). The
SDK passes arguments by position, so your methods may name their parameters as you like. If a method raises, the SDK
logs the exception with the listener's id; the other listeners and the connection continue. A slow method delays the
other listeners' calls, never the connection. A method may call any method of the SDK.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, NoReturn, Optional, Tuple, Type, Union
from weakref import WeakSet

from ._deferred import deferred, misfit
from ._lazy import LazyModule
from .exceptions import CometChatException, InvalidArgumentException

if TYPE_CHECKING:
    from . import models
else:
    models = LazyModule(f"{__package__}.models")


class _Listener:
    """The base class of all listeners.

    :param callbacks: callables in place of methods, by the method's name.
    :raises CometChatException: ``INVALID_LISTENER``: the class has no such method, the value is not callable, or it has
        no name.
    """

    def __init__(self, *unnamed: NoReturn, **callbacks: Callable[..., object]) -> None:
        super().__init__()
        if unnamed:
            raise _invalid(f"keyword arguments: {type(self).__name__}(on_...=function)", "positional arguments")
        known = _callbacks(self)
        for name, callback in callbacks.items():
            if name not in known:
                raise _invalid(f"a callback of {type(self).__name__}", f"{name!r}{_suggestion(name, known)}")
            if not callable(callback):
                raise _invalid(f"a callable for {name}", type(callback).__name__)
            setattr(self, name, callback)


class ConnectionListener(_Listener):
    """Gets the connection's transitions: each one that happens after the registration, once, in order.

    ::

        class Light(ConnectionListener):
            def on_connected(self) -> None:
                print("green")

            def on_disconnected(self) -> None:
                print("red")

        ConnectionListener(on_connected=lambda: print("green"))  # the same for one callback
    """

    def on_connecting(self) -> None:
        """The SDK starts to connect, for the first time or after a loss. The status is ``connecting``."""

    def on_connected(self) -> None:
        """The server accepted the authentication, or throttling ended. The status is ``connected``."""

    def on_feature_throttled(self) -> None:
        """The service limits transient features (its ``MODE`` is not ``DEFAULT``).

        The status is ``featureThrottled``: the connection is up and messages work. Typing indicators, receipts,
        presence and transient messages are limited or off. Called right after :meth:`on_connected`, or later.
        """

    def on_disconnected(self) -> None:
        """The connection was lost, or the SDK stopped trying to connect. The status is ``disconnected``."""

    def on_connection_error(self, error: CometChatException, /) -> None:
        """An attempt failed, or a connection broke.

        :param error: its ``code``, ``message`` and ``details`` say what happened. After a loss,
            :meth:`on_disconnected` follows. After a failed attempt that will be repeated, it does not.
        """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_connecting: Callable[[], object] = ...,
            on_connected: Callable[[], object] = ...,
            on_feature_throttled: Callable[[], object] = ...,
            on_disconnected: Callable[[], object] = ...,
            on_connection_error: Callable[[CometChatException], object] = ...,
        ) -> None: ...


class LoginListener(_Listener):
    """Gets the logins and logouts of this client."""

    def login_success(self, user: models.User, /) -> None:
        """A user was logged in.

        :param user: the user.
        """

    def login_failure(self, error: CometChatException, /) -> None:
        """A login failed; the call itself raised the same error.

        :param error: the reason.
        """

    def logout_success(self) -> None:
        """The user was logged out: the connection is closed, the token void, the session store empty.

        The reason is a ``logout()``, or the service no longer knows the auth token and the login has no ``refresh``.
        """

    def logout_failure(self, error: CometChatException, /) -> None:
        """A logout failed; the call itself raised the same error, and the user is still logged in.

        :param error: the reason.
        """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            login_success: Callable[[models.User], object] = ...,
            login_failure: Callable[[CometChatException], object] = ...,
            logout_success: Callable[[], object] = ...,
            logout_failure: Callable[[CometChatException], object] = ...,
        ) -> None: ...


class UserListener(_Listener):
    """Gets the presence of the users that ``subscription_type`` selects."""

    def on_user_online(self, user: models.User, /) -> None:
        """A user came online. ``user.status`` is ``"online"``."""

    def on_user_offline(self, user: models.User, /) -> None:
        """A user went offline. ``user.status`` is ``"offline"``; ``user.last_active_at`` is the time."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_user_online: Callable[[models.User], object] = ...,
            on_user_offline: Callable[[models.User], object] = ...,
        ) -> None: ...


class GroupListener(_Listener):
    """Gets the changes of members in the logged-in user's groups.

    A user or group is None if the service did not name it.
    """

    def on_group_member_joined(
        self, action: models.Action, joined_user: Optional[models.User], joined_group: Optional[models.Group], /
    ) -> None:
        """A user joined a group."""

    def on_group_member_left(
        self, action: models.Action, left_user: Optional[models.User], left_group: Optional[models.Group], /
    ) -> None:
        """A user left a group."""

    def on_group_member_kicked(
        self,
        action: models.Action,
        kicked_user: Optional[models.User],
        kicked_by: Optional[models.User],
        kicked_from: Optional[models.Group],
        /,
    ) -> None:
        """A user was removed from a group, and may join again."""

    def on_group_member_banned(
        self,
        action: models.Action,
        banned_user: Optional[models.User],
        banned_by: Optional[models.User],
        banned_from: Optional[models.Group],
        /,
    ) -> None:
        """A user was removed from a group, and may not join again."""

    def on_group_member_unbanned(
        self,
        action: models.Action,
        unbanned_user: Optional[models.User],
        unbanned_by: Optional[models.User],
        unbanned_from: Optional[models.Group],
        /,
    ) -> None:
        """A user may join a group again."""

    def on_group_member_scope_changed(
        self,
        action: models.Action,
        updated_by: Optional[models.User],
        updated_user: Optional[models.User],
        scope_changed_to: Optional[str],
        scope_changed_from: Optional[str],
        group: Optional[models.Group],
        /,
    ) -> None:
        """A member's scope changed: ``"admin"``, ``"moderator"`` or ``"participant"``."""

    def on_member_added_to_group(
        self,
        action: models.Action,
        added_by: Optional[models.User],
        user_added: Optional[models.User],
        added_to: Optional[models.Group],
        /,
    ) -> None:
        """A user made another user a member."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_group_member_joined: Callable[
                [models.Action, Optional[models.User], Optional[models.Group]], object
            ] = ...,
            on_group_member_left: Callable[
                [models.Action, Optional[models.User], Optional[models.Group]], object
            ] = ...,
            on_group_member_kicked: Callable[
                [models.Action, Optional[models.User], Optional[models.User], Optional[models.Group]], object
            ] = ...,
            on_group_member_banned: Callable[
                [models.Action, Optional[models.User], Optional[models.User], Optional[models.Group]], object
            ] = ...,
            on_group_member_unbanned: Callable[
                [models.Action, Optional[models.User], Optional[models.User], Optional[models.Group]], object
            ] = ...,
            on_group_member_scope_changed: Callable[
                [
                    models.Action,
                    Optional[models.User],
                    Optional[models.User],
                    Optional[str],
                    Optional[str],
                    Optional[models.Group],
                ],
                object,
            ] = ...,
            on_member_added_to_group: Callable[
                [models.Action, Optional[models.User], Optional[models.User], Optional[models.Group]], object
            ] = ...,
        ) -> None: ...


class MessageListener(_Listener):
    """Gets messages, receipts, reactions and typing indicators, except those that this connection sent itself."""

    def on_text_message_received(self, message: models.TextMessage, /) -> None:
        """A text message."""

    def on_media_message_received(self, message: models.MediaMessage, /) -> None:
        """An image, video, audio or file message."""

    def on_custom_message_received(self, message: models.CustomMessage, /) -> None:
        """A message of the app's own kind."""

    def on_interactive_message_received(self, message: models.InteractiveMessage, /) -> None:
        """A form or a card with buttons."""

    def on_card_message_received(self, message: models.CardMessage, /) -> None:
        """A card."""

    def on_ai_assistant_message_received(self, message: models.AIAssistantMessage, /) -> None:
        """An AI assistant's answer, once it is complete."""

    def on_ai_tool_result_received(self, message: models.AIToolResultMessage, /) -> None:
        """A tool returned a result to an AI assistant."""

    def on_ai_tool_arguments_received(self, message: models.AIToolArgumentMessage, /) -> None:
        """An AI assistant calls tools; the message has their arguments."""

    def on_other_message_received(self, message: models.BaseMessage, /) -> None:
        """A stored message of a kind that this SDK does not know: see its ``category``, ``type`` and ``raw``."""

    def on_typing_started(self, typing_indicator: models.TypingIndicator, /) -> None:
        """A user started typing."""

    def on_typing_ended(self, typing_indicator: models.TypingIndicator, /) -> None:
        """A user stopped typing."""

    def on_messages_delivered(self, message_receipt: models.MessageReceipt, /) -> None:
        """The messages up to this one were delivered."""

    def on_messages_delivered_to_all(self, message_receipt: models.MessageReceipt, /) -> None:
        """The messages up to this one were delivered to all members of the group.

        Calls :meth:`on_messages_delivered` unless you override it. ``receipt_type`` tells the two apart.
        """
        self.on_messages_delivered(message_receipt)

    def on_messages_read(self, message_receipt: models.MessageReceipt, /) -> None:
        """The messages up to this one were read."""

    def on_messages_read_by_all(self, message_receipt: models.MessageReceipt, /) -> None:
        """The messages up to this one were read by all members of the group.

        Calls :meth:`on_messages_read` unless you override it. ``receipt_type`` tells the two apart.
        """
        self.on_messages_read(message_receipt)

    def on_message_edited(self, message: models.BaseMessage, /) -> None:
        """A message was edited. ``message`` is its new form."""

    def on_message_deleted(self, message: models.BaseMessage, /) -> None:
        """A message was deleted."""

    def on_message_moderated(self, message: models.BaseMessage, /) -> None:
        """The service moderated a message, possibly the user's own. See its ``moderation_status``."""

    def on_transient_message_received(self, message: models.TransientMessage, /) -> None:
        """A transient message arrived. The service does not store it."""

    def on_message_reaction_added(self, reaction_event: models.ReactionEvent, /) -> None:
        """A user reacted to a message."""

    def on_message_reaction_removed(self, reaction_event: models.ReactionEvent, /) -> None:
        """A user removed a reaction."""

    def on_interaction_goal_completed(self, interaction_receipt: models.InteractionReceipt, /) -> None:
        """A user completed the goal of an interactive message."""

    def on_message_pinned(self, message: models.BaseMessage, /) -> None:
        """A message was pinned to its conversation."""

    def on_message_unpinned(self, message: models.BaseMessage, /) -> None:
        """A message was unpinned."""

    def on_message_saved(self, message: models.BaseMessage, /) -> None:
        """The logged-in user saved a message, on another device."""

    def on_message_unsaved(self, message: models.BaseMessage, /) -> None:
        """The logged-in user unsaved a message, on another device."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_text_message_received: Callable[[models.TextMessage], object] = ...,
            on_media_message_received: Callable[[models.MediaMessage], object] = ...,
            on_custom_message_received: Callable[[models.CustomMessage], object] = ...,
            on_interactive_message_received: Callable[[models.InteractiveMessage], object] = ...,
            on_card_message_received: Callable[[models.CardMessage], object] = ...,
            on_ai_assistant_message_received: Callable[[models.AIAssistantMessage], object] = ...,
            on_ai_tool_result_received: Callable[[models.AIToolResultMessage], object] = ...,
            on_ai_tool_arguments_received: Callable[[models.AIToolArgumentMessage], object] = ...,
            on_other_message_received: Callable[[models.BaseMessage], object] = ...,
            on_typing_started: Callable[[models.TypingIndicator], object] = ...,
            on_typing_ended: Callable[[models.TypingIndicator], object] = ...,
            on_messages_delivered: Callable[[models.MessageReceipt], object] = ...,
            on_messages_delivered_to_all: Callable[[models.MessageReceipt], object] = ...,
            on_messages_read: Callable[[models.MessageReceipt], object] = ...,
            on_messages_read_by_all: Callable[[models.MessageReceipt], object] = ...,
            on_message_edited: Callable[[models.BaseMessage], object] = ...,
            on_message_deleted: Callable[[models.BaseMessage], object] = ...,
            on_message_moderated: Callable[[models.BaseMessage], object] = ...,
            on_transient_message_received: Callable[[models.TransientMessage], object] = ...,
            on_message_reaction_added: Callable[[models.ReactionEvent], object] = ...,
            on_message_reaction_removed: Callable[[models.ReactionEvent], object] = ...,
            on_interaction_goal_completed: Callable[[models.InteractionReceipt], object] = ...,
            on_message_pinned: Callable[[models.BaseMessage], object] = ...,
            on_message_unpinned: Callable[[models.BaseMessage], object] = ...,
            on_message_saved: Callable[[models.BaseMessage], object] = ...,
            on_message_unsaved: Callable[[models.BaseMessage], object] = ...,
        ) -> None: ...


class CallListener(_Listener):
    """Gets call signalling. This SDK does not transport audio or video."""

    def on_incoming_call_received(self, call: models.Call, /) -> None:
        """A user calls."""

    def on_outgoing_call_accepted(self, call: models.Call, /) -> None:
        """A call was accepted. For a group call, only the caller gets this."""

    def on_outgoing_call_rejected(self, call: models.Call, /) -> None:
        """A call was rejected or not answered, or the other side is busy. In a group, only the caller gets this."""

    def on_incoming_call_cancelled(self, call: models.Call, /) -> None:
        """A call was cancelled, or another user's call was not answered in time."""

    def on_call_ended_message_received(self, call: models.Call, /) -> None:
        """A call has ended."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_incoming_call_received: Callable[[models.Call], object] = ...,
            on_outgoing_call_accepted: Callable[[models.Call], object] = ...,
            on_outgoing_call_rejected: Callable[[models.Call], object] = ...,
            on_incoming_call_cancelled: Callable[[models.Call], object] = ...,
            on_call_ended_message_received: Callable[[models.Call], object] = ...,
        ) -> None: ...


class AIAssistantListener(_Listener):
    """Gets the events of an AI assistant's run while it lasts. The complete answer arrives as a message."""

    def on_ai_assistant_event_received(self, event: models.AIAssistantEvent, /) -> None:
        """One event of the run: it started, a piece of text arrived, a tool was called, it finished, ..."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_ai_assistant_event_received: Callable[[models.AIAssistantEvent], object] = ...,
        ) -> None: ...


class ConversationListener(_Listener):
    """Gets changes of the logged-in user's list of conversations."""

    def on_conversation_pinned(self, conversation: models.Conversation, /) -> None:
        """A conversation was pinned."""

    def on_conversation_unpinned(self, conversation: models.Conversation, /) -> None:
        """A conversation was unpinned."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_conversation_pinned: Callable[[models.Conversation], object] = ...,
            on_conversation_unpinned: Callable[[models.Conversation], object] = ...,
        ) -> None: ...


class EventListener(_Listener):
    """Gets every frame of the server that has no callback of its own."""

    def on_event(self, type: str, body: Mapping[str, Any], /) -> None:
        """A frame arrived that has no other callback.

        :param type: the frame's type, such as ``"notification_feed_item"``.
        :param body: the frame's body, as the service sent it; empty if it is not a JSON object.
        """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_event: Callable[[str, Mapping[str, Any]], object] = ...,
        ) -> None: ...


class OutboxListener(_Listener):
    """Gets the results of ``Client.outbox``: one call for each item, in the process that sent it."""

    def on_delivered(self, message: Union[models.BaseMessage, models.MessageReceipt], /) -> None:
        """The service accepted an item.

        :param message: the message as the service stored it, with the ``muid`` that ``put()`` returned; or a receipt.
        """

    def on_failed(
        self, message: Union[models.BaseMessage, models.MessageReceipt], error: CometChatException, /
    ) -> None:
        """The service refused an item permanently. The item is now a dead letter; the others are still sent.

        :param message: the message that was put.
        :param error: the reason.
        """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            on_delivered: Callable[[Union[models.BaseMessage, models.MessageReceipt]], object] = ...,
            on_failed: Callable[[Union[models.BaseMessage, models.MessageReceipt], CometChatException], object] = ...,
        ) -> None: ...


#: The kinds of listeners that get missed messages. The client fetches them only if one of these is registered.
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

    The warning names methods that look like callbacks but are never called, which are usually typing errors, and
    callbacks that take other arguments.

    :param kind: a key of :data:`KINDS`. The listener is an instance of its class.
    :raises CometChatException: ``INVALID_LISTENER``: a callback is an async function, a generator function, or not
        callable.
    """
    cls = type(listener)
    known = _callbacks(listener)
    problems = []
    for name, method in sorted(known.items()):
        callback = getattr(listener, name)
        if not callable(callback):
            raise _invalid(f"a callable for {name}", type(callback).__name__)
        odd_function = deferred(callback)
        if odd_function is not None:
            raise _invalid(f"a plain function for {name}", f"{odd_function} (its code would not run)")
        if getattr(callback, "__func__", None) is not method:
            _, *given = inspect.signature(method).parameters
            why = misfit(callback, *given)
            if why is not None:
                problems.append(f"{cls.__name__}.{name}() can't be called with ({', '.join(given)}): {why}.")
    unknown = _uncalled(cls, kind, known)
    if unknown:
        names = ", ".join(f"{name}(){_suggestion(name, known)}" for name in unknown)
        problems.append(f"{cls.__name__} has methods that {KINDS[kind].__name__} never calls: {names}.")
    if not problems or cls in _warned:
        return None
    if cls is not KINDS[kind]:  # that class has other callbacks each time
        _warned.add(cls)
    return " ".join(problems)


def _callbacks(listener: object) -> Dict[str, Callable[..., object]]:
    """Return a listener's callbacks by name, for all kinds that it is an instance of: the methods that do nothing."""
    kinds = (kind for kind in KINDS.values() if isinstance(listener, kind))
    return {name: method for kind in kinds for name, method in vars(kind).items() if not name.startswith("_")}


def _uncalled(cls: type, kind: str, known: Mapping[str, object]) -> List[str]:
    # Not dir(listener): up to CPython 3.12 it gives the listener a dict, and then each of its attributes is slower.
    prefixes: Tuple[str, ...] = ("on_", "login_", "logout_") if kind == "login" else ("on_",)
    names = [name for name in dir(cls) if name not in known]
    found = (name for name in names if name.startswith(prefixes) or (not name.islower() and _renamed(name) in known))
    # Not getattr(), which would run the code of a property.
    return [name for name in found if _is_method(inspect.getattr_static(cls, name))]


def _renamed(name: str) -> str:
    """Return this SDK's form of the vendor's name of a callback, such as ``onConnected`` or ``inConnecting``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return re.sub("^in_", "on_", words)


def _is_method(value: object) -> bool:
    return callable(value) or isinstance(value, (classmethod, staticmethod))


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib  # here, since it is needed for errors only

    similar = difflib.get_close_matches(_renamed(name), sorted(known), 1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def _invalid(expected: str, got: str) -> CometChatException:
    return InvalidArgumentException(
        "INVALID_LISTENER", f"Invalid listener: expected {expected}, got {got}.", name="listener"
    )
