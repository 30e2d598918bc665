"""Groups: create, join, leave, kick, ban; by hand over HTTP and sockets, and played by the sandbox."""

from __future__ import annotations

import time

import pytest
from sandbox_answers import code

A, B, C, D, E = (f"cometchat-uid-{number}" for number in range(1, 6))
NO_CLEARANCE = (403, "ERR_GROUP_NO_SCOPE_CLEARANCE")
NO_MODERATOR = (403, "ERR_GROUP_NO_MODERATOR_SCOPE")


@pytest.fixture
def group(sandbox):
    """The group g: A owns it, B is a moderator, C a participant."""
    sandbox.add_group("g", "The Group", owner=A, members=[B, C])
    sandbox.change_scope("g", B, "moderator")
    return "g"


def scope(sandbox, uid, guid="g"):
    """Return a user's scope, or None if the user is not in the group."""
    member = sandbox._chat.groups.get(guid).members.get(uid)
    return None if member is None else member.scope


def entities(body):
    """Return the ids in the entities of an action, by role."""
    found = body["data"]["entities"]
    return {role: entity["entity"].get("uid", entity["entity"].get("guid")) for role, entity in found.items()}


def test_a_group_is_made_and_shown(sandbox, say):
    """POST /groups returns the group, with its maker as owner and admin. GET shows each user their own membership."""
    body = {"guid": "g", "name": "G", "type": "public", "icon": "https://example.org/i.png"}
    made = say(A, "POST", "/groups", body).json()["data"]
    assert (made["guid"], made["name"], made["type"], made["owner"]) == ("g", "G", "public", A)
    assert (made["scope"], made["hasJoined"], made["membersCount"]) == ("admin", True, 1)
    assert made["conversationId"] == "group_g" and made["icon"] == body["icon"]
    assert abs(made["joinedAt"] - time.time()) < 5
    assert say(A, "GET", "/v3.0/groups/g").json()["data"] == made
    other = say(B, "GET", "/groups/g").json()["data"]
    assert other["hasJoined"] is False and "scope" not in other
    assert sandbox.messages == []


def test_a_group_is_made_with_members(client, sandbox, say):
    """POST /groups with lists of members adds or bans them without notifying them, and returns each result."""
    socket = client.connect(B, presence=None)
    lists = {"moderators": [B], "participants": [C, "nobody"], "usersToBan": [D]}
    body = {"guid": "g", "name": "G", "type": "public", "members": lists}
    made = say(A, "POST", "/groups", body).json()["data"]
    assert made["membersCount"] == 3 and made["scope"] == "admin"
    members = made["members"]["data"]
    assert members["moderators"] == {B: {"success": True}} and members["usersToBan"] == {D: {"success": True}}
    assert members["participants"][C] == {"success": True} and members["admins"] == {}
    assert members["participants"]["nobody"]["error"]["code"] == "ERR_UID_NOT_FOUND"
    assert (scope(sandbox, B), scope(sandbox, C)) == ("moderator", "participant")
    assert code(say(D, "POST", "/groups/g/members")) == (403, "ERR_BANNED_GROUPMEMBER")
    assert sandbox.messages == [] and client.hears_nothing(socket, 0.05)
    empty = {"guid": "h", "name": "H", "type": "public", "members": {}}
    assert say(A, "POST", "/groups", empty).json()["data"]["members"]
    assert "members" not in say(A, "GET", "/groups/g").json()["data"]


@pytest.mark.parametrize("members", [[], "all", {"admins": B}, {"participants": [1]}])
def test_wrong_lists_of_members_make_no_group(say, members):
    """A group whose members are not lists of uids is refused as a whole."""
    body = {"guid": "g", "name": "G", "type": "public", "members": members}
    assert code(say(A, "POST", "/groups", body)) == (400, "ERR_BAD_REQUEST")
    assert code(say(A, "GET", "/groups/g")) == (404, "ERR_GUID_NOT_FOUND")


def test_a_group_is_made_with_25_members(sandbox, say):
    """A group with more first members than the service accepts in one call is refused."""
    members = {"participants": [f"u{number}" for number in range(26)]}
    refused = say(A, "POST", "/groups", {"guid": "g", "name": "G", "type": "public", "members": members})
    assert code(refused) == (400, "ERR_BAD_REQUEST") and "members" in refused.json()["error"]["details"]


