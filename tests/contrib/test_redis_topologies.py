"""The sharing over Redis as operators run it: replicas, Sentinel, a Cluster, changing passwords."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from docs_blocks import block
from integration.conftest import OTHER_UID, UID, Party, eventually

from cometchat import CometChatException
from cometchat.cli import main
from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, RedisServer, Texts
from .support import free_port

redis = pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream, RedisStatusStore  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

LEASE = 1.0


@pytest.fixture
def servers() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers, and ends them."""
    made: List[RedisServer] = []

    def start(*options: str, password: str = "") -> RedisServer:
        made.append(RedisServer(password, *options))
        return made[-1]

    yield start
    for server in made:
        with contextlib.suppress(ProcessLookupError):
            server.kill()


def of_the_page(name: str, *changes: Tuple[str, str], **names: Any) -> Callable[[], Any]:
    """Return a function of docs/redis_operators.rst that makes a client, with the addresses of the tests."""
    program = block("redis_operators.rst", "python", "def sentinel", *changes)
    defined: Dict[str, Any] = dict(names)
    exec(program, defined)
    made: Callable[[], Any] = defined[name]
    return made


def replica_of(servers: Callable[..., RedisServer], primary: RedisServer) -> RedisServer:
    """Start a replica, and wait until it follows."""
    replica = servers("--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0")
    with primary.client() as client:
        assert eventually(lambda: client.info("replication").get("slave0", {}).get("state") == "online", DEADLINE)
    return replica


def test_a_password_that_changed_is_asked_for_again(party: Party, servers: Callable[..., RedisServer]) -> None:
    """The function is called for each connection, so that it gives the new password after a rotation."""
    server = servers("--repl-diskless-sync-delay", "0", password="first")
    password = ["first"]

    address = ('host="redis.example.com", ssl=True', f"port={server.port}, decode_responses=True, socket_timeout=60")
    store = RedisStatusStore(of_the_page("rotating", address, read_secret=lambda: password[0]), lease=LEASE)
    assert "rotating()" in repr(store) and "first" not in repr(store)
    client, recorder = party.connected(status_store=store)
    with redis.Redis(port=server.port, password="first") as admin:
        admin.config_set("requirepass", "second")
        password[0] = "second"
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.client_kill_filter(_type="pubsub")
    assert eventually(lambda: store.leads and not store.leader("other", "other"), DEADLINE)
    assert client.get_connection_status() == "connected"
    assert eventually(lambda: store.leader(client.app_id, UID), DEADLINE)


