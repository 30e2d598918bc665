"""The examples run as a reader runs them: against their own sandbox, and with an account from the environment."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from processes import DEADLINE, Process, plain

from cometchat._environment import VARIABLES
from cometchat.sandbox import Sandbox

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run_alone(name: str) -> "subprocess.CompletedProcess[str]":
    """Run an example against its own sandbox. It must end with 0, and write only its log to standard error."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    ended = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=plain(PYTHONIOENCODING="utf-8"), timeout=DEADLINE
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def start(sandbox: Sandbox, tmp_path: Path) -> Iterator[object]:
    """Starts an example with the sandbox's account in its environment."""
    started: List[Process] = []

    def starter(name: str, **more: str) -> Process:
        account = {
            "COMETCHAT_APP_ID": sandbox.app_id,
            "COMETCHAT_UID": "cometchat-uid-1",
            "COMETCHAT_AUTH_KEY": sandbox.auth_key,
            "COMETCHAT_ADMIN_HOST": sandbox.url,
            "COMETCHAT_CLIENT_HOST": sandbox.url,
            "HOME": str(tmp_path),
            **more,
        }
        started.append(Process([sys.executable, str(EXAMPLES / name)], plain(**account), subprocess.STDOUT))
        return started[-1]

    yield starter
    for running in started:
        running.close()