def test_the_groups_are_listed(sandbox, say, group):
    """GET /groups returns the groups that a user may see, page by page; on request by name, and only joined ones."""
    sandbox.add_group("open", "Open", owner=A)
    sandbox.add_group("private", "Private", type="private", owner=A, members=[C])

    def listed(uid, query=""):
        answer = say(uid, "GET", f"/groups{query}").json()
        return [found["guid"] for found in answer["data"]], answer["meta"]["pagination"]

    assert listed(C)[0] == ["g", "open", "private"] and listed(E)[0] == ["g", "open"]
    assert listed(C, "?hasJoined=1")[0] == ["g", "private"] and listed(C, "?searchKey=OPE")[0] == ["open"]
    pages = {"total": 3, "count": 1, "per_page": 2, "current_page": 2, "total_pages": 2}
    assert listed(C, "?per_page=2&page=2") == (["private"], pages)
    assert listed(C, "?per_page=2&page=3")[0] == []
    first, *_ = say(B, "GET", "/groups").json()["data"]
    assert (first["hasJoined"], first["scope"]) == (True, "moderator")


def test_a_group_is_changed(sandbox, say, group):
    """A moderator changes fields of a group with PUT. The password is in no answer, and is valid from then on."""
    changes = {"guid": "other", "name": "New", "type": "password", "password": "sesame", "metadata": {"a": 1}}
    answer = say(B, "PUT", "/groups/g", {**changes, "membersCount": 77, "owner": B})
    changed = answer.json()["data"]
    assert (changed["guid"], changed["name"], changed["type"], changed["metadata"]) == (
        "g",
        "New",
        "password",
        {"a": 1},
    )
    assert (changed["membersCount"], changed["owner"]) == (3, A) and "sesame" not in answer.text
    assert say(A, "PUT", "/groups/g", {"icon": "i"}).json()["data"]["metadata"] == {"a": 1}
    assert code(say(D, "POST", "/groups/g/members")) == (400, "ERR_EMPTY_GROUP_PASS")
    assert say(D, "POST", "/groups/g/members", {"password": "sesame"}).status_code == 200


def test_a_group_is_handed_over(sandbox, say, group):
    """PATCH of the owner makes another member owner and admin. The old owner may leave then."""
    answer = say(A, "PATCH", "/groups/g/owner", {"owner": C}).json()["data"]
    assert answer["message"] and scope(sandbox, C) == "admin"
    assert say(A, "GET", "/groups/g").json()["data"]["owner"] == C
    assert say(A, "DELETE", "/groups/g/members").status_code == 200


def test_a_group_is_deleted(sandbox, say, group):
    """A deleted group is not found. Its messages stay in the history."""
    sandbox.send_message(A, "g", "hello", receiver_type="group")
    assert say(A, "DELETE", "/groups/g").json()["data"]["success"] is True
    assert code(say(A, "GET", "/groups/g")) == (404, "ERR_GUID_NOT_FOUND")
    assert say(C, "GET", "/messages").json()["data"][-1]["data"]["text"] == "hello"
    assert say(A, "POST", "/groups", {"guid": "g", "name": "Again", "type": "public"}).status_code == 200


def test_the_banned_are_listed(sandbox, say, group):
    """GET of the banned users returns each with its time, to moderators only."""
    sandbox.ban("g", D)
    answer = say(B, "GET", "/groups/g/bannedusers?per_page=10&page=1").json()
    assert [(user["uid"], user["scope"]) for user in answer["data"]] == [(D, "participant")]
    assert abs(answer["data"][0]["bannedAt"] - time.time()) < 5
    assert answer["meta"]["pagination"]["total_pages"] == 1
    assert code(say(C, "GET", "/groups/g/bannedusers")) == NO_MODERATOR


