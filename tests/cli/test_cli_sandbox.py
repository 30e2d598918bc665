"""sandbox: it serves in the foreground, and its printed lines can be used as they are."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import sys
from pathlib import Path
from typing import List

import pytest
from processes import Start

from cometchat.cli import _sandbox as command
from cometchat.cli import main
from cometchat.sandbox import SAMPLE, Sandbox, make_certificate


def _printed(process: object) -> List[str]:
    """Return its introduction, up to the snippet's last line."""
    lines = []
    while not lines or "get_connection_status" not in lines[-1]:
        lines.append(process.line())  # type: ignore[attr-defined]
    return lines


@pytest.mark.parametrize("options, signum", [([], signal.SIGINT), (["--tls"], signal.SIGTERM)], ids=["http", "https"])
def test_its_printed_lines_work(
    options: List[str],
    signum: signal.Signals,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The watch command, the shell lines and the Python program connect, and a signal ends the sandbox with 0."""
    serving = start("sandbox", *options)
    lines = _printed(serving)
    watch = next(line for line in lines if " watch " in line)
    watching = start.program([*shlex.split(watch), "--until", "connected", "--timeout", "15"])
    assert watching.end() == 0
    exports = " ".join(line.strip()[len("export ") :] for line in lines if line.startswith("  export "))
    send = shlex.split(next(line for line in lines if " send " in line))
    assert send[:3] == shlex.split(watch)[:3]
    with monkeypatch.context() as shell:
        for word in [*shlex.split(exports), f"XDG_STATE_HOME={tmp_path}"]:
            shell.setenv(*word.split("=", 1))
        assert main(send[3:]) == 0
        assert capsys.readouterr().out.startswith("id 1, muid ")
        assert main(["doctor"]) == 0  # a command that is not printed
    program = "\n".join(line[2:] for line in lines[lines.index("Or connect from Python:") + 2 :])
    connecting = start.program([sys.executable, "-c", program])
    assert connecting.line() == "connected"
    assert connecting.end() == 0
    serving.send(signum)
    assert serving.end() == 0
    assert serving.errors() == ""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_closed_terminal_ends_it(start: Start) -> None:
    """If its terminal is closed (SIGHUP), it ends with 0, and removes its certificate and key."""
    serving = start("sandbox", "--tls")
    certificate = Path(serving.line("  CA file    ").split()[-1])
    assert certificate.exists()
    assert serving.end(signal.SIGHUP) == 0
    assert not certificate.parent.exists()
    assert serving.errors() == ""


def test_it_serves_with_a_given_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sandbox serves with --certfile and --keyfile, and stops when serving ends."""
    certfile, keyfile = make_certificate(tmp_path)
    served: List[Sandbox] = []
    monkeypatch.setattr(Sandbox, "serve_forever", lambda sandbox: served.append(sandbox))
    assert main(["sandbox", "--host", "localhost", "--certfile", certfile, "--keyfile", keyfile]) == 0
    printed = capsys.readouterr().out
    assert f"https://localhost:{served[0].port}" in printed
    assert f"CA file    {certfile}" in printed
    assert not served[0].running


def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use ends it with 1 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["sandbox", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cometchat sandbox: can't serve on 127.0.0.1, port {port}: ")
    assert error.count("\n") == 1


def test_files_without_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a certificate ends it with 1 and one line. A missing file is wrong usage."""
    nothing, missing = tmp_path / "nothing.pem", tmp_path / "missing.pem"
    nothing.write_text("nothing")
    for path, code in ((nothing, 1), (missing, 2)):
        assert main(["sandbox", "--certfile", str(path), "--keyfile", str(path)]) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "--certfile" in error and str(path) in error
    assert f"--certfile: {missing} can't be read" in error


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "1.5", "", "9" * 5000])
def test_a_wrong_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong port is wrong usage, with one line that says what a port is."""
    assert main(["sandbox", f"--port={port}"]) == 2
    error = capsys.readouterr().err
    assert "a number from 0 to 65535" in error and error.count("\n") == 1


def test_half_a_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    """--certfile without --keyfile is wrong usage."""
    assert main(["sandbox", "--certfile", "x"]) == 2
    assert "must be used together" in capsys.readouterr().err


def test_a_webhook_without_a_receiver(start: Start) -> None:
    """--webhook posts events.

    A failed one is a line on standard error without the password, and the sandbox continues.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    serving = start("sandbox", "--webhook", f"http://user:secret@127.0.0.1:{port}/webhook")
    lines = _printed(serving)
    watch = next(line for line in lines if " watch " in line)
    assert main([*shlex.split(watch)[3:], "--until", "connected", "--timeout", "15"]) == 0
    serving.send(signal.SIGINT)
    assert serving.end() == 0
    errors = serving.errors()
    assert f"cometchat sandbox: webhook http://127.0.0.1:{port}/webhook: user_connection_status_changed " in errors
    assert "was not delivered" in errors and "secret" not in errors


def test_a_warning_is_one_line(start: Start) -> None:
    """A request that the sandbox cannot read is a line on standard error, without a traceback."""
    serving = start("sandbox")
    url = serving.line("The sandbox listens on ").split("listens on ")[1].split(". ")[0]
    _printed(serving)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"x" * 10_000))
        assert b" 400 " in connection.recv(1000)
    assert serving.end(signal.SIGINT) == 0
    (line,) = serving.errors().splitlines()
    assert line.startswith("cometchat sandbox: Error handling request") and "Got more than 8190 bytes" in line


def test_a_webhook_with_a_wrong_url(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong URL is wrong usage, with one line that does not repeat the URL."""
    assert main(["sandbox", "--webhook", "secret@example"]) == 2
    assert capsys.readouterr().err == (
        "cometchat sandbox: Invalid --webhook: expected a URL such as http://localhost:8000/webhook\n"
    )


def test_state_outlives_a_kill(start: Start, tmp_path: Path) -> None:
    """--data keeps the state, and --sample fills only a new folder. The printed account stays valid."""
    options = ["sandbox", "--data", str(tmp_path / "data"), "--sample"]
    serving = start(*options)
    lines = _printed(serving)
    count = len(SAMPLE["messages"])
    assert f"  data       {tmp_path / 'data'}, {count} messages" in lines
    exports = " ".join(line.strip()[len("export ") :] for line in lines if line.startswith("  export "))
    env = {**dict(word.split("=", 1) for word in shlex.split(exports)), "XDG_STATE_HOME": str(tmp_path)}
    sending = start.program(shlex.split(next(line for line in lines if " send " in line)), env)
    assert sending.line().startswith(f"id {count + 1}, muid ")
    serving.send(signal.SIGKILL)
    serving.end()
    again = _printed(start(*options))
    assert f"  data       {tmp_path / 'data'}, {count + 1} messages" in again
    assert f"  auth key   {env['COMETCHAT_AUTH_KEY']}" in again


def test_a_seed_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--seed takes users, groups and messages, each with the parameters of the Python method.

    Ids may be numbers, and an editor of Windows may have put a mark at the beginning.
    """
    ada = {"sender": "ada", "receiver": "team", "receiver_type": "group"}
    seed = {
        "users": [{"uid": "ada", "name": "Ada"}],
        "groups": [{"guid": "team", "name": "Team", "owner": "ada"}],
        "messages": [{**ada, "text": "Hello"}, {**ada, "text": "Hi", "parent_id": 1, "quoted_id": 1}],
    }
    (tmp_path / "seed.json").write_text(json.dumps(seed), encoding="utf-8-sig")
    served: List[Sandbox] = []
    monkeypatch.setattr(Sandbox, "serve_forever", lambda sandbox: served.append(sandbox))
    assert main(["sandbox", "--seed", str(tmp_path / "seed.json")]) == 0
    first, reply = served[0].messages
    assert first["data"]["text"] == "Hello" and (reply["parentId"], reply["quotedMessage"]["id"]) == ("1", "1")
    assert "messages" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object with users, groups and messages"),
        ("[" * 100_000, "is not JSON"),
        ('{"users": 5}', "expected a list of objects"),
        ('{"groups": ["team"]}', "expected a list of objects"),
        ('{"users": [{"uid": "x", "name": 5}]}', "The name must be a text"),
        ('{"user": []}', "expected users, groups and messages, got 'user'"),
        ('{"messages": [{"sender": "x", "receiver": "y"}]}', "ERR_UID_NOT_FOUND"),
        ('{"users": [{"uid": "x"}]}', "missing 1 required positional argument: 'name'"),
    ],
)
def test_a_seed_that_is_wrong(text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong seed is wrong usage, with one line that names the file and the mistake."""
    (tmp_path / "seed.json").write_text(text)
    assert main(["sandbox", "--seed", str(tmp_path / "seed.json")]) == 2
    error = capsys.readouterr().err
    assert f"sandbox: {tmp_path / 'seed.json'}" in error and problem in error and error.count("\n") == 1


def test_a_folder_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--data of a running sandbox ends it with 1 and one line, and an unreadable state with 2."""
    with Sandbox(data=tmp_path):
        assert main(["sandbox", "--data", str(tmp_path)]) == 1
    assert "another sandbox may be using it" in capsys.readouterr().err
    (tmp_path / "sandbox.db").write_text("not a database" * 100)
    assert main(["sandbox", "--data", str(tmp_path)]) == 2
    assert "it is not a file of the sandbox" in capsys.readouterr().err


def test_a_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--data of a file ends it with 1 and one line, in words."""
    (tmp_path / "file").write_text("")
    assert main(["sandbox", "--data", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"cometchat sandbox: --data: {tmp_path / 'file'}: File exists\n"


def test_without_a_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--tls needs one for the certificate. In a container whose file system is read-only it may be missing."""

    def refuse(*args: object, **options: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert main(["sandbox", "--tls"]) == 1
    assert capsys.readouterr().err == "cometchat sandbox: No usable temporary directory found in ['/tmp']\n"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """TLS needs one more package. If it is missing, the line names it."""

    def broken(*args: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'cryptography.x509'", name="cryptography.x509")

    monkeypatch.setattr("cometchat.sandbox.Sandbox", broken)
    assert main(["sandbox", "--tls"]) == 2
    assert capsys.readouterr().err == (
        'cometchat sandbox: cryptography is not installed: pip install "cometchat[sandbox]"\n'
    )


def test_the_snippet_is_python() -> None:
    """The printed program compiles, also with TLS."""
    with Sandbox(tls=True) as sandbox:
        compile("\n".join(command.snippet(sandbox)), "snippet", "exec")


def test_the_lines_are_for_powershell_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, a program in quotes needs an ampersand, and variables have another form."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", "C:\\Program Files\\O'Python\\python.exe")
    python = "& 'C:\\Program Files\\O''Python\\python.exe' -m cometchat"
    sandbox = Sandbox(port=8080)
    assert command.watch_command(sandbox).startswith(f"{python} watch --app-id {sandbox.app_id} --uid ")
    assert command.watch_command(sandbox).endswith(f" --client-host {sandbox.url}")
    lines = command.shell_lines(sandbox)
    assert lines[:2] == ["$env:COMETCHAT_APP_ID = 'sandbox-app'", "$env:COMETCHAT_UID = 'cometchat-uid-1'"]
    assert lines[-2] == f"{python} watch --events"
    monkeypatch.setattr(sys, "executable", "C:\\Python\\python.exe")
    assert command.shell_lines(sandbox)[-2] == "& C:\\Python\\python.exe -m cometchat watch --events"
