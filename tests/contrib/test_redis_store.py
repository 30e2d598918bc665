"""RedisStatusStore over a real Redis, with several clients in this process, each with a separate store."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
import time
from typing import Any, Iterator, List, Optional, Tuple

import pytest
import tenacity
from integration.conftest import LOSS, OTHER_UID, UID, Party, Recorder, eventually

from cometchat import AppSettings, Client, CometChatException, MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .redis_support import CONNECTED, DEADLINE, RedisServer, Texts

pytest.importorskip("redis")

from cometchat.contrib.redis import RedisStatusStore  # noqa: E402

PASSWORD = "not-to-be-shown"
LEASE = 1.0


@pytest.fixture(scope="module")
def locked_redis() -> Iterator[RedisServer]:
    server = RedisServer(PASSWORD)
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def empty(redis_server: RedisServer) -> None:
    redis_server.flush()


Pairs = List[Tuple[Client, Recorder]]


def share(together: Party, server: RedisServer, count: int, **overrides: Any) -> Pairs:
    """Return this many clients that share a connection, once all are connected."""
    return [
        together.connected(status_store=RedisStatusStore(server.url, lease=LEASE), **overrides) for _ in range(count)
    ]


def leader_of(clients: List[Tuple[Client, Recorder]]) -> Tuple[Client, Recorder]:
    (leader,) = [each for each in clients if each[0].settings.status_store.leads]  # type: ignore[union-attr]
    return leader


def sockets() -> int:
    psutil = pytest.importorskip("psutil")  # PyPy: no wheel
    return len(psutil.Process().net_connections(kind="tcp"))


def test_one_connection_and_each_role_disconnects_within_200_ms(
    sandbox: Sandbox, party: Party, redis_server: RedisServer
) -> None:
    """disconnect() of a follower and of the leader returns within 0.2 s, and the remaining follower takes over."""
    clients = share(party, redis_server, 3)
    assert sandbox.wait_for_connections(1, DEADLINE)
    leader = leader_of(clients)
    followers = [each for each in clients if each is not leader]
    for client, recorder in (followers[0], leader):
        began = time.monotonic()
        client.disconnect()
        assert time.monotonic() - began < 0.2
        assert client.get_connection_status() == "disconnected"
        recorder.wait_for_names("on_connecting", "on_connected", "on_disconnected")
    left, recorder = followers[1]
    recorder.wait_for("on_connected", 2)
    assert recorder.names == ["on_connecting", "on_connected", *LOSS]
    assert leader_of(clients)[0] is left
    assert sandbox.wait_for_connections(1)
    leader[0].connect(DEADLINE)
    assert leader_of(clients)[0] is left and sandbox.connections == 1


def test_a_followers_frames_are_confirmed_or_counted(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """Transient frames go out through the leader. Frames during an outage of Redis are lost, and counted."""
    clients = share(party, redis_server, 2)
    leader = leader_of(clients)
    ((follower, _),) = [each for each in clients if each is not leader]
    store: Any = follower.settings.status_store
    (seat,) = store._seats.values()
    for number in range(50):
        follower.send_transient_message(OTHER_UID, "user", {"number": number})
    assert eventually(lambda: seat.unconfirmed._numbered == 50 and not seat.unconfirmed._waiting, DEADLINE)
    assert store.frames_lost == 0
    redis_server.kill()
    try:
        for number in range(3):
            follower.send_transient_message(OTHER_UID, "user", {"number": number})
    finally:
        redis_server.start()
    assert eventually(lambda: store.frames_lost == 3, DEADLINE), store.frames_lost


def test_the_outbox_of_a_follower_keeps_a_receipt_until_the_service_has_it(
    sandbox: Sandbox, party: Party, redis_server: RedisServer
) -> None:
    """Redis is away, and with it the leader. The receipt is pending, and is sent once the connection is back."""
    clients = share(party, redis_server, 2)
    leader = leader_of(clients)
    ((follower, recorder),) = [each for each in clients if each is not leader]
    read: List[Any] = []
    with Client(sandbox.app_id, sandbox.settings()) as peer:
        peer.add_message_listener(MessageListener(on_messages_read=lambda receipt: read.append(receipt.message_id)))
        peer.login(OTHER_UID, sandbox.auth_key)
        peer.connect(DEADLINE)
        messages: List[TextMessage] = []
        follower.add_message_listener(MessageListener(on_text_message_received=messages.append))
        sandbox.send_message(OTHER_UID, UID, "text")
        assert eventually(lambda: messages, DEADLINE)
        redis_server.kill()
        try:
            recorder.wait_for("on_disconnected")
            follower.outbox.mark_as_read(messages[0])
            assert follower.outbox.pending() == 1 and read == []
        finally:
            redis_server.start()
        assert eventually(lambda: read == [messages[0].id], DEADLINE), read
        assert eventually(lambda: follower.outbox.pending() == 0, DEADLINE)


def test_logout_leaves_the_line(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """A leader that logs out, and logs in as another user, releases its lead, and gets one in the other line."""
    clients = share(party, redis_server, 2)
    leader, _ = leader_of(clients)
    (follower,) = [each for each in clients if each[0] is not leader]
    leader.logout()
    follower[1].wait_for("on_connected", 2)
    leader.login(OTHER_UID, sandbox.auth_key)
    leader.connect(DEADLINE)
    assert all(client.settings.status_store.leads for client, _ in clients)  # type: ignore[union-attr]
    assert sandbox.wait_for_connections(2, DEADLINE)


def test_another_login_without_logout_changes_the_line(
    sandbox: Sandbox, party: Party, redis_server: RedisServer
) -> None:
    """login() as another user on a follower takes it out of the old line, whose leader continues."""
    clients = share(party, redis_server, 2)
    leader, heard = leader_of(clients)
    (follower,) = [each for each in clients if each[0] is not leader]
    follower[0].login(OTHER_UID, sandbox.auth_key)
    follower[0].connect(DEADLINE)
    assert sandbox.wait_for_connections(2, DEADLINE)
    assert heard.names == ["on_connecting", "on_connected"]


def test_messages_of_a_failover_reach_all_members_once(
    sandbox: Sandbox, party: Party, redis_server: RedisServer
) -> None:
    """Five leaders in a row close while messages arrive. The remaining clients get each message once, in order."""
    clients = share(party, redis_server, 6)
    heard = {}
    for client, _ in clients:
        heard[client] = Texts()
        client.add_message_listener("texts", heard[client])
    sandbox.send_message(OTHER_UID, UID, "0")
    assert eventually(lambda: all(each.texts == ["0"] for each in heard.values()), DEADLINE)
    number = 0
    for _ in range(5):
        for number in range(number + 1, number + 11):
            sandbox.send_message(OTHER_UID, UID, str(number))
        leader = eventually(lambda: [each for each in clients if each[0].settings.status_store.leads], DEADLINE)[0]
        clients.remove(leader)
        leader[0].close()
        for number in range(number + 1, number + 11):
            sandbox.send_message(OTHER_UID, UID, str(number))
    ((last, _),) = clients
    assert eventually(lambda: len(heard[last].texts) >= number + 1, DEADLINE), heard[last].texts
    assert heard[last].texts == [str(each) for each in range(number + 1)]


def test_a_follower_that_missed_frames_asks_for_them(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """A follower's subscription is cut while messages arrive.

    Its connection breaks for a moment, and it misses none.
    """
    clients = share(party, redis_server, 2)
    leader, _ = leader_of(clients)
    (follower,) = [each for each in clients if each[0] is not leader]
    texts = Texts()
    follower[0].add_message_listener("texts", texts)
    # From the first message on, the follower knows its position. Before that, nothing counts as missed.
    sandbox.send_message(OTHER_UID, UID, "0")
    assert eventually(lambda: texts.texts == ["0"], DEADLINE)
    expected = ["0"]
    with redis_server.client() as redis:
        for number in range(1, 30):
            if number % 10 == 5:
                redis.client_kill_filter(_type="pubsub")
            expected.append(str(number))
            sandbox.send_message(OTHER_UID, UID, str(number))
    assert eventually(lambda: len(texts.texts) >= 30, DEADLINE), texts.texts
    assert texts.texts == expected
    assert sandbox.wait_for_connections(1, DEADLINE)


def test_refused_credentials_end_all_clients(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """The service refuses every jwt.

    Each client tries in its turn, reports the error and stops, and no client tries again.
    """
    clients = share(party, redis_server, 3)
    sandbox.refuse_auth("401")
    sandbox.drop_connections()
    for client, recorder in clients:
        assert eventually(lambda: not client.settings.status_store.leads, DEADLINE)  # type: ignore[union-attr]
        recorder.wait_until(lambda: recorder.names[-1] == "on_disconnected" and len(recorder.errors) > 1, "end")
        assert "WS_AUTH_FAIL" in [error.code for error in recorder.errors]
    ended = eventually(lambda: not _redis_threads(), DEADLINE)
    assert ended, _redis_threads()
    assert all(client.get_connection_status() == "disconnected" for client, _ in clients)
    attempts = len(sandbox.attempts)
    assert not sandbox.wait_for_attempts(attempts + 1, 0.5)


def _redis_threads() -> List[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("cometchat-redis")]


def test_while_the_service_is_down_only_one_tries(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """One client at a time makes attempts, at its backoff's rate. The lead moves from client to client."""
    wait = tenacity.wait_fixed(0.2)
    clients = share(party, redis_server, 3, reconnect_wait=wait)
    first, _ = leader_of(clients)
    sandbox.refuse_upgrades(503)
    attempts, began = len(sandbox.attempts), time.monotonic()
    sandbox.drop_connections()
    assert eventually(lambda: _leads_other(clients, first), DEADLINE)
    assert sandbox.wait_for_attempts(attempts + 8, DEADLINE)
    seconds = time.monotonic() - began
    assert len(sandbox.attempts) - attempts <= seconds / 0.2 + 3
    assert all(client.get_connection_status() == "connecting" for client, _ in clients)
    sandbox.heal()
    for client, recorder in clients:
        recorder.wait_for("on_connected", 2)
        assert {error.code for error in recorder.errors} == {"WS_CONNECTION_FAIL"}
    assert sandbox.wait_for_connections(1)