@pytest.mark.parametrize(
    "body, status, error",
    [
        (None, 400, "ERR_BAD_REQUEST"),
        ({"name": "G", "type": "public"}, 400, "ERR_BAD_REQUEST"),
        ({"guid": "x", "name": "G"}, 400, "ERR_BAD_REQUEST"),
        ({"guid": "x", "name": "", "type": "public"}, 400, "ERR_BAD_REQUEST"),
        ({"guid": "x", "name": "G", "type": "secret"}, 400, "ERR_BAD_REQUEST"),
        ({"guid": "x", "name": "G", "type": "password"}, 400, "ERR_EMPTY_GROUP_PASS"),
        ({"guid": "g", "name": "G", "type": "public"}, 409, "ERR_GUID_ALREADY_EXISTS"),
    ],
)
def test_an_incomplete_group_is_refused(say, group, body, status, error):
    """A group is refused without guid, name or type, or without its password, and with a wrong type or an old guid."""
    assert code(say(A, "POST", "/groups", body)) == (status, error)


def test_a_join_is_an_action(client, sandbox, say, group):
    """A user who joins is a participant. The action reaches the members, but not the joining socket."""
    member, outsider = client.connect(A, presence=None), client.connect(E, presence=None)
    joining = client.connect(D, presence=None)
    before = len(sandbox.messages)
    answer = say(D, "POST", "/groups/g/members")
    frame = client.receive(member)
    assert (frame["type"], frame["sender"], frame["receiver"], frame["receiverType"]) == ("message", D, "g", "group")
    body = frame["body"]
    assert sandbox.messages[before:] == [body] and body["id"] == str(before + 1)
    assert answer.json()["data"] == body and scope(sandbox, D) == "participant"
    assert body["data"]["entities"]["for"]["entity"]["membersCount"] == 4
    assert (body["category"], body["type"], body["conversationId"]) == ("action", "groupMember", "group_g")
    assert body["data"]["action"] == "joined" and entities(body) == {"by": D, "for": "g"}
    assert body["data"]["entities"]["for"]["entity"]["name"] == "The Group"
    assert [entity["entityType"] for entity in body["data"]["entities"].values()] == ["user", "group"]
    assert client.hears_nothing(joining, 0.05) and client.hears_nothing(outsider, 0.05)
    assert code(say(D, "POST", "/groups/g/members")) == (409, "ERR_ALREADY_JOINED")


def test_a_group_may_want_a_password(sandbox, say):
    """A group of the type password checks the password, which is in no answer."""
    sandbox.add_group("p", "P", type="password", password="sesame")
    for body in (None, {}):
        assert code(say(B, "POST", "/groups/p/members", body)) == (400, "ERR_EMPTY_GROUP_PASS")
    wrong = {"password": "wrong"}
    assert code(say(B, "POST", "/groups/p/members", wrong)) == (403, "ERR_WRONG_GROUP_PASS")
    answer = say(B, "POST", "/groups/p/members", {"password": "sesame"})
    assert answer.status_code == 200 and "sesame" not in answer.text + str(sandbox.messages)


def test_a_private_group_is_joined_by_invitation(sandbox, say):
    """A user outside of a private group cannot join it or see it. A member adds others."""
    sandbox.add_group("p", "P", type="private")
    assert code(say(B, "POST", "/groups/p/members")) == (403, "ERR_GROUP_JOIN_NOT_ALLOWED")
    assert code(say(B, "GET", "/groups/p")) == (403, "ERR_GROUP_NOT_JOINED")
    assert say(A, "PUT", "/groups/p/members", {"participants": [B]}).status_code == 200
    assert say(B, "GET", "/groups/p").json()["data"]["hasJoined"] is True


def test_a_leave_is_an_action(client, make_client, sandbox, say, group):
    """The members and the user's other sockets are notified of a leave. The owner cannot leave."""
    another = make_client(sandbox)
    member, leaver, there = client.connect(A, presence=None), client.connect(C, presence=None), another.connect(C)
    assert say(C, "DELETE", "/groups/g/members").json()["data"]["success"] is True
    body = client.receive(member)["body"]
    assert body["data"]["action"] == "left" and entities(body) == {"by": C, "for": "g"}
    assert another.receive(there)["body"] == body
    assert scope(sandbox, C) is None and client.hears_nothing(leaver, 0.05)
    assert code(say(C, "DELETE", "/groups/g/members")) == (403, "ERR_GROUP_NOT_JOINED")
    assert code(say(A, "DELETE", "/groups/g/members")) == (403, "ERR_OWNER_EXIT_FORBIDDEN")