def test_each_example_is_tested_and_listed() -> None:
    """These five examples exist, and their README has a line for each."""
    assert NAMES == ["command_bot.py", "echo_bot.py", "offline_queue.py", "play.py", "status_logger.py"]
    listed = re.findall(r"^``(\w+\.py)``", (EXAMPLES / "README.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("name", ["command_bot.py", "echo_bot.py", "offline_queue.py", "status_logger.py"])
def test_an_account_of_a_sandbox_with_tls(start, name: str) -> None:  # type: ignore[no-untyped-def]
    """Each example trusts the certificate that ``cometchat sandbox --tls`` exports."""
    with Sandbox(tls=True) as secure:
        hosts = {f"COMETCHAT_{host}_HOST": secure.url for host in ("ADMIN", "CLIENT")}
        start(name, COMETCHAT_AUTH_KEY=secure.auth_key, COMETCHAT_CA_CERTS=str(secure.ca_certs), **hosts)
        assert secure.wait_for_connections(1, DEADLINE)


def test_each_example_says_how_to_run_it() -> None:
    """The docstring has the command, and names every variable that the program reads."""
    account = {f"COMETCHAT_{name}" for name in ("APP_ID", "UID", "AUTH_KEY", *VARIABLES)}
    for name in NAMES:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        docstring = text.split('"""')[1]
        assert f"python examples/{name}" in docstring
        read = set(re.findall(r'"(COMETCHAT_\w+)"', text)) - {"COMETCHAT_ADMIN_HOST", "COMETCHAT_CLIENT_HOST"}
        named = set(re.findall(r"COMETCHAT_\w+", docstring))
        assert named - read <= account and (read <= named or name == "play.py"), name  # play.py sets them for the bot


def test_the_echo_bot_has_ten_lines() -> None:
    """The bot has ten lines of code, with its imports."""
    bot = (EXAMPLES / "echo_bot.py").read_text(encoding="utf-8").split('"""')[2]
    assert len([line for line in bot.splitlines() if line.strip()]) == 10


def answers(sandbox: Sandbox) -> List[object]:
    """Return the receivers and texts of the bot's messages."""
    sent = [message for message in sandbox.messages if message["sender"] == "cometchat-uid-1"]
    return [(message["receiver"], message["data"]["text"]) for message in sent]


def test_echo_bot(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """The bot answers users, but not groups and itself. It also answers after a loss, and ends with 0 on Ctrl-C."""
    sandbox.add_group("chat", "Chat", owner="cometchat-uid-2", members=["cometchat-uid-1"])
    bot = start("echo_bot.py")
    assert sandbox.wait_for_connections(1, DEADLINE)
    sandbox.send_message("cometchat-uid-1", "cometchat-uid-2", "my own, from elsewhere")
    sandbox.send_message("cometchat-uid-2", "chat", "to all", receiver_type="group")
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "to the bot")
    expected = [("cometchat-uid-2", "my own, from elsewhere"), ("cometchat-uid-2", "to the bot")]
    assert sandbox.wait_until(lambda: answers(sandbox) == expected, DEADLINE), answers(sandbox)
    sandbox.drop_connections()
    sandbox.send_message("cometchat-uid-3", "cometchat-uid-1", "while it was away")
    expected.append(("cometchat-uid-3", "while it was away"))
    assert sandbox.wait_until(lambda: answers(sandbox) == expected, DEADLINE), answers(sandbox)
    assert bot.end(signal.SIGINT) == 0


def test_echo_bot_survives_kills(start, sandbox: Sandbox, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The next start sends an answer that a killed bot has put, once."""
    outbox = {"COMETCHAT_OUTBOX_PATH": str(tmp_path / "outbox.db")}
    bot = start("echo_bot.py", **outbox)

    def asked_for(method: str, status: int) -> bool:
        return any((each.method, each.path, each.status) == (method, "/messages", status) for each in sandbox.requests)

    assert sandbox.wait_until(lambda: asked_for("GET", 200), DEADLINE)  # the newest message, at the start
    sandbox.fail_http(503, path="/messages")
    asked = sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
    assert sandbox.wait_until(lambda: asked_for("POST", 503), DEADLINE)
    bot.end(signal.SIGKILL)
    assert answers(sandbox) == []
    sandbox.heal()
    start("echo_bot.py", **outbox)
    assert sandbox.wait_until(lambda: len(answers(sandbox)) == 1, DEADLINE)
    assert sandbox.messages[-1]["muid"] == f"echo-{asked['id']}"


def test_echo_bot_answers_messages_from_its_down_time(  # type: ignore[no-untyped-def]
    start, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With COMETCHAT_INBOX_PATH, a killed bot continues from its place, and answers nothing twice."""
    files = {f"COMETCHAT_{name}_PATH": str(tmp_path / f"{name.lower()}.db") for name in ("INBOX", "OUTBOX")}
    bot = start("echo_bot.py", **files)
    assert sandbox.wait_until(lambda: any(each.path == "/messages" for each in sandbox.requests), DEADLINE)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "one")
    assert sandbox.wait_until(lambda: len(answers(sandbox)) == 1, DEADLINE)
    bot.end(signal.SIGKILL)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "two")
    start("echo_bot.py", **files)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "three")
    assert sandbox.wait_until(lambda: len(answers(sandbox)) >= 3, DEADLINE), answers(sandbox)
    assert [text for _, text in answers(sandbox)] == ["one", "two", "three"]


def test_command_bot(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """The bot handles its commands, a file that it sends, a file that it gets, and a service that refuses."""
    bot = start("command_bot.py")
    assert sandbox.wait_for_connections(1, DEADLINE)

    def ask(text: str, answered: Callable[[], bool], **more: Any) -> None:
        sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", text, **more)
        assert sandbox.wait_until(answered, DEADLINE), sandbox.messages

    def newest() -> Dict[str, Any]:
        sent = [message for message in sandbox.messages if message["category"] == "message"]
        mine = [message for message in sent if message["sender"] == "cometchat-uid-1"]
        return mine[-1] if mine else {"data": {}}

    ask("Hello", lambda: newest()["data"].get("text") == "I know /count, /forget, /help, /log")
    assert [each["reaction"] for each in sandbox.messages[0]["data"]["reactions"]] == ["👀"]
    ask("/count", lambda: newest()["data"].get("text") == "We have 4 texts")
    ask("/log", lambda: newest()["type"] == "file")
    (log,) = newest()["data"]["attachments"]
    with urllib.request.urlopen(log["url"], timeout=DEADLINE) as served:
        assert served.read().decode().splitlines()[:2] == [
            "cometchat-uid-2: Hello",
            "cometchat-uid-1: I know /count, /forget, /help, /log",
        ]
    ask("/forget", lambda: any("deletedAt" in message for message in sandbox.messages))
    file = {"attachments": [{"url": "http://127.0.0.1/a", "name": "a.png", "size": 5, "mimeType": "image/png"}]}
    ask("", lambda: newest()["data"].get("text") == "Thank you for a.png (5 bytes)", type="image", data=file)
    sandbox.fail_http(403, code="ERR_BLOCKED_RECEIVER", times=1, path="/messages/*")
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "/help")
    bot.line("'/help' of cometchat-uid-2: ERR_BLOCKED_RECEIVER")
    ask("/help", lambda: str(newest()["data"].get("text")).startswith("I know"))
    assert bot.end(signal.SIGINT) == 0