def _leads_other(clients: List[Tuple[Client, Recorder]], first: Client) -> bool:
    others = [client.settings.status_store for client, _ in clients if client is not first]
    return any(store.leads for store in others)  # type: ignore[union-attr]


def test_a_client_alone_goes_on_when_it_steps_down(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """One client, and a service that is down for more than three attempts: it connects once the service is back."""
    ((client, recorder),) = share(party, redis_server, 1)
    attempts = len(sandbox.attempts)
    sandbox.refuse_upgrades(503)
    sandbox.drop_connections()
    assert sandbox.wait_for_attempts(attempts + 5, DEADLINE)
    sandbox.heal()
    recorder.wait_for("on_connected", 2)
    assert {error.code for error in recorder.errors} == {"WS_CONNECTION_FAIL"}


def test_without_redis_from_the_start(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """A client that starts while Redis is away reports the reason, makes no connection, and ends at once.

    Later it connects.
    """
    redis_server.kill()
    try:
        store = RedisStatusStore(redis_server.url, lease=LEASE)
        client, recorder = party.joined(status_store=store)
        assert recorder.wait_for("on_connection_error").argument.code == "ERR_STATUS_STORE"
        with pytest.raises(CometChatException) as raised:
            client.connect(0.3)
        assert raised.value.code == "ERR_CONNECT_TIMEOUT"
        other, _ = party.joined(status_store=store)
        for act, most in ((other.disconnect, 0.2), (other.close, 0.5)):
            began = time.monotonic()
            act()
            assert time.monotonic() - began < most
        assert sandbox.attempts == []
    finally:
        redis_server.start()
    recorder.wait_for("on_connected")


def test_close_leaves_no_thread_and_no_socket(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """After close() of a leader and of a follower, all of their threads and sockets end soon."""
    before = sockets()
    for client, _ in share(party, redis_server, 2):
        client.close()
    assert eventually(lambda: _redis_threads() == [], DEADLINE), _redis_threads()
    assert sandbox.wait_for_connections(0)
    assert eventually(lambda: sockets() <= before, DEADLINE), (before, sockets())
    with redis_server.client() as redis:
        assert [key for key in redis.keys() if not key.endswith(b":token")] == []


def test_a_password_is_shown_nowhere(
    sandbox: Sandbox, party: Party, locked_redis: RedisServer, debug_log: pytest.LogCaptureFixture
) -> None:
    """A password works, and is in no repr, log line or error, also if it is wrong or Redis is away."""
    (each,) = share(party, locked_redis, 1)
    texts = [repr(each[0].settings), repr(each[0].settings.status_store)]
    locked_redis.kill()
    try:
        each[1].wait_for("on_connection_error")
    finally:
        locked_redis.start()
    wrong = RedisStatusStore(f"redis://:{PASSWORD}-wrong@127.0.0.1:{locked_redis.port}", lease=LEASE)
    _, recorder = party.joined(status_store=wrong)
    recorder.wait_for("on_connection_error")
    for error in (*each[1].errors, *recorder.errors):
        assert error.code == "ERR_STATUS_STORE"
        texts += [str(error), repr(error), repr(error.details), repr(error.__cause__), repr(vars(error))]
    texts += [repr(error.args) for error in recorder.errors] + [debug_log.text]
    assert not [text for text in texts if PASSWORD in text]


def test_redis_knows_which_process_leads(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """Redis has the leader's host and process id, and those of each connection, for an operator who looks for it."""
    ((client, _),) = share(party, redis_server, 1)
    store: Any = client.settings.status_store
    name = f"{socket.gethostname()}:{os.getpid()}"
    assert store.leader(sandbox.app_id, UID) == name
    assert store.leader(sandbox.app_id, "another-user") is None
    with redis_server.client() as redis:
        assert f"cometchat:{name}" in [each["name"] for each in redis.client_list()]
    client.disconnect()
    assert eventually(lambda: store.leader(sandbox.app_id, UID) is None, DEADLINE)
    with pytest.raises(CometChatException) as raised:
        RedisStatusStore("redis://127.0.0.1:1").leader(sandbox.app_id, UID)
    assert raised.value.code == "ERR_STATUS_STORE"


@pytest.mark.parametrize("host, shown", [("b\u00fcro 2", "b-ro-2"), ("\udcff", "-"), ("", "localhost")])
def test_any_name_of_the_host(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    """Redis accepts only some characters in the name of a connection."""
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    client = RedisStatusStore(redis_server.url).connection()
    try:
        assert client.client_getname() == f"cometchat:{shown}:{os.getpid()}"
    finally:
        client.close()


def test_other_prefixes_and_users_are_other_lines(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """Two prefixes on one Redis have a connection each."""
    for prefix in ("one", "two"):
        party.connected(status_store=RedisStatusStore(redis_server.url, lease=LEASE, prefix=prefix))
    assert sandbox.wait_for_connections(2, DEADLINE)


def test_a_prefix_may_have_the_characters_of_a_pattern(redis_server: RedisServer, party: Party) -> None:
    """The prefix is taken as it is in the search for lines too."""
    store = RedisStatusStore(redis_server.url, prefix="site [1]*?\\")
    party.connected(status_store=store)
    assert [line.uid for line in store.lines()] == [UID]
    assert RedisStatusStore(redis_server.url, prefix="site*").lines() == []


def test_values_of_another_program_hide_no_line(redis_server: RedisServer, party: Party) -> None:
    """A key of a wrong type, or with a long name, is not a reason to show nothing: the other lines are as before."""
    party.connected(status_store=RedisStatusStore(redis_server.url, lease=LEASE))
    store = RedisStatusStore(redis_server.url)
    (known,) = store.lines()
    with redis_server.client() as redis:
        for number, name in enumerate(("lock", "state", "events", "events:dead")):
            redis.set(f"cometchat:{{other:u{number}}}:token", "1")
            redis.hset(f"cometchat:{{other:u{number}}}:{name}", "a", "b")
        redis.xadd("cometchat:{other:u4}:events", {"a": "b"})
        redis.xgroup_create("cometchat:{other:u4}:events", "workers")
        redis.set("cometchat:{other:u4}:events:record", "text")
        # With a regular expression this took minutes.
        redis.set("cometchat:{" + ":" * 100_000 + "}" * 100_000, "1")
        redis.set("cometchat:{" + ":" * 100_000 + "}:token", "1")
    mine, *others = sorted(store.lines(), key=lambda line: line.app_id == "other")
    assert mine == known
    assert [line.uid for line in others] == ["u0", "u1", "u2", "u3", "u4"]
    assert all(line.leader is None and line.dead_letters == 0 for line in others)


def test_status_only(sandbox: Sandbox, party: Party, redis_server: RedisServer) -> None:
    """With events=False the followers have the status, and only the leader gets the messages."""
    heard = []
    for _ in range(2):
        client, _ = party.connected(status_store=RedisStatusStore(redis_server.url, lease=LEASE, events=False))
        heard.append(Texts())
        client.add_message_listener("texts", heard[-1])
    sandbox.send_message(OTHER_UID, UID, "text")
    assert eventually(lambda: any(each.texts for each in heard), DEADLINE)
    assert sorted(each.texts for each in heard) == [[], ["text"]]


def test_a_foreign_value_in_the_key_is_an_error_with_a_name(
    sandbox: Sandbox, party: Party, redis_server: RedisServer
) -> None:
    """Redis refuses the commands, since the key is a list. The error is ERR_STATUS_STORE, until the key is deleted."""
    with redis_server.client() as redis:
        redis.rpush(f"cometchat:{{{sandbox.app_id}:{UID}}}:lock", "not ours")
        client, recorder = party.joined(status_store=RedisStatusStore(redis_server.url, lease=LEASE))
        error = recorder.wait_for("on_connection_error").argument
        assert error.code == "ERR_STATUS_STORE" and "WRONGTYPE" in str(error.details)
        redis.flushall()
    recorder.wait_for("on_connected")


@pytest.mark.parametrize("token", ["not ours", "9" * 400, "1e17", "-inf", "nan", None])
def test_rubbish_in_place_of_the_newest_token_does_not_stop_a_leader(
    sandbox: Sandbox, party: Party, redis_server: RedisServer, token: Optional[str]
) -> None:
    """A token that is not a number, too large, or a list, does not count. The next lead has a new token."""
    key = f"cometchat:{{{sandbox.app_id}:{UID}}}:token"
    with redis_server.client() as redis:
        if token is None:
            redis.rpush(key, "not ours")
        else:
            redis.set(key, token)
        clients = share(party, redis_server, 2)
        assert abs(int(redis.get(key)) / 1000 - time.time()) < 60
    leader, _ = leader_of(clients)
    leader.close()
    ((_, recorder),) = [each for each in clients if each[0] is not leader]
    recorder.wait_for("on_connected", count=2)


def test_a_lock_that_lives_for_years_is_waited_for_a_minute_at_a_time(
    party: Party, sandbox: Sandbox, redis_server: RedisServer
) -> None:
    """A foreign lock with a lifetime of 300 years ends no thread. The client waits for it."""
    with redis_server.client() as redis:
        redis.set(f"cometchat:{{{sandbox.app_id}:{UID}}}:lock", "not ours", px=10**13)
        client, recorder = party.joined(status_store=RedisStatusStore(redis_server.url, lease=LEASE))
        assert not client.wait_for_status("connected", 1.5 * LEASE)
        assert recorder.errors == []
        assert len(_redis_threads()) == 2


def test_options_in_the_address_change_nothing_that_the_store_rests_on(
    party: Party, sandbox: Sandbox, redis_server: RedisServer
) -> None:
    """With a socket_timeout of a minute and decoded answers in the address, a stall is still noticed in time."""
    url = f"{redis_server.url}?socket_timeout=60&socket_connect_timeout=60&decode_responses=1&retry_on_timeout=1"
    clients = [party.connected(status_store=RedisStatusStore(url, lease=LEASE)) for _ in range(2)]
    redis_server.pause()
    try:
        for _, recorder in clients:
            recorder.wait_for("on_disconnected")
            assert recorder.errors[-1].code == "ERR_STATUS_STORE"
    finally:
        redis_server.go_on()


@pytest.mark.parametrize("rules", [["resetchannels"], ["allchannels", "-eval"]])
def test_missing_rights_of_a_user_of_redis_are_reported(
    party: Party, redis_server: RedisServer, rules: List[str]
) -> None:
    """By default, a user of Redis 7 may use no channel. The refusal is the reason, not the silence after it."""
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "few", "reset", "on", "nopass", "~*", "+@all", *rules)
        store = RedisStatusStore(redis_server.url.replace("redis://", "redis://few:any@"), lease=LEASE)
        _, recorder = party.joined(status_store=store)
        error = recorder.wait_for("on_connection_error").argument
        assert error.code == "ERR_STATUS_STORE" and "permissions" in str(error.details)
        redis.execute_command("ACL", "SETUSER", "few", "reset", "on", "nopass", "~*", "&*", "+@all")
        recorder.wait_for("on_connected")
        redis.execute_command("ACL", "DELUSER", "few")


def test_a_redis_that_refuses_is_asked_at_a_slower_and_slower_rate(party: Party, redis_server: RedisServer) -> None:
    """A replica accepts connections, but no writes.

    The client does not try 20 times a second. Later it uses the server at once.
    """
    ((_, recorder),) = share(party, redis_server, 1)
    with redis_server.client() as redis:
        redis.replicaof("127.0.0.1", "1")
        try:
            recorder.wait_for("on_disconnected")
            before = redis.info("stats")["total_connections_received"]
            eventually(lambda: False, 3)
            made = redis.info("stats")["total_connections_received"] - before
        finally:
            redis.replicaof("NO", "ONE")
    assert 0 < made < 30
    recorder.wait_for("on_connected", 2)


def test_rubbish_on_the_channels_changes_nothing(
    sandbox: Sandbox, party: Party, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """After any text on a line's channels, its clients stay connected, and nothing of it goes to the service."""
    clients = share(party, redis_server, 2)
    caplog.set_level(logging.ERROR)
    base = f"cometchat:{{{sandbox.app_id}:{UID}}}"
    rubbish = [b"", b"x", b"s", b"s[]", b"s{}", b"f", b"f1:2", b"fa:b:c", b'x{"token":1e999}', b"s" + b"[" * 100_000]
    frames = [b"{}", b"[", b'{"type":"auth","sender":"%s"}' % UID.encode(), b'{"type":"receipts","sender":"other"}']
    with redis_server.client() as redis:
        for message in rubbish:
            redis.publish(f"{base}:down", message)
        for message in [*frames, *(b"name:1:" + frame for frame in frames), *rubbish]:
            redis.publish(f"{base}:up", message)
    texts = Texts()
    clients[0][0].add_message_listener("texts", texts)
    sandbox.send_message(OTHER_UID, UID, "text")
    assert eventually(lambda: texts.texts == ["text"], DEADLINE)
    for client, recorder in clients:
        assert client.get_connection_status() == CONNECTED
        assert recorder.names == ["on_connecting", "on_connected"]
    assert caplog.records == []


async def new_client() -> Any:
    """Return a client, if it is awaited."""


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"url": 1}, "INVALID_URL"),
        ({"url": "http://:secret-word@host"}, "INVALID_URL"),
        ({"url": "redis://:secret-word@host:port"}, "INVALID_URL"),
        ({"url": ""}, "INVALID_URL"),
        ({"url": "redis://:secret-word@host?sockettimeout=3"}, "INVALID_URL"),
        ({"url": "rediss://:secret-word@host?ssl_cert_reqs=nothing"}, "INVALID_URL"),
        ({"url": object()}, "INVALID_URL"),
        ({"url": new_client}, "INVALID_URL"),
        ({"min_replicas": -1}, "INVALID_MIN_REPLICAS"),
        ({"min_replicas": True}, "INVALID_MIN_REPLICAS"),
        ({"lease": 0.5}, "INVALID_LEASE"),
        ({"lease": float("nan")}, "INVALID_LEASE"),
        ({"lease": True}, "INVALID_LEASE"),
        ({"lease": "3"}, "INVALID_LEASE"),
        ({"prefix": "a{b}"}, "INVALID_PREFIX"),
        ({"prefix": ""}, "INVALID_PREFIX"),
        ({"events": 1}, "INVALID_EVENTS"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, code: str) -> None:
    """Each wrong argument raises its code when the store is made, without the secrets in it."""
    with pytest.raises(CometChatException) as raised:
        RedisStatusStore(**{"url": "redis://localhost", **arguments})
    assert raised.value.code == code
    error: Any = raised.value
    while error is not None:
        assert "secret-word" not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert pickle.loads(pickle.dumps(raised.value)).code == code


@pytest.mark.parametrize("url", ["unix:///run/redis.sock?db=2", "redis://h?max_connections=1&health_check_interval=3"])
def test_options_of_the_redis_library_are_accepted(url: str) -> None:
    """The store checks them without connecting."""
    assert RedisStatusStore(url).address in ("/run/redis.sock", "h:6379")


def test_an_address_is_not_a_store() -> None:
    """A text in place of the store is refused, with the name of the setting."""
    with pytest.raises(CometChatException) as raised:
        AppSettings(region="us", status_store="redis://localhost")  # type: ignore[arg-type]
    assert raised.value.code == "INVALID_STATUS_STORE"
