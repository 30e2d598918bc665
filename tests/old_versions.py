"""Data that earlier versions of the SDK have written. Made with these versions; only tokens and times are replaced.

Processes of several versions share these data in a deploy that replaces one process after the other, and after one that
is taken back. So a test of a new format is added here, and an old one stays.
"""

from __future__ import annotations

#: The file of ``FileSessionStore``, version 0.1.0. TOKEN is an auth token of the user.
SESSION = """\
{"format": 1, "app_id": "sandbox-app", "uid": "cometchat-uid-1", "auth_token": "TOKEN",
"device_id": "sandbox-app_04d7522b-576b-417f-95f7-b232f2829ffd_1796013251085",
"user": {"uid": "cometchat-uid-1", "name": "Andrew Joseph", "role": "default", "status": "available",
"hasBlockedMe": false, "blockedByMe": false, "fat": "fat-9b92d406c90375b580256e2182c3fc82"}}
"""

#: The file of ``outbox_path``, version 0.1.0. TIME is now, in Unix seconds.
OUTBOX = """
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, kind TEXT NOT NULL, muid TEXT NOT NULL,
    body TEXT NOT NULL, put_at REAL NOT NULL,
    failed_at REAL NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, details TEXT,
    UNIQUE (app_id, uid, muid)
);
INSERT INTO dead_letters VALUES(1,'sandbox-app','cometchat-uid-1','message','muid-0',
'{"receiver": "unknown", "receiverType": "user", "category": "message", "type": "text", "muid": "muid-0",
"data": {"resource": "PYTHON-0_1_0-13a70d2a-1796013251085", "text": "refused"}}',
TIME,TIME,'ERR_UID_NOT_FOUND','The user unknown does not exist.','{}');
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, kind TEXT NOT NULL, muid TEXT NOT NULL,
    body TEXT NOT NULL, put_at REAL NOT NULL,
    UNIQUE (app_id, uid, muid)
);
INSERT INTO items VALUES(2,'sandbox-app','cometchat-uid-1','message','muid-1',
'{"receiver": "cometchat-uid-2", "receiverType": "user", "category": "message", "type": "text", "muid": "muid-1",
"data": {"resource": "PYTHON-0_1_0-13a70d2a-1796013251085", "text": "first"}}',TIME);
INSERT INTO items VALUES(3,'sandbox-app','cometchat-uid-1','message','muid-2',
'{"receiver": "cometchat-uid-2", "receiverType": "user", "category": "custom", "type": "order", "muid": "muid-2",
"data": {"resource": "PYTHON-0_1_0-13a70d2a-1796013251085", "customData": {"items": [1]}, "subType": "new",
"metadata": {"k": ["v"]}}, "tags": ["t"]}',TIME);
INSERT INTO items VALUES(4,'sandbox-app','cometchat-uid-1','message','muid-3',
'{"receiver": "cometchat-uid-2", "receiverType": "user", "category": "message", "type": "text", "muid": "muid-3",
"data": {"resource": "PYTHON-0_1_0-13a70d2a-1796013251085", "text": "reply"}, "parentId": "1"}',TIME);
INSERT INTO items VALUES(5,'sandbox-app','cometchat-uid-1','receipt','read-c2557b4a-47c6-49a8-9e56-307606a0023a',
'{"uid": "cometchat-uid-1", "action": "read", "messageId": "1", "messageSender": "cometchat-uid-2",
"receiver": "cometchat-uid-2", "receiverType": "user"}',TIME);
"""

#: The end of the name of the lock file that lets one process send the items of ``OUTBOX``.
OUTBOX_LOCK = ".d542ec6d48b676b6.lock"

#: The file of ``inbox_path`` of 28 November 2026. Message 2 was the newest at the start, and 3 and 4 were handled.
INBOX = """
CREATE TABLE handled (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, message_id TEXT NOT NULL, position TEXT NOT NULL
);
INSERT INTO handled VALUES(1,'sandbox-app','cometchat-uid-1','3','3');
INSERT INTO handled VALUES(2,'sandbox-app','cometchat-uid-1','4','4');
CREATE TABLE resources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, resource TEXT NOT NULL, UNIQUE (app_id, uid, resource)
);
INSERT INTO resources VALUES(1,'sandbox-app','cometchat-uid-1','PYTHON-0_1_0-1818c554-1796013265637');
CREATE TABLE starts (
    app_id TEXT NOT NULL, uid TEXT NOT NULL, floor TEXT NOT NULL, PRIMARY KEY (app_id, uid)
);
INSERT INTO starts VALUES('sandbox-app','cometchat-uid-1','2');
"""

#: An event in the stream of ``EventStream``, of 28 November 2026, and the message in it, as the service sent it.
STREAM_EVENT = (
    b'["message", "on_custom_message_received", [["CustomMessage", {"id": "5",'
    b' "sender": ["User", {"uid": "u2", "metadata": {}, "tags": ["tuple", []], "raw": {}}],'
    b' "category": "custom", "type": "order", "mentions": ["tuple", []], "reactions": ["tuple", []], "metadata": {},'
    b' "tags": ["tuple", ["a"]], "data": {"customData": {"items": ["list", [1, ["list", ["two", ["list", []]]]]]}},'
    b' "raw": {"id": "5", "sender": "u2", "category": "custom", "type": "order",'
    b' "data": {"customData": {"items": ["list", [1, ["list", ["two", ["list", []]]]]]}}, "tags": ["list", ["a"]]},'
    b' "custom_data": {"items": ["list", [1, ["list", ["two", ["list", []]]]]]}}]]]'
)
STREAM_MESSAGE = {
    "id": "5",
    "sender": "u2",
    "category": "custom",
    "type": "order",
    "data": {"customData": {"items": [1, ["two", []]]}},
    "tags": ["a"],
}