@pytest.mark.parametrize("options", [[], ["--kill"]])
def test_play(options: List[str]) -> None:
    """play.py plays the other user for a bot, shows its answers, and ends with the bot's code."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "play.py"), *options, str(EXAMPLES / "echo_bot.py")]
    played = subprocess.run(
        [*command, "Hello", "Is it you?"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=plain(PYTHONIOENCODING="utf-8"),
        timeout=60,
    )
    assert (played.returncode, played.stderr) == (0, "")
    said = [f"cometchat-uid-{number}: {text}" for text in ("Hello", "Is it you?") for number in (2, 1)]
    assert played.stdout.splitlines() == said


CLIENT = """
import os
from cometchat import AppSettings, Client
client = Client(os.environ["COMETCHAT_APP_ID"], AppSettings.from_env())
client.login(os.environ["COMETCHAT_UID"], os.environ["COMETCHAT_AUTH_KEY"])
client.run_forever()
"""


@pytest.mark.parametrize(
    "bot, line",
    [
        ("import threading; print('started', flush=True); threading.Event().wait(60)", "started"),
        (CLIENT, "cometchat-uid-2: Hello"),
    ],
    ids=["silent", "connected"],
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_play_ends_its_bot(tmp_path: Path, bot: str, line: str, signum: signal.Signals) -> None:
    """A signal that ends play.py also ends the bot, before it connects and while its answer is awaited."""
    program = tmp_path / "bot.py"
    program.write_text(bot, encoding="utf-8")
    command = [sys.executable, str(EXAMPLES / "play.py"), str(program), "Hello"]
    out, err = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=out, stderr=err, text=True, env=plain()) as played:
        assert played.stdout is not None and played.stdout.readline() == f"{line}\n"
        played.send_signal(signum)
        rest, _ = played.communicate(timeout=DEADLINE)  # until the bot's end too, since it has the same output
    assert (played.returncode, rest) == (128 + signum, "")


# A bot as a service.

DEPLOY = EXAMPLES / "deploy"


def test_the_unit_of_systemd(tmp_path: Path) -> None:
    """systemd accepts the unit, on systems with systemd.

    The unit ends the bot by a signal that run_forever() handles.
    """
    text = (DEPLOY / "chat-bot.service").read_text(encoding="utf-8")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    service = dict(unit["Service"])
    assert service["KillSignal"] == "SIGTERM" and float(service["TimeoutStopSec"]) >= 1
    assert service["Restart"] == "on-failure" and service["ExecStart"].endswith("/echo_bot.py")
    state = re.findall(r"COMETCHAT_(\w+)=/var/lib/([\w-]+)/", service["Environment"])
    assert state and all(name in VARIABLES and folder == service["StateDirectory"] for name, folder in state)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    python, bot = service["ExecStart"].split()
    here = tmp_path / "chat-bot.service"
    here.write_text(text.replace(python, sys.executable).replace(bot, str(EXAMPLES / "echo_bot.py")), encoding="utf-8")
    verified = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True, timeout=60)
    assert [line for line in verified.stderr.splitlines() if "chat-bot" in line] == []


def test_the_dockerfile(start, sandbox: Sandbox, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The files that it copies exist, signals reach the bot at any time, and its command runs."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    assert "docker run --init " in text  # process 1 ignores a signal that it does not handle
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert steps[0][0] == "FROM" and steps[-1][0] == "CMD"
    python, bot = json.loads(steps[-1][1])  # as a list, so that no shell is between the signals and the bot
    assert (python, bot) == ("python", "/echo_bot.py")
    (copied,) = [rest.split() for step, rest in steps if step == "RUN"]
    assert (EXAMPLES.parent / copied[copied.index("cp") + 1][len("/src/") :]).is_file()
    (variables,) = [dict(pair.split("=") for pair in rest.split()) for step, rest in steps if step == "ENV"]
    (volume,) = [rest for step, rest in steps if step == "VOLUME"]
    here = {name: value.replace(volume, str(tmp_path)) for name, value in variables.items()}
    assert any(name[len("COMETCHAT_") :] in VARIABLES and value.startswith(volume) for name, value in variables.items())
    running = start(bot[1:], **here)
    assert sandbox.wait_for_connections(1, DEADLINE)
    sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
    assert sandbox.wait_until(lambda: answers(sandbox), DEADLINE)
    assert running.end(signal.SIGTERM) == 0


def test_offline_queue_alone() -> None:
    """Without an account, it cuts the network after three messages.

    Four wait, and in the end all ten are stored once, in order.
    """
    # Skips the time, which is two words.
    lines = [line.split(" ", 2)[2] for line in run_alone("offline_queue.py").stdout.splitlines()]
    cut, back = lines.index("--- the network is cut"), lines.index("--- the network is back")
    assert [line for line in lines[cut:back] if line.startswith("put")] == [
        f"put {number}; {number - 3} wait" for number in (4, 5, 6, 7)
    ]
    delivered = [line.split("'")[1] for line in lines if line.startswith("delivered")]
    assert delivered == [f"message {number}" for number in range(1, 11)]
    assert lines[-1] == "the service has all 10, once each, in order"


def test_offline_queue_with_an_account(start, sandbox: Sandbox) -> None:  # type: ignore[no-untyped-def]
    """With an account, and a network that is really cut, it ends with 0 after all messages are stored in order."""
    queueing = start("offline_queue.py")
    queueing.line("delivered 'message 2'")
    sandbox.refuse_connections()
    sandbox.drop_connections()
    queueing.line("put 5;")
    sandbox.accept_connections()
    queueing.line("all delivered")
    assert queueing.end() == 0
    assert [message["data"]["text"] for message in sandbox.messages] == [f"message {n}" for n in range(1, 11)]


def test_status_logger_alone() -> None:
    """Without an account, it shows a loss, a refused attempt, throttling and the end.

    Each error comes before its effect.
    """
    words = [line.split()[3].rstrip(":") for line in run_alone("status_logger.py").stderr.splitlines()]
    loss = ["WS_CONNECTION_FAIL", "disconnected", "connecting", "WS_CONNECTION_FAIL"]
    assert words[:6] == ["connecting", "connected", *loss]
    # The sandbox may also refuse the second attempt, before it is healed.
    rest = [word for word in words[6:] if word != "WS_CONNECTION_FAIL"]
    assert rest == ["connected", "featureThrottled", "connected", "disconnected"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_status_logger_with_an_account(  # type: ignore[no-untyped-def]
    start, sandbox: Sandbox, signum: signal.Signals
) -> None:
    """With an account it logs until Ctrl-C or SIGTERM, which disconnects and ends it with 0."""
    logger = start("status_logger.py")
    logger.line("INFO    connected")
    sandbox.drop_connections()
    assert "caused by ConnectionResetError" in logger.line("ERROR   WS_CONNECTION_FAIL")
    logger.line("WARNING disconnected")
    logger.line("INFO    connected")
    assert logger.end(signum) == 0
    logger.line("WARNING disconnected")