def test_kick_ban_and_unban_are_actions(client, sandbox, say, group):
    """Each reaches the members. A kick and a ban also reach the user concerned.

    A kicked user may join again, a banned one only after an unban.
    """
    member, concerned = client.connect(A, presence=None), client.connect(C, presence=None)

    def heard(action, by, *sockets):
        for socket in sockets:
            body = client.receive(socket)["body"]
            assert body == sandbox.messages[-1]
            assert body["data"]["action"] == action and body["sender"] == by
            assert entities(body) == {"by": by, "on": C, "for": "g"}

    kicked = say(B, "DELETE", f"/groups/g/members/{C}").json()["data"]
    assert kicked["success"] is True and kicked["message"]
    heard("kicked", B, member, concerned)
    sandbox.join("g", C)
    assert client.receive(member)["body"] == client.receive(concerned)["body"]
    assert say(B, "POST", f"/groups/g/bannedusers/{C}").json()["data"]["message"]
    heard("banned", B, member, concerned)
    assert scope(sandbox, C) is None
    assert code(say(C, "POST", "/groups/g/members")) == (403, "ERR_BANNED_GROUPMEMBER")
    assert say(C, "GET", "/groups/g").json()["data"]["isBanned"] is True
    assert "isBanned" not in say(A, "GET", "/groups/g").json()["data"]
    assert say(B, "DELETE", f"/groups/g/bannedusers/{C}").json()["data"]["message"]
    heard("unbanned", B, member)
    assert client.hears_nothing(concerned, 0.05)
    assert say(C, "GET", "/messages").json()["data"][-1]["data"]["action"] == "banned"
    assert say(C, "POST", "/groups/g/members").status_code == 200


def test_a_change_of_scope_is_an_action(client, sandbox, say, group):
    """PUT of a member changes their scope. The action has the old and the new one."""
    member = client.connect(C, presence=None)
    assert say(A, "PUT", f"/groups/g/members/{C}", {"scope": "admin"}).status_code == 200
    body = client.receive(member)["body"]
    assert body["data"]["action"] == "scopeChanged" and entities(body) == {"by": A, "on": C, "for": "g"}
    assert body["data"]["extras"] == {"scope": {"old": "participant", "new": "admin"}}
    assert scope(sandbox, C) == "admin"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_members_are_added_by_lists(client, sandbox, say, group, method):
    """Each user of each list is added with that scope, or banned, and has a separate action and result."""
    member = client.connect(C, presence=None)
    lists = {"admins": [D], "participants": [E, C, "nobody"], "usersToBan": [B]}
    answer = say(A, method, "/groups/g/members", lists).json()["data"]
    results = {**answer["admins"], **answer["usersToBan"], E: answer["participants"][E]}
    assert {uid: (result["success"], result["data"]["data"]["action"]) for uid, result in results.items()} == {
        D: (True, "added"),
        B: (True, "banned"),
        E: (True, "added"),
    }
    assert answer["moderators"] == {}
    assert answer["participants"][C]["error"]["code"] == "ERR_ALREADY_JOINED"
    assert answer["participants"]["nobody"]["error"]["code"] == "ERR_UID_NOT_FOUND"
    heard = [client.receive(member)["body"] for _ in range(3)]
    assert [(body["data"]["action"], body["data"]["entities"]["on"]["entity"]["uid"]) for body in heard] == [
        ("added", D),
        ("added", E),
        ("banned", B),
    ]
    assert (scope(sandbox, D), scope(sandbox, E), scope(sandbox, B)) == ("admin", "participant", None)


def test_the_members_are_listed(sandbox, say, group):
    """GET of the members returns each with their scope, to members only."""
    answer = say(C, "GET", "/groups/g/members?per_page=30&page=1").json()
    scopes = {member["uid"]: member["scope"] for member in answer["data"]}
    assert scopes == {A: "admin", B: "moderator", C: "participant"}
    assert answer["meta"]["pagination"]["total_pages"] == 1 and answer["meta"]["pagination"]["total"] == 3
    second = say(C, "GET", "/groups/g/members?per_page=2&page=2").json()
    assert [member["uid"] for member in second["data"]] == [C] and second["meta"]["pagination"]["total_pages"] == 2
    assert code(say(E, "GET", "/groups/g/members")) == (403, "ERR_GROUP_NOT_JOINED")


