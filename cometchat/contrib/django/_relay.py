"""Listeners that send Django signals, on the client's dispatcher thread."""

from __future__ import annotations

from typing import Any, Callable

from django.dispatch import Signal

from cometchat import (
    AIAssistantListener,
    CallListener,
    Client,
    ConversationListener,
    EventListener,
    GroupListener,
    LoginListener,
    MessageListener,
    UserListener,
)
from cometchat._status_listener import status_listener

from . import signals
from ._database import renewed_connections

#: The id of the registrations.
LISTENER_ID = "cometchat.django.signals"

#: The callbacks for new messages.
_RECEIVED = (
    "on_text_message_received",
    "on_media_message_received",
    "on_custom_message_received",
    "on_interactive_message_received",
    "on_card_message_received",
    "on_ai_assistant_message_received",
    "on_ai_tool_result_received",
    "on_ai_tool_arguments_received",
    "on_other_message_received",
)


def register(client: Client) -> None:
    """Start to send the signals for a client."""

    def tell(signal: Signal, *names: str, **constants: Any) -> Callable[..., None]:
        """Return a callback that sends a signal. ``names`` are those of the callback's first arguments."""
        return lambda *values: send(signal, Client, client, **dict(zip(names, values)), **constants)

    def tell_each(cls: type, signal: Signal, name: str) -> Any:
        """Return a listener that sends one signal for all its callbacks, with the callback's name as ``event``."""
        return cls(**{each: tell(signal, name, event=each) for each in vars(cls) if each.startswith("on_")})

    status, error = tell(signals.connection_status_changed, "status"), tell(signals.connection_error, "error")
    client.add_connection_listener(LISTENER_ID, status_listener(status, error))
    success, failure = tell(signals.logged_in, "user"), tell(signals.login_failed, "error")
    client.add_login_listener(LISTENER_ID, LoginListener(login_success=success, login_failure=failure))
    client.add_message_listener(LISTENER_ID, _message_listener(client, tell))
    if client.settings.subscription_type != "NONE":  # otherwise no presence arrives, and the client warns
        online = tell(signals.presence_changed, "user", online=True)
        offline = tell(signals.presence_changed, "user", online=False)
        client.add_user_listener(LISTENER_ID, UserListener(on_user_online=online, on_user_offline=offline))
    client.add_group_listener(LISTENER_ID, tell_each(GroupListener, signals.group_changed, "action"))
    client.add_call_listener(LISTENER_ID, tell_each(CallListener, signals.call_changed, "call"))
    assistant = tell(signals.ai_assistant_event_received, "assistant_event")
    client.add_ai_assistant_listener(LISTENER_ID, AIAssistantListener(on_ai_assistant_event_received=assistant))
    pinned = tell(signals.conversation_pin_changed, "conversation", pinned=True)
    unpinned = tell(signals.conversation_pin_changed, "conversation", pinned=False)
    conversation = ConversationListener(on_conversation_pinned=pinned, on_conversation_unpinned=unpinned)
    client.add_conversation_listener(LISTENER_ID, conversation)
    client.add_event_listener(LISTENER_ID, EventListener(on_event=tell(signals.event_received, "type", "body")))


def _message_listener(client: Client, tell: Callable[..., Callable[..., None]]) -> MessageListener:
    def tell_message(signal: Signal, **constants: Any) -> Callable[[Any], None]:
        return lambda message: send(signal, type(message), client, message=message, **constants)

    return MessageListener(
        **dict.fromkeys(_RECEIVED, tell_message(signals.message_received)),
        on_message_edited=tell_message(signals.message_edited),
        on_message_deleted=tell_message(signals.message_deleted),
        on_message_moderated=tell_message(signals.message_moderated),
        on_message_pinned=tell_message(signals.pin_changed, pinned=True),
        on_message_unpinned=tell_message(signals.pin_changed, pinned=False),
        on_message_saved=tell_message(signals.save_changed, saved=True),
        on_message_unsaved=tell_message(signals.save_changed, saved=False),
        on_transient_message_received=tell(signals.transient_message_received, "message"),
        on_typing_started=tell(signals.typing_changed, "typing_indicator", typing=True),
        on_typing_ended=tell(signals.typing_changed, "typing_indicator", typing=False),
        on_messages_delivered=tell(signals.receipt_received, "message_receipt", read=False),
        on_messages_read=tell(signals.receipt_received, "message_receipt", read=True),
        on_message_reaction_added=tell(signals.reaction_changed, "reaction_event", added=True),
        on_message_reaction_removed=tell(signals.reaction_changed, "reaction_event", added=False),
    )


def send(signal: Signal, sender: type, client: Client, **arguments: Any) -> None:
    """Call the receivers. If one raises, ``django.dispatch`` logs it, and the others are still called."""
    if signal.has_listeners(sender):
        with renewed_connections():
            signal.send_robust(sender, client=client, **arguments)
