"""Listeners that send Django signals, on the client's dispatcher thread."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from django.db import close_old_connections
from django.dispatch import Signal

from cometchat import (
    Action,
    AIAssistantEvent,
    AIAssistantListener,
    BaseMessage,
    Call,
    CallListener,
    Client,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    Conversation,
    ConversationListener,
    EventListener,
    GroupListener,
    LoginListener,
    MessageListener,
    MessageReceipt,
    ReactionEvent,
    TransientMessage,
    TypingIndicator,
    User,
    UserListener,
)

from . import signals

#: The id of the registrations.
LISTENER_ID = "cometchat.django.signals"


def register(client: Client) -> None:
    """Start to send the signals for a client."""
    client.add_connection_listener(LISTENER_ID, _Connection(client))
    client.add_login_listener(LISTENER_ID, _Login(client))
    client.add_message_listener(LISTENER_ID, _Messages(client))
    if client.settings.subscription_type != "NONE":  # otherwise no presence arrives, and the client warns
        client.add_user_listener(LISTENER_ID, _Users(client))
    client.add_group_listener(LISTENER_ID, _Groups(client))
    client.add_call_listener(LISTENER_ID, _Calls(client))
    client.add_ai_assistant_listener(LISTENER_ID, _Assistants(client))
    client.add_conversation_listener(LISTENER_ID, _Conversations(client))
    client.add_event_listener(LISTENER_ID, _Events(client))


def send(signal: Signal, sender: type, client: Client, **arguments: Any) -> None:
    """Call the receivers. If one raises, ``django.dispatch`` logs it, and the others are still called."""
    if not signal.has_listeners(sender):
        return
    close_old_connections()
    try:
        signal.send_robust(sender, client=client, **arguments)
    finally:
        close_old_connections()


class _Sends:
    def __init__(self, client: Client) -> None:
        self._client = client

    def _send(self, signal: Signal, **arguments: Any) -> None:
        send(signal, Client, self._client, **arguments)

    def _send_message(self, signal: Signal, message: BaseMessage, **arguments: Any) -> None:
        send(signal, type(message), self._client, message=message, **arguments)


class _Connection(_Sends, ConnectionListener):
    def on_connecting(self) -> None:
        self._send(signals.connection_status_changed, status=CometChatWSState.CONNECTING)

    def on_connected(self) -> None:
        self._send(signals.connection_status_changed, status=CometChatWSState.CONNECTED)

    def on_feature_throttled(self) -> None:
        self._send(signals.connection_status_changed, status=CometChatWSState.FEATURE_THROTTLED)

    def on_disconnected(self) -> None:
        self._send(signals.connection_status_changed, status=CometChatWSState.DISCONNECTED)

    def on_connection_error(self, error: CometChatException) -> None:
        self._send(signals.connection_error, error=error)


class _Login(_Sends, LoginListener):
    def login_success(self, user: User) -> None:
        self._send(signals.logged_in, user=user)

    def login_failure(self, error: CometChatException) -> None:
        self._send(signals.login_failed, error=error)


class _Users(_Sends, UserListener):
    def on_user_online(self, user: User) -> None:
        self._send(signals.presence_changed, user=user, online=True)

    def on_user_offline(self, user: User) -> None:
        self._send(signals.presence_changed, user=user, online=False)


class _Messages(_Sends, MessageListener):
    def _received(self, message: BaseMessage) -> None:
        self._send_message(signals.message_received, message)

    on_text_message_received = _received
    on_media_message_received = _received
    on_custom_message_received = _received
    on_interactive_message_received = _received
    on_card_message_received = _received
    on_ai_assistant_message_received = _received
    on_ai_tool_result_received = _received
    on_ai_tool_arguments_received = _received
    on_other_message_received = _received

    def on_message_edited(self, message: BaseMessage) -> None:
        self._send_message(signals.message_edited, message)

    def on_message_deleted(self, message: BaseMessage) -> None:
        self._send_message(signals.message_deleted, message)

    def on_message_moderated(self, message: BaseMessage) -> None:
        self._send_message(signals.message_moderated, message)

    def on_message_pinned(self, message: BaseMessage) -> None:
        self._send_message(signals.pin_changed, message, pinned=True)

    def on_message_unpinned(self, message: BaseMessage) -> None:
        self._send_message(signals.pin_changed, message, pinned=False)

    def on_message_saved(self, message: BaseMessage) -> None:
        self._send_message(signals.save_changed, message, saved=True)

    def on_message_unsaved(self, message: BaseMessage) -> None:
        self._send_message(signals.save_changed, message, saved=False)

    def on_transient_message_received(self, message: TransientMessage) -> None:
        self._send(signals.transient_message_received, message=message)

    def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
        self._send(signals.typing_changed, typing_indicator=typing_indicator, typing=True)

    def on_typing_ended(self, typing_indicator: TypingIndicator) -> None:
        self._send(signals.typing_changed, typing_indicator=typing_indicator, typing=False)

    def on_messages_delivered(self, message_receipt: MessageReceipt) -> None:
        self._send(signals.receipt_received, message_receipt=message_receipt, read=False)

    def on_messages_read(self, message_receipt: MessageReceipt) -> None:
        self._send(signals.receipt_received, message_receipt=message_receipt, read=True)

    def on_message_reaction_added(self, reaction_event: ReactionEvent) -> None:
        self._send(signals.reaction_changed, reaction_event=reaction_event, added=True)

    def on_message_reaction_removed(self, reaction_event: ReactionEvent) -> None:
        self._send(signals.reaction_changed, reaction_event=reaction_event, added=False)


def _group(name: str) -> Callable[..., None]:
    def method(self: _Groups, action: Action, *rest: Any) -> None:
        self._send(signals.group_changed, event=name, action=action)

    return method


class _Groups(_Sends, GroupListener):
    on_group_member_joined = _group("on_group_member_joined")
    on_group_member_left = _group("on_group_member_left")
    on_group_member_kicked = _group("on_group_member_kicked")
    on_group_member_banned = _group("on_group_member_banned")
    on_group_member_unbanned = _group("on_group_member_unbanned")
    on_group_member_scope_changed = _group("on_group_member_scope_changed")
    on_member_added_to_group = _group("on_member_added_to_group")


def _call(name: str) -> Callable[..., None]:
    def method(self: _Calls, call: Call) -> None:
        self._send(signals.call_changed, event=name, call=call)

    return method


class _Calls(_Sends, CallListener):
    on_incoming_call_received = _call("on_incoming_call_received")
    on_outgoing_call_accepted = _call("on_outgoing_call_accepted")
    on_outgoing_call_rejected = _call("on_outgoing_call_rejected")
    on_incoming_call_cancelled = _call("on_incoming_call_cancelled")
    on_call_ended_message_received = _call("on_call_ended_message_received")


class _Assistants(_Sends, AIAssistantListener):
    def on_ai_assistant_event_received(self, event: AIAssistantEvent) -> None:
        self._send(signals.ai_assistant_event_received, assistant_event=event)


class _Conversations(_Sends, ConversationListener):
    def on_conversation_pinned(self, conversation: Conversation) -> None:
        self._send(signals.conversation_pin_changed, conversation=conversation, pinned=True)

    def on_conversation_unpinned(self, conversation: Conversation) -> None:
        self._send(signals.conversation_pin_changed, conversation=conversation, pinned=False)


class _Events(_Sends, EventListener):
    def on_event(self, type: str, body: Mapping[str, Any]) -> None:
        self._send(signals.event_received, type=type, body=body)