@pytest.mark.parametrize(
    "uid, method, path, body, refused",
    [
        (C, "DELETE", f"/members/{B}", None, NO_MODERATOR),
        (C, "POST", f"/bannedusers/{B}", None, NO_MODERATOR),
        (C, "DELETE", f"/bannedusers/{E}", None, NO_MODERATOR),
        (C, "PUT", f"/members/{B}", {"scope": "participant"}, NO_MODERATOR),
        (C, "POST", "/members", {"participants": [E]}, NO_MODERATOR),
        (B, "DELETE", f"/members/{A}", None, NO_CLEARANCE),
        (B, "DELETE", f"/members/{D}", None, NO_CLEARANCE),
        (B, "PUT", f"/members/{C}", {"scope": "admin"}, NO_CLEARANCE),
        (D, "DELETE", f"/members/{A}", None, NO_CLEARANCE),
        (B, "DELETE", f"/members/{B}", None, (403, "ERR_GROUP_NO_SELF_ACTION")),
        (E, "DELETE", f"/members/{C}", None, (403, "ERR_GROUP_NOT_JOINED")),
        (E, "POST", "/members", {"participants": [E]}, (403, "ERR_GROUP_NOT_JOINED")),
        (A, "DELETE", f"/members/{E}", None, (403, "ERR_NOT_A_MEMBER")),
        (A, "PUT", f"/members/{E}", {"scope": "admin"}, (403, "ERR_NOT_A_MEMBER")),
        (A, "PUT", f"/members/{C}", {"scope": "participant"}, (400, "ERR_SAME_SCOPE")),
        (A, "PUT", f"/members/{C}", {"scope": "king"}, (400, "ERR_BAD_REQUEST")),
        (A, "PUT", f"/members/{C}", None, (400, "ERR_BAD_REQUEST")),
        (A, "DELETE", f"/bannedusers/{C}", None, (400, "ERR_NOT_A_BANNED_USER")),
        (A, "DELETE", "/members/nobody", None, (404, "ERR_UID_NOT_FOUND")),
        (A, "POST", "/members", {"admins": "all"}, (400, "ERR_BAD_REQUEST")),
        (A, "POST", "/members", [], (400, "ERR_BAD_REQUEST")),
        (C, "PUT", "", {"name": "N"}, NO_MODERATOR),
        (E, "PUT", "", {"name": "N"}, (403, "ERR_GROUP_NOT_JOINED")),
        (A, "PUT", "", {"name": ""}, (400, "ERR_BAD_REQUEST")),
        (A, "PUT", "", {"type": "secret"}, (400, "ERR_BAD_REQUEST")),
        (A, "PUT", "", {"type": "password"}, (400, "ERR_EMPTY_GROUP_PASS")),
        (B, "DELETE", "", None, (403, "ERR_GROUP_NO_ADMIN_SCOPE")),
        (E, "DELETE", "", None, (403, "ERR_GROUP_NOT_JOINED")),
        (D, "PATCH", "/owner", {"owner": D}, (403, "ERR_GROUP_NOT_THE_OWNER")),
        (A, "PATCH", "/owner", {"owner": A}, (403, "ERR_GROUP_NO_SELF_ACTION")),
        (A, "PATCH", "/owner", {"owner": E}, (403, "ERR_NOT_A_MEMBER")),
        (A, "PATCH", "/owner", {"owner": "nobody"}, (404, "ERR_UID_NOT_FOUND")),
        (A, "PATCH", "/owner", None, (404, "ERR_UID_NOT_FOUND")),
    ],
)
def test_permissions(sandbox, say, group, uid, method, path, body, refused):
    """An admin acts on all but the owner, a moderator on participants. A refused action changes nothing."""
    sandbox.add_member("g", D, scope="admin")
    before = sandbox.messages
    assert code(say(uid, method, "/groups/g" + path, body)) == refused
    assert sandbox.messages == before
    assert (scope(sandbox, B), scope(sandbox, C), scope(sandbox, E)) == ("moderator", "participant", None)


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/groups/g"),
        ("GET", "/groups/g/members"),
        ("POST", "/groups/g/members"),
        ("DELETE", "/groups/g/members"),
        ("DELETE", f"/groups/g/members/{B}"),
        ("PUT", f"/groups/g/members/{B}"),
        ("POST", f"/groups/g/bannedusers/{B}"),
        ("DELETE", f"/groups/g/bannedusers/{B}"),
        ("GET", "/groups/g/bannedusers"),
        ("PUT", "/groups/g"),
        ("DELETE", "/groups/g"),
        ("PATCH", "/groups/g/owner"),
    ],
)
def test_every_call_wants_a_group_and_an_auth_token(client, sandbox, say, method, path):
    """For a missing group each call is 404, and without an auth token 401. A fault can be set on each."""
    assert code(say(A, method, path)) == (404, "ERR_GUID_NOT_FOUND")
    assert code(client.call(method, path)) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
    sandbox.fail_http(503, times=1, path="/groups/*")
    assert client.call(method, path).status_code == 503