def test_the_documented_rights_are_enough_and_not_more(
    sandbox: Sandbox, party: Party, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Leading, following, a stream and the command work. A stolen password cannot end connections of others."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "redis_operators.rst").read_text("utf-8")
    rules = page.partition("ACL SETUSER cometchat ")[2].partition("\n\n")[0].replace(">PASSWORD", ">word").split()
    redis_server.flush()
    is_old = redis_server.version < (7,)  # it does not know the lag, CLIENT SETINFO and ACL DRYRUN
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "cometchat", *rules)
        admin.acl_log_reset()
        url = redis_server.url.replace("redis://", "redis://cometchat:word@")
        (client, _), (other, _) = [
            party.connected(status_store=RedisStatusStore(url, lease=LEASE, min_replicas=0)) for _ in range(2)
        ]
        with EventStream(client, url, maxlen=10) as stream:
            worker = Texts()
            stream.listen(worker)
            for number in range(250):
                sandbox.send_message(OTHER_UID, UID, str(number))
            assert eventually(lambda: len(worker.texts) == 250, DEADLINE)
            assert stream.lag() == (None if is_old else 0) and stream.lost() == 0
        with EventStream(client, url, group="bot", in_order=True) as stream:
            in_order = Texts()
            stream.listen(in_order)
            sandbox.send_message(OTHER_UID, UID, "last")
            assert eventually(lambda: "last" in in_order.texts, DEADLINE)
        assert main(["redis", url]) == 0
        other.send_transient_message(OTHER_UID, "user", {"x": 1})
        for seat in [*client.settings.status_store._seats.values(), *other.settings.status_store._seats.values()]:
            assert eventually(lambda: not seat.unconfirmed._waiting, DEADLINE) and not seat.unconfirmed.lost
        client.close()
        other.close()
        assert [entry for entry in admin.acl_log() if (is_old, entry["object"]) != (True, "client")] == []
        for command in () if is_old else ("WAIT 1 1", "XCLAIM cometchat:x workers me 0 0-1 JUSTID"):  # not needed above
            assert admin.execute_command("ACL", "DRYRUN", "cometchat", *command.split()) == b"OK"
        with redis.Redis.from_url(url) as stolen:
            for command in ("CLIENT KILL TYPE normal", "CLIENT PAUSE 1000", "FLUSHALL", "CONFIG GET *", "KEYS *"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    stolen.execute_command(*command.split())
        admin.execute_command("ACL", "DELUSER", "cometchat")


def test_a_function_has_to_give_a_new_client(redis_server: RedisServer) -> None:
    """The error says why: with one client for several threads of the store, one thread would close it under another."""
    client = redis.Redis.from_url(redis_server.url)
    store = RedisStatusStore(lambda: client, lease=LEASE)
    store.connection()
    with pytest.raises(CometChatException) as raised:
        store.connection()
    assert raised.value.code == "INVALID_URL" and "new client" in raised.value.message
    client.close()


def test_a_function_has_to_give_a_client_with_its_own_pool(redis_server: RedisServer) -> None:
    """The store sets the pool's timeouts, and closes its connections. In a shared pool these are the application's."""
    pool = redis.ConnectionPool.from_url(redis_server.url)
    store = RedisStatusStore(lambda: redis.Redis(connection_pool=pool), lease=LEASE)
    store.connection()
    with pytest.raises(CometChatException) as raised:
        store.connection()
    assert raised.value.code == "INVALID_URL" and "its own pool" in raised.value.message
    pool.disconnect()


@pytest.mark.parametrize("made", [None, object(), redis.asyncio.Redis()], ids=["nothing", "object", "asyncio"])
def test_a_function_that_gives_something_else_is_told_what_is_right(made: Any) -> None:
    """Nothing, another object and an asynchronous client are refused with the same words."""
    with pytest.raises(CometChatException) as raised:
        RedisStatusStore(lambda: made).connection()
    assert raised.value.code == "INVALID_URL" and "not of redis.asyncio" in raised.value.message


def test_sentinel_changes_the_primary(
    sandbox: Sandbox, party: Party, servers: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """The primary is killed. Sentinel names another one, and the clients and the stream continue there."""
    primary = servers()
    replica_of(servers, primary)
    port = free_port()
    told = tmp_path / "sentinel.conf"
    told.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor mine 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds mine 500\nsentinel failover-timeout mine 2000\n"
    )
    program = shutil.which("redis-server")
    assert program is not None
    process = subprocess.Popen([program, str(told), "--sentinel"], stdout=subprocess.DEVNULL, cwd=tmp_path)

    addresses = ('("sentinel-1", 26379), ("sentinel-2", 26379)', f'("127.0.0.1", {port})')
    make_client = of_the_page("sentinel", addresses, ("mymaster", "mine"))

    def knows_a_replica() -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port) as sentinel:
            return bool(sentinel.sentinel_slaves("mine"))
        return False

    try:
        assert eventually(knows_a_replica, DEADLINE)
        store = RedisStatusStore(make_client, lease=LEASE)
        client, recorder = party.connected(status_store=store)
        other_store = RedisStatusStore(make_client, lease=LEASE)
        other, _ = party.connected(status_store=other_store)
        with EventStream(client, store) as stream, EventStream(other, other_store):  # which adds events if it leads
            worker = Texts()
            stream.listen(worker)
            sandbox.send_message(OTHER_UID, UID, "before")
            assert eventually(lambda: worker.texts == ["before"], DEADLINE)
            primary.kill()
            recorder.wait_for("on_disconnected")
            recorder.wait_for("on_connected", 2)
            assert other.wait_for_status("connected", DEADLINE)
            sandbox.send_message(OTHER_UID, UID, "after")
            assert eventually(lambda: "after" in worker.texts, DEADLINE)
            assert sandbox.wait_for_connections(1, DEADLINE)
    finally:
        process.kill()
        process.wait(DEADLINE)


