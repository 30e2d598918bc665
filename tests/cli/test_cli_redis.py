"""cometchat redis: the leader, the followers, and the positions of the streams."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, Dict, List

import pytest
from contrib.redis_support import DEADLINE, RedisServer
from integration.conftest import OTHER_UID, UID, Party, eventually

from cometchat import MessageListener
from cometchat.cli import main
from cometchat.sandbox import Sandbox

pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream, RedisStatusStore  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")


def test_it_shows_the_leader_and_the_positions_of_the_workers(
    sandbox: Sandbox, party: Party, redis_server: RedisServer, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has output for people, and as JSON. It ends with 1 if a line has no leader."""
    redis_server.flush()
    assert main(["redis", redis_server.url]) == 0
    assert "No process shares a connection" in capsys.readouterr().out
    me = f"{socket.gethostname()}:{os.getpid()}"
    client, _ = party.connected(status_store=RedisStatusStore(redis_server.url, lease=1))
    follower, _ = party.connected(status_store=RedisStatusStore(redis_server.url, lease=1))
    monkeypatch.setenv("COMETCHAT_REDIS_URL", redis_server.url)

    def shown(code: int = 0) -> Dict[str, Any]:
        assert main(["redis", "--json"]) == code
        (line,) = json.loads(capsys.readouterr().out)
        return dict(line)

    with EventStream(client, redis_server.url, group="bots") as stream:
        stream.listen(MessageListener())
        sandbox.send_message(OTHER_UID, UID, "text")
        group = {"name": "bots", "lag": 0, "pending": 0, "workers": 1, "lost": 0}
        assert eventually(lambda: shown()["groups"] == [group], DEADLINE), shown()
        expected = {"app_id": sandbox.app_id, "uid": UID, "leader": me, "status": "connected", "followers": 1}
        assert shown() == {**expected, "events": 1, "dead_letters": 0, "groups": [group]}
        assert main(["redis"]) == 0
        said = capsys.readouterr().out
        assert f"leader      {me} (connected)" in said and "bots: lag 0, 0 in work, 1 workers" in said
    for each in (client, follower):
        assert each.connection_info().leader == me
    assert sorted(str(each.stats().leads) for each in (client, follower)) == ["False", "True"]
    client.close()
    follower.close()
    assert eventually(lambda: shown(1)["leader"] is None, DEADLINE)
    assert main(["redis"]) == 1
    assert "no process holds the connection" in capsys.readouterr().out


def test_a_redis_that_is_away_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If Redis is away, the error is one line with the host, without the password."""
    monkeypatch.delenv("COMETCHAT_REDIS_URL", raising=False)
    assert main(["redis", "redis://:not-to-be-shown@127.0.0.1:1/0"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "127.0.0.1:1" in said and "not-to-be-shown" not in said
    assert main(["redis"]) == 2
    assert "COMETCHAT_REDIS_URL" in capsys.readouterr().err
    monkeypatch.setenv("COMETCHAT_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["redis", ""]) == 2  # of a script, from a variable that is not set


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk, as Linux imitates it")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_an_output_that_can_not_be_written_is_one_line(
    options: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk under the output is a failure with its reason, also while a line is written."""
    monkeypatch.setattr(RedisStatusStore, "lines", lambda store: [])
    with open("/dev/full", "w", buffering=1) as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        assert main(["redis", "redis://127.0.0.1:1", *options]) == 1
    assert capsys.readouterr().err == "cometchat redis: can't write the output: No space left on device\n"


def test_redis_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the redis package the command says what to install, as wrong usage."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("cometchat.contrib.redis")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["redis", "redis://localhost:6379/0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cometchat redis: cometchat.contrib.redis needs redis") and error.count("\n") == 1
    assert "pip install 'cometchat[redis]'" in error