# Played by the sandbox.


def test_group_actions_are_played(client, sandbox):
    """A member gets each action of these methods like those of the API. Without a name, the owner acts."""
    sandbox.add_group("g", "G", owner=A, members=[A, B, B])
    member = client.connect(B, presence=None)
    sandbox.join("g", C)
    sandbox.change_scope("g", C, "moderator")
    sandbox.add_member("g", D, by=C)
    sandbox.kick("g", D, by=C)
    sandbox.ban("g", D)
    sandbox.unban("g", D, by=C)
    sandbox.leave("g", C)
    heard = [client.receive(member)["body"] for _ in range(7)]
    assert [(body["data"]["action"], body["sender"]) for body in heard] == [
        ("joined", C),
        ("scopeChanged", A),
        ("added", C),
        ("kicked", C),
        ("banned", A),
        ("unbanned", C),
        ("left", C),
    ]
    assert heard == sandbox.messages


def test_join_needs_no_password(sandbox):
    """join() adds a user to a private group and to a group with a password."""
    sandbox.add_group("private", "P", type="private")
    sandbox.add_group("password", "P", type="password", password="sesame")
    for guid in ("private", "password"):
        sandbox.join(guid, B)
        assert scope(sandbox, B, guid) == "participant"


@pytest.mark.parametrize(
    "act, error, text",
    [
        (lambda sandbox: sandbox.add_group("g", "G"), ValueError, "ERR_GUID_ALREADY_EXISTS"),
        (lambda sandbox: sandbox.add_group("h", "H", owner="nobody"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.add_group("h", "H", members=["nobody"]), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.add_group("h", "H", type="password"), ValueError, "ERR_EMPTY_GROUP_PASS"),
        (lambda sandbox: sandbox.join("none", B), KeyError, "ERR_GUID_NOT_FOUND"),
        (lambda sandbox: sandbox.join("g", "nobody"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.join("g", B), ValueError, "ERR_ALREADY_JOINED"),
        (lambda sandbox: sandbox.leave("g", A), ValueError, "ERR_OWNER_EXIT_FORBIDDEN"),
        (lambda sandbox: sandbox.kick("g", B, by=C), ValueError, "ERR_GROUP_NO_MODERATOR_SCOPE"),
        (lambda sandbox: sandbox.ban("g", A, by=B), ValueError, "ERR_GROUP_NO_SCOPE_CLEARANCE"),
        (lambda sandbox: sandbox.unban("g", C), ValueError, "ERR_NOT_A_BANNED_USER"),
        (lambda sandbox: sandbox.change_scope("g", C, "king"), ValueError, "ERR_BAD_REQUEST"),
        (lambda sandbox: sandbox.add_member("g", D, by=B, scope="admin"), ValueError, "ERR_GROUP_NO_SCOPE_CLEARANCE"),
        (lambda sandbox: sandbox.add_member("g", C), ValueError, "ERR_ALREADY_JOINED"),
    ],
)
def test_an_impossible_act_raises(sandbox, group, act, error, text):
    """A missing object raises KeyError. An action that the service would refuse raises ValueError. Nothing changes."""
    stored = sandbox.messages
    with pytest.raises(error, match=text):
        act(sandbox)
    assert sandbox.messages == stored


def test_a_banned_user_can_not_be_added_or_banned_again(sandbox, group):
    """A ban holds against add_member() and join(), and exists once."""
    sandbox.ban("g", C)
    for act in (sandbox.add_member, sandbox.join):
        with pytest.raises(ValueError, match="ERR_BANNED_GROUPMEMBER"):
            act("g", C)
    with pytest.raises(ValueError, match="ERR_ALREADY_BANNED"):
        sandbox.ban("g", C)
