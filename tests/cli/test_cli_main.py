"""The command line as a whole: exit codes, errors of one line, no secrets."""

from __future__ import annotations

import errno
import io
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List

import pytest

import cometchat
from cometchat.cli import _doctor as doctor
from cometchat.cli import _main
from cometchat.cli import _watch as watch
from cometchat.cli import main
from cometchat.cli._errors import Failed, missing_module
from cometchat.cli._main import _flushed
from cometchat.cli._screen import Screen
from cometchat.sandbox import Sandbox

SECRET = "s3cr3t-of-a-user"


def one_line(text: str) -> str:
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every command and the exit codes, and ends with 0."""
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("demo", "watch", "doctor", "send", "sandbox", "exit codes"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the package's version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cometchat {cometchat.__version__}\n"


def test_process_arguments_are_the_default(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """main() without arguments uses the process's arguments."""
    monkeypatch.setattr(sys, "argv", ["cometchat", "--version"])
    assert main() == 0
    assert "cometchat" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["no-such-command"],
        ["watch", "--no-such-option"],
        ["watch", "--until", "nonsense"],
        ["watch", "extra"],
        ["sandbox", "--port", "70000"],
        ["sandbox", "--port", "http"],
        ["doctor", "--auth-key", "a", "--auth-token", "b"],
        ["demo", "--app", "abbreviated"],
    ],
)
def test_wrong_usage_is_2_and_one_line(argv: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with 2 and one line on standard error that names --help."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--help" in one_line(captured.err)


@pytest.mark.parametrize("command", ["doctor", "watch --until connected", "send --to amy --text Hello"])
@pytest.mark.parametrize("timeout", ["soon", "", "-1", "nan"])
def test_a_wrong_timeout_is_answered_with_what_is_right(
    command: str, timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the option and its values."""
    assert main([*command.split(), f"--timeout={timeout}"]) == 2
    error = one_line(capsys.readouterr().err)
    assert "--timeout" in error and "a number of seconds" in error


@pytest.mark.parametrize(
    "argv",
    [
        ["watch", f"--auth-kee={SECRET}"],
        ["watch", "--auth-kee", SECRET],
        ["--auth-key", SECRET, "watch"],
        [f"--auth-key={SECRET}", "watch"],
        ["watch", SECRET],
        ["watch", f"-k{SECRET}"],
        ["watch", "--timeout", SECRET],
        ["watch", f"--json={SECRET}"],
        [f"--debug={SECRET}", "watch"],
    ],
)
def test_a_mistyped_option_does_not_show_its_value(argv: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No error quotes the value of a mistyped option, since it may be a key."""
    assert main(argv) == 2
    assert SECRET not in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["wach"], ", did you mean watch?"),
        (["doktor"], ", did you mean doctor?"),
        (["watch", "--until", "conected"], ", did you mean connected?"),
        (["it's"], "no such choice (choose from demo, doctor, watch, send, sandbox, redis)"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(
    argv: List[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a misspelt command or value, the error names a similar one if there is one."""
    assert main(argv) == 2
    assert expected in one_line(capsys.readouterr().err)


def test_an_unknown_option_of_a_command_points_to_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The options of a command are in the command's own help."""
    assert main(["watch", "--bogus"]) == 2
    assert one_line(capsys.readouterr().err).endswith("unknown option --bogus (see cometchat watch --help)\n")


def test_without_a_command_the_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m cometchat`` alone is wrong usage, and the line has all commands."""
    assert main([]) == 2
    error = one_line(capsys.readouterr().err)
    assert "missing command (choose from demo, doctor, watch, send, sandbox, redis)" in error


@pytest.mark.parametrize("address", ["htp:/bad", "https:", "https:/bad"])
@pytest.mark.parametrize("option", ["--admin-host", "--client-host"])
def test_a_misspelt_address_is_wrong_usage(
    option: str, address: str, account: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A text that would be a host with an empty port is refused, and the line shows what an address looks like."""
    assert main(["doctor", *account, option, address]) == 2
    error = one_line(capsys.readouterr().err)
    assert option in error and "host[:port][/path]" in error and repr(address) in error


@pytest.mark.parametrize("address", ["bad host", "http://host:", "user:a-password@host:/path", "//u:a-password@host"])
@pytest.mark.parametrize("command", [["watch"], ["doctor"], ["send", "--to", "a", "--text", "b"]])
def test_a_wrong_address_is_wrong_usage(
    command: List[str], address: str, account: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that the settings refuse is an error that names the option, without a password in it."""
    assert main([*command, *account, "--client-host", address]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "a-password" not in captured.err
    assert "--client-host (COMETCHAT_CLIENT_HOST)" in one_line(captured.err)


def test_the_help_loads_no_http_library() -> None:
    """The help, the version and the shell's completion of a command take no time for what only a connection needs."""
    program = (
        "import sys\n"
        "from cometchat.cli import main\n"
        "for command in (['--version'], ['--help'], ['doctor', '--help']):\n"
        "    assert main(command) == 0\n"
        "print(sorted({'requests', 'urllib3', 'websocket', 'aiohttp'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.stdout.splitlines()[-1], ended.stderr) == ("[]", "")


def test_closed_streams_are_not_an_error(sandbox: Sandbox, account: List[str], tmp_path: Path) -> None:
    """If the shell has closed standard output (``>&-``), every command does its work and prints nothing else."""
    run = f"{shlex.quote(sys.executable)} -m cometchat"
    options = " ".join(map(shlex.quote, account))
    commands = {
        "--version": 0,
        "--help": 0,
        f"watch {options} --until connected --timeout 10": 0,
        f"doctor {options}": 0,
        f"send {options} --to cometchat-uid-2 --text Hello --outbox {shlex.quote(str(tmp_path / 'outbox.db'))}": 0,
        "nonsense": 2,
    }
    lines = {f"{run} {command} >&-": code for command, code in commands.items()}
    # one that prints, one whose file gets the number of a standard stream, and one that has an error to print
    lines.update({f"{run} {command} <&- >&- 2>&-": commands[command] for command in [*commands][3:]})
    with ThreadPoolExecutor(3, "test-command") as pool:
        for ended, code in zip(pool.map(run_line, lines), lines.values()):
            assert ended.returncode == code, (ended.args, ended.stderr)
            assert "Error" not in ended.stderr


def run_line(line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, timeout=30)


@pytest.mark.parametrize("argv", [["--no-color", "doctor"], ["doctor", "--no-color"]])
def test_no_color_may_stand_on_either_side(
    argv: List[str], account: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--no-color is an option of every command, and takes precedence over FORCE_COLOR."""
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["doctor", *account]) == 0
    assert "\x1b[" in capsys.readouterr().out
    assert main([*argv, *account]) == 0
    assert "\x1b[" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["watch"], ["doctor"], ["send", "--to", "a", "--text", "b"]])
@pytest.mark.parametrize(
    "argv, missing",
    [
        ([], "--app-id"),
        (["--app-id", "a"], "--region"),
        (["--app-id", "a", "--region", "us"], "--auth-token"),
        (["--app-id", "a", "--region", "us", "--auth-key", "k"], "--uid"),
        (["--app-id", "a", "--admin-host", "h", "--auth-token", "t"], "--client-host"),
    ],
)
def test_missing_options_are_named(
    command: List[str], argv: List[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An incomplete account ends with 2 and one line that says how to complete it."""
    assert main([*command, *argv]) == 2
    assert missing in one_line(capsys.readouterr().err)


def test_a_wrong_value_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that the SDK refuses ends with 2 and a line that names the field."""
    assert main(["watch", "--app-id", "a", "--region", "no such place", "--auth-token", "t"]) == 2
    assert "region" in one_line(capsys.readouterr().err)


def test_the_account_comes_from_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an option, the app id, region, user and key come from the environment."""
    monkeypatch.setenv("COMETCHAT_APP_ID", sandbox.app_id)
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    monkeypatch.setenv("COMETCHAT_UID", "cometchat-uid-2")
    monkeypatch.setenv("COMETCHAT_AUTH_KEY", sandbox.auth_key)
    hosts = ["--admin-host", sandbox.url, "--client-host", sandbox.url]
    assert main(["watch", "--until", "connected", "--timeout", "10", *hosts]) == 0
    assert "connected" in capsys.readouterr().out
    assert [request.path for request in sandbox.requests if request.method == "POST"] == [
        "/users/cometchat-uid-2/auth_tokens"
    ]


def test_a_token_decides_the_user(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its user need not be that of COMETCHAT_UID, which is for a key, but must be that of ``--uid``."""
    monkeypatch.setenv("COMETCHAT_APP_ID", sandbox.app_id)
    monkeypatch.setenv("COMETCHAT_UID", "cometchat-uid-2")
    monkeypatch.setenv("COMETCHAT_AUTH_TOKEN", sandbox.auth_token("cometchat-uid-3"))
    hosts = ["--admin-host", sandbox.url, "--client-host", sandbox.url]
    assert main(["doctor", *hosts]) == 0
    assert "(cometchat-uid-3)" in capsys.readouterr().out
    assert main(["watch", *hosts, "--uid", "cometchat-uid-2"]) == 2
    assert "INVALID_UID" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "command, option",
    [
        *(("watch", option) for option in ("app-id", "region", "uid", "auth-key", "auth-token", "admin-host")),
        *(("watch", option) for option in ("client-host", "ca-certs")),
        *(("sandbox", option) for option in ("host", "data", "seed", "webhook")),
        *(("send --to=u", option) for option in ("to", "text", "outbox")),
        ("redis", "prefix"),
    ],
)
@pytest.mark.parametrize("words", ["--{}=", "--{} "])
def test_an_empty_option_is_wrong_usage(
    command: str, option: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option whose shell variable is not set is not the environment's value, such as another user, nor a default.

    An empty host of the sandbox would be every address of the machine.
    """
    for name in ("APP_ID", "REGION", "UID", "AUTH_KEY", "AUTH_TOKEN"):
        monkeypatch.setenv(f"COMETCHAT_{name}", "us")
    monkeypatch.setattr(Sandbox, "serve_forever", lambda self: pytest.fail("the sandbox serves"))
    assert main([*command.split(), *words.format(option).split(" ")]) == 2
    assert f"--{option} is empty" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["watch --until connected", "send --text hello --to cometchat-uid-2"])
def test_a_user_overrides_the_token_of_another(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    """--uid logs in that user with the auth key. Without the key, the token in the environment must be that user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    hosts = ["--app-id", sandbox.app_id, "--admin-host", sandbox.url, "--client-host", sandbox.url]
    words = [*command.split(), "--timeout", "10", *hosts, "--uid"]
    monkeypatch.setenv("COMETCHAT_AUTH_TOKEN", sandbox.auth_token("cometchat-uid-3"))
    for _ in range(2):  # the second call of `send` finds the login of the first one
        assert main([*words, "cometchat-uid-1"]) == 2
        expected = "Invalid uid: expected cometchat-uid-3, whose auth token is given, got 'cometchat-uid-1'."
        assert expected in one_line(capsys.readouterr().err)
    assert main([*words, "COMETCHAT-uid-3"]) == 0
    monkeypatch.setenv("COMETCHAT_AUTH_KEY", sandbox.auth_key)
    assert main([*words, "cometchat-uid-1"]) == 0
    assert [message["sender"] for message in sandbox.messages] == [
        uid for uid in ("cometchat-uid-3", "cometchat-uid-1") if command.startswith("send")
    ]


def test_the_hosts_come_from_the_environment(
    sandbox: Sandbox, account: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both hosts may come from the environment. An option takes precedence."""
    options = account[: account.index("--admin-host")]
    monkeypatch.setenv("COMETCHAT_ADMIN_HOST", sandbox.url)
    monkeypatch.setenv("COMETCHAT_CLIENT_HOST", sandbox.url)
    assert main(["watch", "--until", "connected", "--timeout", "10", *options]) == 0
    monkeypatch.setenv("COMETCHAT_CLIENT_HOST", "http://127.0.0.1:9")
    assert main(["watch", "--until", "connected", "--timeout", "10", *options]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert main(["watch", "--until", "connected", "--timeout", "10", *account]) == 0


def test_a_wrong_variable_is_wrong_usage(
    account: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Timeouts come from the environment too. For a wrong value, the line names the variable."""
    for text in ("soon", "0"):
        monkeypatch.setenv("COMETCHAT_PONG_TIMEOUT", text)
        assert main(["watch", *account, "--until", "connected", "--timeout", "10"]) == 2
        assert "COMETCHAT_PONG_TIMEOUT" in one_line(capsys.readouterr().err)


def test_a_uid_with_a_line_break_is_wrong_usage(account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The line shows the line break. An answer of the service, that it has no such user, could not."""
    account[account.index("--uid") + 1] = "cometchat-uid-1\n"
    assert main(["watch", *account, "--until", "connected", "--timeout", "10"]) == 2
    assert r"without surrounding spaces, got 'cometchat-uid-1\n'" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("command", [["watch"], ["doctor"], ["send", "--to", "a", "--text", "b"]])
def test_a_ca_file_that_is_gone_is_wrong_usage(
    command: List[str], account: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the variable, such as one of a sandbox with TLS that has ended since."""
    monkeypatch.setenv("COMETCHAT_CA_CERTS", "/tmp/cometchat-gone/cert.pem")
    assert main([*command, *account]) == 2
    assert f"cometchat {command[0]}: COMETCHAT_CA_CERTS: Invalid ca_certs" in one_line(capsys.readouterr().err)


def test_the_files_of_a_bot_are_left_to_it(
    account: List[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a bot's environment, a command does not use the bot's outbox or login."""
    monkeypatch.setenv("COMETCHAT_OUTBOX_PATH", str(tmp_path / "outbox.db"))
    monkeypatch.setenv("COMETCHAT_SESSION_PATH", str(tmp_path / "session.json"))
    assert main(["watch", *account, "--until", "connected", "--timeout", "10"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_environment_s_token_is_taken(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An auth token in the environment logs in without a uid and without the admin API. An option takes precedence."""
    monkeypatch.setenv("COMETCHAT_AUTH_TOKEN", sandbox.auth_token("cometchat-uid-3"))
    hosts = ["--app-id", sandbox.app_id, "--admin-host", sandbox.url, "--client-host", sandbox.url]
    assert main(["watch", "--until", "connected", "--timeout", "10", *hosts]) == 0
    assert [request.method for request in sandbox.requests if request.method == "POST"] == []
    key = ["--uid", "cometchat-uid-1", "--auth-key", sandbox.auth_key]
    assert main(["watch", "--until", "connected", "--timeout", "10", *hosts, *key]) == 0
    assert [request.method for request in sandbox.requests if request.method == "POST"] == ["POST"]


@pytest.mark.parametrize("option", ["--auth-key", "--auth-token"])
@pytest.mark.parametrize("command", [["watch"], ["watch", "--json"], ["doctor"]])
def test_a_refused_credential_is_not_shown(
    command: List[str], option: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service quotes the credential that it refuses. The command does not print it."""
    hosts = ["--app-id", sandbox.app_id, "--admin-host", sandbox.url, "--client-host", sandbox.url]
    assert main([*command, *hosts, "--uid", "cometchat-uid-1", option, SECRET]) == 1
    captured = capsys.readouterr()
    assert "NOT_FOUND" in captured.out + captured.err
    assert SECRET not in captured.out + captured.err


@pytest.mark.parametrize("command, code", [(watch, 0), (doctor, 1)])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupt_has_the_commands_own_code(
    command: object, code: int, stop: type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C, or a reader that ends, is the normal end of a watch (0), but an unfinished examination (1)."""

    def interrupted(options: object) -> int:
        raise stop

    monkeypatch.setattr(command, "run", interrupted)
    assert main([command.__name__.rpartition("._")[2]]) == code  # type: ignore[attr-defined]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("module", ["_main", "_doctor"])
def test_an_interrupt_while_the_commands_load_is_silent(module: str) -> None:
    """Ctrl-C in the first moments of a command, while Python imports it, ends it with 1 and without a traceback."""
    program = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'cometchat.cli.{module}': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from cometchat.cli import main\n"
        "sys.exit(main(['--version']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


def test_an_interrupt_between_the_steps_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before the command runs, or a second one after its end, is not a traceback."""

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    for step in ("_parse", "_flushed"):
        with monkeypatch.context() as patch:
            patch.setattr(_main, step, interrupted)
            assert main(["--version"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk, as Linux imitates it")
@pytest.mark.parametrize("command", ["--help", "watch --help", "doctor", "doctor --json"])
def test_an_output_that_can_not_be_written_is_one_line(command: str, account: List[str]) -> None:
    """A full disk under the output ends a command with 1 and one line, and not with Python's error at exit."""
    options = " ".join(map(shlex.quote, account)) if "--help" not in command else ""
    run = f"unset PYTHONUNBUFFERED; {shlex.quote(sys.executable)} -m cometchat"
    ended = run_line(f"{run} {command} {options} > /dev/full")
    assert ended.returncode == 1
    assert "can't write the output: No space left on device" in one_line(ended.stderr)


def test_an_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected error of this package is one line and 1. With --debug, its traceback comes before it."""

    def broken(options: object) -> int:
        raise RuntimeError("first\nsecond\x1b[2J")

    monkeypatch.setattr(watch, "run", broken)
    assert main(["watch"]) == 1
    assert "RuntimeError: first second" in one_line(capsys.readouterr().err)
    assert main(["watch", "--debug"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and "RuntimeError: first second" in lines[-1]
    assert "second\\x1b[2J" in lines  # what a server says can't control the terminal


def test_debug_keeps_the_exit_code(account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with 2 with --debug too, and the traceback shows no secret."""
    assert main(["watch", "--debug", *account[2:], "--until", "connected", "--timeout", "-1"]) == 2
    errors = capsys.readouterr().err
    assert "Traceback" in errors and account[account.index("--auth-key") + 1] not in errors


@pytest.mark.parametrize("argv", [["--debug", "watch"], ["watch", "--debug"]])
def test_debug_shows_the_log(argv: List[str], account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--debug puts the SDK's log on standard error. It may precede the command."""
    assert main([*argv, "--until", "connected", "--timeout", "10", *account]) == 0
    assert "DEBUG cometchat-connection-" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_an_ignored_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``nohup`` a command goes on when its terminal is closed."""
    seen: List[object] = []

    def look(options: object) -> int:
        seen.append(signal.getsignal(signal.SIGHUP))
        return 0

    monkeypatch.setattr(watch, "run", look)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["watch"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system can't block a signal")
def test_two_signals_end_a_command_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGHUP and SIGTERM come together when a session ends. The second one does not interrupt the clean-up."""
    both = {signal.SIGHUP, signal.SIGTERM}
    steps: List[str] = []

    def receive(options: object) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, both)
        for signum in both:
            signal.raise_signal(signum)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
            return 2
        finally:
            steps.append("clean")
            steps.append("up")

    monkeypatch.setattr(watch, "run", receive)
    assert main(["watch"]) == 0
    assert steps == ["clean", "up"]
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk, as Linux imitates it")
@pytest.mark.parametrize("command", ["watch", "send"])
def test_an_error_that_can_not_be_written_keeps_its_code(command: str) -> None:
    """If standard error can't be written either, such as after the end of a terminal, the exit code stays.

    The command itself finds the wrong usage, or its parser does.
    """
    ended = run_line(f"{shlex.quote(sys.executable)} -m cometchat {command} 2>/dev/full")
    assert ended.returncode == 2


def test_sigterm_is_handed_back(capsys: pytest.CaptureFixture[str]) -> None:
    """After main(), the process's own handler of SIGTERM is back. On other threads, main() does not set a handler."""
    before = signal.getsignal(signal.SIGTERM)
    codes: List[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["watch"])))
    thread.start()
    thread.join(20)
    assert main(["watch"]) == 2
    assert codes == [2]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_a_missing_extra_is_named(command: str) -> None:
    """Without the sandbox's packages, the commands that need it print one line that names them, and end with 2."""
    program = (
        f"import sys; sys.modules['aiohttp'] = None; from cometchat.cli import main; sys.exit(main(['{command}']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert one_line(ended.stderr) == (
        f'cometchat {command}: aiohttp is not installed: pip install "cometchat[sandbox]"\n'
    )


@pytest.mark.parametrize("module, command", [("ssl", "--version"), ("sqlite3", "watch"), ("tenacity", "watch")])
def test_a_missing_module_is_named(module: str, command: str, account: List[str]) -> None:
    """Some builds of Python lack a part. One line names it, or the package that is not installed."""
    words = [command, *(account if command == "watch" else [])]
    program = f"import sys; sys.modules['{module}'] = None; from cometchat.cli import main; sys.exit(main({words}))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    lacks = f"this Python ({sys.executable}) lacks its module {module}: install it, or use another Python\n"
    if module == "tenacity":
        lacks = 'tenacity is not installed: pip install "cometchat"\n'
    assert one_line(ended.stderr) == f"cometchat{'' if command == '--version' else ' watch'}: {lacks}"


def test_a_module_that_can_not_be_loaded() -> None:
    """Such as a library of Windows that is not found: the text is the system's."""
    assert missing_module(ImportError("DLL load failed while importing _ssl")) == "DLL load failed while importing _ssl"
    assert "lacks its module ssl:" in missing_module(ModuleNotFoundError("x", name="_ssl"))


def test_windows_reports_a_closed_pipe_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it may be an invalid argument. Elsewhere that is an error like any other."""
    error = OSError(errno.EINVAL, "Invalid argument")

    class Output(io.StringIO):
        def flush(self) -> None:
            raise error

    with pytest.raises(Failed, match="Invalid argument"):
        Screen(Output()).line("text")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BrokenPipeError):
        Screen(Output()).line("text")
    monkeypatch.setattr(sys, "stdout", Output())
    assert _flushed(0) == 0
    error.errno = errno.ENOSPC
    assert _flushed(0) == 1


def test_the_cli_is_not_loaded_with_the_package() -> None:
    """import cometchat loads neither the command line nor the sandbox."""
    program = "import sys, cometchat; sys.exit(bool({'cometchat.cli', 'cometchat.sandbox'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == 0


def test_output_without_a_descriptor_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard output without a file descriptor cannot be redirected, and causes no error."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    def broken(options: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(watch, "run", broken)
    assert main(["watch"]) == 0