@pytest.fixture
def cluster(servers: Callable[..., RedisServer], tmp_path: Path) -> List[RedisServer]:
    """A cluster of three nodes."""
    program = shutil.which("redis-cli")
    if program is None:
        pytest.skip("redis-cli is not installed (Debian: apt-get install redis-tools)")
    if servers().version < (7,):
        pytest.skip("Redis has no option for the port of a cluster's bus before 7.0")
    nodes = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        nodes.append(servers("--cluster-enabled", "yes", "--dir", str(folder), "--cluster-port", str(free_port())))
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    subprocess.run(
        [program, "--cluster", "create", *addresses, "--cluster-yes"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=DEADLINE,
    )

    def is_up() -> bool:
        return all(redis.Redis(port=node.port).cluster("INFO")["cluster_state"] == "ok" for node in nodes)

    assert eventually(is_up, DEADLINE)
    return nodes


def test_a_cluster(sandbox: Sandbox, party: Party, cluster: List[RedisServer]) -> None:
    """A line's keys are on one node. Two clients share a connection, and a stream hands out each event once."""

    make_client = of_the_page("cluster", ('"redis.example.com", port=6379', f'"127.0.0.1", port={cluster[0].port}'))
    stores = [RedisStatusStore(make_client, lease=30.0) for _ in range(2)]  # the leader stays, on a busy machine too
    (client, _), (other, _) = [party.connected(status_store=store) for store in stores]
    assert sandbox.wait_for_connections(1, DEADLINE)
    follower, own = (other, stores[1]) if stores[0].leads else (client, stores[0])
    worker = Texts()
    follower.add_message_listener(worker)
    with EventStream(client, stores[0]) as stream, EventStream(other, stores[1]) as second:
        shared = Texts()
        stream.listen(shared)
        second.listen(shared)
        for number in range(50):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert eventually(lambda: len(shared.texts) >= 50 and len(worker.texts) == 50, DEADLINE), shared.texts
        assert sorted(shared.texts, key=int) == [str(number) for number in range(50)]
        assert stream.lost() == 0
        (line,) = stores[0].lines()
        assert (line.status, line.followers, line.groups[0].lag) == ("connected", 1, 0)
    follower.send_transient_message(OTHER_UID, "user", {"x": 1})
    (seat,) = own._seats.values()
    assert eventually(lambda: seat.unconfirmed._numbered == 1 and not seat.unconfirmed._waiting, DEADLINE)
    assert own.frames_lost == 0


def test_the_address_of_a_cluster_is_refused_by_name(party: Party, cluster: List[RedisServer]) -> None:
    """A plain client gets MOVED, which means nothing to readers who do not know Clusters."""
    errors = []
    for node in cluster:
        _, recorder = party.joined(status_store=RedisStatusStore(f"redis://127.0.0.1:{node.port}", lease=LEASE))
        errors.append(recorder)
        if any(each.errors for each in errors):
            break
        eventually(lambda: bool(recorder.errors), 2.0)
    messages = [error.message for recorder in errors for error in recorder.errors]
    assert messages and "This is a Redis Cluster" in messages[0], messages


def test_the_lines_of_one_node_of_a_cluster_are_no_answer(
    cluster: List[RedisServer], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its keys are on another node. The command must not say that no process shares a connection."""
    for node in cluster:
        assert main(["redis", f"redis://127.0.0.1:{node.port}"]) == 1
        assert "This is a Redis Cluster" in capsys.readouterr().err


def test_a_cluster_that_is_down_is_an_outage(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """A RedisCluster that can't be created raises an error of its own kind. The SDK logs it without a traceback."""
    caplog.set_level("INFO", "cometchat.redis")
    store = RedisStatusStore(lambda: redis.RedisCluster(host="127.0.0.1", port=free_port()), lease=LEASE)
    client, recorder = party.joined(status_store=store)
    client.connect(0)
    assert recorder.wait_for("on_connection_error").argument.code == "ERR_STATUS_STORE"
    with EventStream(client, store) as stream:
        worker = Texts()
        stream.listen(worker)
        assert eventually(lambda: "The stream of events can't be read" in caplog.text, DEADLINE)
        assert eventually(lambda: "can't be put into the stream" in caplog.text, DEADLINE)
        for question in (lambda: store.leader("app", UID), store.lines, stream.lag, stream.lost):
            with pytest.raises(CometChatException) as raised:
                question()
            assert raised.value.code == "ERR_STATUS_STORE"
    assert "Unexpected" not in caplog.text


def test_a_leader_with_too_few_replicas_gives_up(
    sandbox: Sandbox, party: Party, servers: Callable[..., RedisServer]
) -> None:
    """As in a partition, the primary's data is not on a replica, so that another primary would not know it."""
    primary = servers()
    replica = replica_of(servers, primary)
    store = RedisStatusStore(primary.url, lease=LEASE, min_replicas=1)
    client, recorder = party.connected(status_store=store)
    assert store.leads
    replica.pause()
    try:
        recorder.wait_for("on_disconnected")
        assert recorder.errors[-1].code == "ERR_STATUS_STORE"
        assert not store.leads and eventually(lambda: sandbox.connections == 0, DEADLINE)
    finally:
        replica.go_on()
    recorder.wait_for("on_connected", 2)


def test_min_replicas_to_write_ends_the_lead_of_a_partition(
    sandbox: Sandbox, party: Party, servers: Callable[..., RedisServer]
) -> None:
    """Redis's own setting: a primary whose replica does not answer gives no lock."""
    primary = servers("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")
    replica = replica_of(servers, primary)
    store = RedisStatusStore(primary.url, lease=LEASE)
    client, recorder = party.connected(status_store=store)
    replica.pause()
    try:
        recorder.wait_for("on_disconnected")
        # The lease may end in this process before Redis has refused to renew it.
        assert eventually(lambda: any("NOREPLICAS" in str(error.details) for error in recorder.errors))
        assert not store.leads
    finally:
        replica.go_on()
    recorder.wait_for("on_connected", 2)
