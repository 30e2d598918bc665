"""The shape oracle: every answer and frame of the sandbox against the hand-written table of the service's shapes."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Set, Tuple

from rows import each_row
from sandbox import shapes_table

A, B, C = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"

#: By the type of a frame: the kind of its body. The kind of a message depends on its content.
FRAMES = {
    "typing_indicator": "typing",
    "transient_message": "transient",
    "receipts": "receipt",
    "presence": "presence",
    "reaction": "reaction_event",
    "interaction_completed": "interaction_event",
    "streamed_message": "stream_event",
    "message_pin": "pin_event",
    "message_save": "pin_event",
    "conversation_pin": "conversation_pin_event",
}
ENVELOPE = {"appId", "receiver", "receiverType", "deviceId", "sender", "type", "body"}

#: Fields of the table that the sandbox does not send.
NEVER_SENT = {("socket_user", "deactivatedAt")}


class Oracle:
    """Checks objects, and records which fields of the table it has seen."""

    def __init__(self) -> None:
        self.wrong: List[str] = []
        self.seen: Set[Tuple[str, str]] = set()

    def check(self, kind: str, value: Any) -> None:
        self.wrong += shapes_table.problems(kind, value)
        self._see(kind, value)

    def frame(self, frame: Mapping[str, Any]) -> None:
        kind, body = frame["type"], frame["body"]
        extra = {"messageSender"} if kind in ("receipts", "interaction_completed") else set()
        if set(frame) != ENVELOPE | extra:
            self.wrong.append(f"{kind}: the envelope has {sorted(frame)}")
        if kind in ("message", "on_moderation_status_changed"):
            self.check(shapes_table.kind_of_message(body), body)
        else:
            self.check(FRAMES[kind], body)

    def _see(self, kind: str, value: Any) -> None:
        if not isinstance(value, dict):
            return
        for field in shapes_table.fields(kind):
            if field.name in value:
                self.seen.add((kind, field.name))
                self._see_type(field.type, value[field.name])

    def _see_type(self, written: str, value: Any) -> None:
        if written[0] in "[{":
            for each in value if isinstance(value, list) else value.values():
                self._see_type(written[1:-1], each)
        elif written == "entity":
            self._see(value["entityType"], value["entity"])
        elif written == "any_message":
            self._see(shapes_table.kind_of_message(value), value)
        elif written in shapes_table.KINDS:
            self._see(written, value)


@each_row("kind", shapes_table.KINDS)
def test_the_table_holds_for_itself(kind: str) -> None:
    """A sample of each kind fits the table. One without a required field, or with an unknown one, does not."""
    sample = shapes_table.sample(kind)
    assert shapes_table.problems(kind, sample) == []
    assert shapes_table.problems(kind, {**sample, "unheardOf": 1}) == [f"{kind}.unheardOf is not in the table"]
    for field in shapes_table.fields(kind):
        rest = {name: value for name, value in sample.items() if name != field.name}
        assert bool(shapes_table.problems(kind, rest)) == field.required
        assert field.name == "quotedMessage" or shapes_table.problems(kind, {**sample, field.name: object()})


def test_every_answer_and_frame_has_the_shapes_of_the_service(client, make_client, sandbox) -> None:
    """The answers and frames for actions of users and of the sandbox have the shapes of the table, field by field."""
    oracle = Oracle()
    tokens = {uid: sandbox.auth_token(uid) for uid in (A, B, C)}

    def say(uid: str, method: str, path: str, body: Any = None) -> Any:
        answer = client.call(method, path, headers={"authToken": tokens[uid], "resource": "X"}, body=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()["data"]

    def one(kind: str, uid: str, method: str, path: str, body: Any = None) -> Any:
        data = say(uid, method, path, body)
        oracle.check(kind, data)
        return data

    def each(kind: str, uid: str, path: str) -> None:
        found = say(uid, "GET", path)
        assert found, path
        for value in found:
            oracle.check(kind, value)

    user = {"metadata": {"a": 1}, "tags": ["t"], "avatar": "https://a", "link": "https://l", "statusMessage": "busy"}
    say(B, "PUT", "/me", user)
    sockets = [make_client(sandbox).connect(uid) for uid in (A, B, C)]
    sandbox.enhance_receipts()

    group: Dict[str, Any] = {"guid": "g", "name": "G", "type": "public", "icon": "https://i", "description": "d"}
    group.update(metadata={}, tags=["t"])
    one("group", A, "POST", "/groups", {**group, "members": {"participants": [B]}})
    one("group_action", C, "POST", "/groups/g/members")
    for path in ("/users?withTags=1", "/groups/g/members"):
        each("user", A, path)
    each("group", B, "/groups?withTags=1")
    one("user", A, "GET", f"/users/{B}")
    say(A, "PUT", f"/groups/g/members/{C}", {"scope": "moderator"})
    say(A, "POST", f"/groups/g/bannedusers/{C}")
    each("user", A, "/groups/g/bannedusers")
    one("group", C, "GET", "/groups/g")
    say(A, "DELETE", f"/groups/g/bannedusers/{C}")

    def text_to(receiver: str, text: str, **more: Any) -> Dict[str, Any]:
        kind = "group" if receiver == "g" else "user"
        content = {"category": "message", "type": "text", "data": {"text": text, "metadata": {"a": 1}}}
        return {"receiver": receiver, "receiverType": kind, **content, **more}

    first = one("message", A, "POST", "/messages", text_to(B, f"Hello <@uid:{B}>", muid="m", tags=["t"]))["id"]
    reply = one("message", B, "POST", f"/messages/{first}/thread", text_to(A, "reply"))["id"]
    sandbox.react(reply, A, "x")
    one("message", B, "POST", "/messages", text_to(A, "quote", quotedMessageId=first))
    grouped = one("message", A, "POST", "/messages", text_to("g", "Hello"))["id"]
    one("message", B, "POST", f"/messages/{first}/reactions/x")
    each("reaction", A, f"/messages/{first}/reactions")
    one("message", A, "POST", f"/messages/{first}/pin")
    one("message", A, "POST", f"/messages/{first}/save")
    say(B, "POST", f"/users/{A}/conversation/delivered", {"messageId": first})
    say(B, "POST", f"/users/{A}/conversation/read", {"messageId": first})
    say(B, "POST", "/groups/g/conversation/read", {"messageId": grouped})
    say(B, "PATCH", f"/messages/{first}/interacted", {"interactions": ["button"]})
    sandbox.moderate(first, "approved")
    one("message", A, "GET", f"/messages/{first}?withThreadSubscribed=true")
    one("message", B, "GET", f"/messages/{first}")
    one("conversation", A, "PUT", "/groups/g/conversation", {"tags": ["work"]})
    one("message_action", A, "PUT", f"/messages/{first}", {"data": {"text": "edited"}})
    one("message_action", A, "DELETE", f"/messages/{first}")

    attachment = {**shapes_table.sample("attachment"), "size": 5}
    media = {"url": "https://m", "attachments": [attachment], "caption": "c"}
    sandbox.send_message(A, B, type="image", data=media)
    custom = ("customData", "subType", "updateConversation", "sendNotification")
    interactive = ("interactiveData", "interactionGoal", "interactions", "allowSenderInteraction")
    data = shapes_table.sample("message_data")
    sandbox.send_message(A, B, category="custom", type="x", data={name: data[name] for name in custom})
    sandbox.send_message(A, B, category="interactive", type="form", data={name: data[name] for name in interactive})
    sandbox.send_card(A, B, {"fallbackText": "f"}, "preview")
    agentic = ("runId", "threadId", "toolCallId", "toolCalls", "elements")
    sandbox.send_agentic(A, B, "tool-arguments", **{name: data[name] for name in agentic})
    sandbox.stream(C, B, "One two three")
    event = {name: value for name, value in shapes_table.sample("stream_data").items() if name != "timestamp"}
    sandbox.stream_event(C, B, "tool_call_start", parent_id=first, **event)
    sandbox.pin_conversation(B, A)
    sandbox.typing(A, B)
    sandbox.presence(C, False)
    sender = make_client(sandbox)
    socket = sender.connect(A)
    sender.send(socket, sender.frame("transient_message", A, B, {"data": {"like": 1}}))
    assert sandbox.wait_for_frame(lambda frame: frame.get("type") == "transient_message")

    session = say(A, "POST", "/calls", {"receiver": B, "receiverType": "user", "type": "audio", "muid": "c"})
    session_id = session["data"]["entities"]["on"]["entity"]["sessionid"]
    for status in ("ongoing", "ended"):
        one("call_message", B, "PUT", f"/calls/{session_id}", {"status": status})

    for uid in (A, B):
        for found in say(uid, "GET", "/messages?affix=append&per_page=100"):
            oracle.check(shapes_table.kind_of_message(found), found)
        each("conversation", uid, "/conversations")
    each("conversation", B, "/conversations?conversationType=group")
    say(B, "POST", "/blockedusers", {"blockedUids": [C]})
    each("user", B, "/blockedusers")
    one("user", C, "GET", f"/users/{B}")
    refused = client.call("GET", "/messages?affix=sideways", headers={"authToken": tokens[A]}).json()
    oracle.check("error", refused["error"])
    back_end = {"apiKey": sandbox.api_key}
    client.call("DELETE", "/users", headers=back_end, body={"uidsToDeactivate": [C]})
    (deactivated,) = client.call("GET", "/users?onlyDeactivated=1", headers=back_end).json()["data"]
    oracle.check("user", deactivated)

    for socket in sockets:
        socket.send(json.dumps({"action": "ping", "ack": "true"}))
        for frame in iter(lambda: client.receive(socket), {"action": "pong"}):
            oracle.frame(frame)

    assert oracle.wrong == []
    table = {(kind, field.name) for kind in shapes_table.KINDS for field in shapes_table.fields(kind)}
    assert table - oracle.seen == NEVER_SENT