#: Messages between processes over Redis, of 28 November 2026: a leader's state and frame, and a frame of a follower.
LEADER_STATE = (
    b's{"token": 1796000000123, "number": 7, "status": "connecting", "leader": "host:1", "failures": 2,'
    b' "error": {"code": "WS_CONNECTION_FAIL", "message": "lost", "details": "1006"}}'
)
LEADER_FRAME = b'f1796000000123:8:{"type":"x"}'
FOLLOWER_FRAME = b'name:3:{"t":1}'

#: The calls and callbacks of version 0.1.0, with the names of their parameters.
CALLS = """
AppSettings(region subscription_type roles auto_establish_socket_connection admin_host client_host connect_timeout
auth_timeout ping_interval pong_timeout reconnect_wait reconnect_stop settings_refresh_interval max_message_size
max_queued_events fetch_missed_messages connect_after_fork allow_insecure_socket proxies ca_certs session_store
outbox_path outbox_max_items)
CallListener.on_call_ended_message_received(call)
CallListener.on_incoming_call_cancelled(call)
CallListener.on_incoming_call_received(call)
CallListener.on_outgoing_call_accepted(call)
CallListener.on_outgoing_call_rejected(call)
Client(app_id settings)
Client.add_call_listener(listener_id listener)
Client.add_connection_listener(listener_id listener)
Client.add_group_listener(listener_id listener)
Client.add_login_listener(listener_id listener)
Client.add_message_listener(listener_id listener)
Client.add_outbox_listener(listener_id listener)
Client.add_user_listener(listener_id listener)
Client.close()
Client.connect(timeout)
Client.connection_info()
Client.connection_listener(listener)
Client.disconnect()
Client.end_typing(receiver_id receiver_type metadata)
Client.get_connection_status()
Client.get_logged_in_user()
Client.login(uid auth_key)
Client.login_with_auth_token(auth_token refresh)
Client.logout()
Client.mark_as_delivered(message)
Client.mark_as_read(message)
Client.ping(timeout)
Client.remove_call_listener(listener_id)
Client.remove_connection_listener(listener_id)
Client.remove_group_listener(listener_id)
Client.remove_login_listener(listener_id)
Client.remove_message_listener(listener_id)
Client.remove_outbox_listener(listener_id)
Client.remove_user_listener(listener_id)
Client.send_message(message)
Client.send_transient_message(receiver_id receiver_type data)
Client.start_typing(receiver_id receiver_type metadata)
Client.stats()
Client.wait_for_status(status timeout)
CometChatException(code message name details retry_after)
ConnectionListener.on_connected()
ConnectionListener.on_connecting()
ConnectionListener.on_connection_error(error)
ConnectionListener.on_disconnected()
ConnectionListener.on_feature_throttled()
FileSessionStore(path)
GroupListener.on_group_member_banned(action banned_user banned_by banned_from)
GroupListener.on_group_member_joined(action joined_user joined_group)
GroupListener.on_group_member_kicked(action kicked_user kicked_by kicked_from)
GroupListener.on_group_member_left(action left_user left_group)
GroupListener.on_group_member_scope_changed(action updated_by updated_user scope_changed_to scope_changed_from group)
GroupListener.on_group_member_unbanned(action unbanned_user unbanned_by unbanned_from)
GroupListener.on_member_added_to_group(action added_by user_added added_to)
LoginListener.login_failure(error)
LoginListener.login_success(user)
LoginListener.logout_failure(error)
LoginListener.logout_success()
MemorySessionStore()
MessageListener.on_card_message_received(message)
MessageListener.on_custom_message_received(message)
MessageListener.on_interaction_goal_completed(interaction_receipt)
MessageListener.on_interactive_message_received(message)
MessageListener.on_media_message_received(message)
MessageListener.on_message_deleted(message)
MessageListener.on_message_edited(message)
MessageListener.on_message_reaction_added(reaction_event)
MessageListener.on_message_reaction_removed(reaction_event)
MessageListener.on_messages_delivered(message_receipt)
MessageListener.on_messages_read(message_receipt)
MessageListener.on_text_message_received(message)
MessageListener.on_transient_message_received(message)
MessageListener.on_typing_ended(typing_indicator)
MessageListener.on_typing_started(typing_indicator)
Outbox.dead_letters()
Outbox.discard(muid)
Outbox.flush(timeout)
Outbox.mark_as_delivered(message)
Outbox.mark_as_read(message)
Outbox.pending()
Outbox.put(message)
Outbox.retry(muid)
OutboxListener.on_delivered(message)
OutboxListener.on_failed(message error)
RateLimitException(code message name details retry_after)
UserListener.on_user_offline(user)
UserListener.on_user_online(user)
"""
