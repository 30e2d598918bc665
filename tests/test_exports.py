"""The public names: sorted, complete, documented, and with one version."""

from __future__ import annotations

import configparser
import importlib
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import old_versions
import pytest

import cometchat
from cometchat import (
    AppSettings,
    Client,
    CometChatException,
    CometChatWSState,
    exceptions,
    listeners,
    models,
)

ROOT = Path(cometchat.__file__).resolve().parents[1]

#: The names that the contract (api.md) and the documented listeners need. There may be more.
CONTRACT = {
    "AppSettings",
    "AuthenticationException",
    "CallListener",
    "Client",
    "CometChat",
    "CometChatException",
    "CometChatWSState",
    "ConnectionException",
    "ConnectionListener",
    "FileSessionStore",
    "GroupListener",
    "InvalidArgumentException",
    "LoginListener",
    "MemorySessionStore",
    "MessageListener",
    "RateLimitException",
    "User",
    "UserListener",
    "__version__",
}

SUBMODULES = ["cometchat", "cometchat.models", "cometchat.sandbox"]

PUBLIC = [name for name in cometchat.__all__ if name != "__version__"]


def own_methods(cls: type) -> List[str]:
    """Return the public methods and properties, with those of base classes of this package."""
    names = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("cometchat")
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, (classmethod, property)))
    }
    return sorted(names)


@pytest.mark.parametrize("name", SUBMODULES)
def test_all_is_sorted_and_importable(name: str) -> None:
    """``__all__`` is sorted and without doubles, so that a change is one line. ``from cometchat import *`` works."""
    exported = importlib.import_module(name).__all__
    assert list(exported) == sorted(set(exported))
    namespace: Dict[str, Any] = {}
    exec(f"from {name} import *", namespace)
    assert set(exported) <= set(namespace)


def test_every_annotation_can_be_read() -> None:
    """``typing.get_type_hints()`` works for each public class, method and property, in a process that has just begun.

    Libraries read annotations in this way, such as those that inject arguments or make schemas of dataclasses.
    """
    program = """
import inspect, typing, cometchat, cometchat.sandbox
for thing in [getattr(package, name) for package in (cometchat, cometchat.sandbox) for name in package.__all__]:
    if not inspect.isclass(thing):
        continue
    typing.get_type_hints(thing)
    for base in thing.__mro__:
        for key, member in vars(base).items() if base.__module__.startswith("cometchat") else ():
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if inspect.isfunction(function) and not key.startswith("_"):
                typing.get_type_hints(function)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=50
    )
    assert ended.stderr == ""


def test_the_exports_are_complete() -> None:
    """The public names are the contract, all public classes, and the types that calls take, return or raise."""
    lazy = [getattr(cometchat, name) for name in PUBLIC]  # some are loaded only by their first use
    assert all(map(inspect.isclass, lazy))
    held = {
        name
        for name, value in vars(cometchat).items()
        if not name.startswith("_") and inspect.isclass(value) and value.__module__.startswith("cometchat")
    }
    classes = [value for value in vars(exceptions).values() if inspect.isclass(value)]
    wanted = {cls.__name__ for cls in classes if issubclass(cls, Exception)}
    wanted |= set(models.__all__) | {cls.__name__ for cls in listeners.KINDS.values()}
    stray = {
        name
        for name, value in vars(cometchat).items()
        if not name.startswith("_") and name not in cometchat.__all__ and not inspect.ismodule(value)
    }
    assert CONTRACT - set(cometchat.__all__) == set()
    assert held == set(PUBLIC)
    assert wanted - set(cometchat.__all__) == set()
    assert stray <= {"annotations"}


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    """Every class says what it is (a dataclass's signature does not count), and every method what it does."""
    wrong = []
    for name in PUBLIC:
        value = getattr(cometchat, name)
        text = (value.__dict__.get("__doc__") or "").strip()
        if not text or text.startswith(f"{name}("):
            wrong.append(name)
        wrong += [
            f"{name}.{each}" for each in own_methods(value) if not (inspect.getdoc(getattr(value, each)) or "").strip()
        ]
    assert wrong == []


def test_every_status_is_explained_in_the_source() -> None:
    """Each member of the enum has a comment (``#:``) with its meaning."""
    source = inspect.getsource(CometChatWSState)
    for state in CometChatWSState:
        assert re.search(rf"#: [^\n]+\n\s+{state.name} = ", source)


# The docstring of a method names the errors that it raises.


def documented(name: str, seen: Tuple[str, ...] = ()) -> str:
    """Return the docstring of a method of Client, with those of the methods that it refers to."""
    text = inspect.getdoc(getattr(Client, name)) or ""
    pointers = [other for other in re.findall(r":meth:`(?:Client\.)?(\w+)`", text) if hasattr(Client, other)]
    return "\n".join([text, *(documented(other, (*seen, name)) for other in pointers if other not in (*seen, name))])


#: A right value for each parameter. Parameters that are not listed get None.
RIGHT: Dict[str, Any] = {
    "uid": "cometchat-uid-1",
    "auth_key": "key",
    "auth_token": "token",
    "refresh": lambda: "token",
    "timeout": 0.01,
    "status": "connected",
    "listener_id": "id",
    "receiver_id": "cometchat-uid-2",
    "receiver_type": "user",
    "metadata": {},
    "data": {},
    "text": "Hello",
    "reaction": "👍",
    "path_or_file": b"content",
    "message": models.TextMessage(id="7", sender=models.User("u"), receiver_id="u", receiver_type="user", text="hello"),
}


def right_arguments(name: str) -> Dict[str, Any]:
    parameters = [parameter for parameter in inspect.signature(getattr(Client, name)).parameters if parameter != "self"]
    kind = re.sub(r"^add_|^remove_|_listener$", "", name)
    listener = listeners.KINDS.get(kind if kind in listeners.KINDS else "connection", object)
    return {parameter: listener() if parameter == "listener" else RIGHT.get(parameter) for parameter in parameters}


def raised(client: Client, name: str, arguments: Dict[str, Any]) -> Set[str]:
    """Return the code that the call raises, or None."""
    member = getattr(Client, name)
    try:
        if isinstance(member, property):
            member.fget(client)
        else:
            getattr(client, name)(**arguments)
    except CometChatException as error:
        return {error.code}
    return set()


CLIENT_CALLS = [name for name in own_methods(Client) if not isinstance(getattr(Client, name), property)]


@pytest.fixture
def new_client() -> Iterator[Callable[[], Client]]:
    """Makes clients whose service refuses connections."""
    nowhere = AppSettings(admin_host="http://127.0.0.1:9", client_host="http://127.0.0.1:9", connect_timeout=1)
    made: List[Client] = []

    def make() -> Client:
        made.append(Client("app", nowhere))
        return made[-1]

    yield make
    for client in made:
        client.close()
    for thread in threading.enumerate():
        if thread.name.startswith("cometchat-"):
            thread.join(10)


def undocumented(name: str, codes: Set[str], when: str) -> List[str]:
    return [f"{name} {when}: {code}" for code in sorted(codes) if f"``{code}``" not in documented(name)]


def test_the_codes_before_the_login_are_documented(new_client: Callable[[], Client]) -> None:
    """The docstring names each code that a call with right arguments raises without a login or connection."""
    wrong: List[str] = []
    for name in CLIENT_CALLS:
        if name == "run_forever":  # waits for the end
            continue
        with new_client() as client:
            wrong += undocumented(name, raised(client, name, right_arguments(name)), "before the login")
    assert wrong == []


def test_the_code_after_the_end_is_documented(new_client: Callable[[], Client]) -> None:
    """``ERR_CLIENT_CLOSED`` is in the docstring of each method that raises it, and in no other."""
    wrong: List[str] = []
    client = new_client()
    client.close()
    for name in CLIENT_CALLS:
        codes = raised(client, name, right_arguments(name))
        if not codes <= {"ERR_CLIENT_CLOSED"} or bool(codes) != ("``ERR_CLIENT_CLOSED``" in documented(name)):
            wrong.append(f"{name} raises {codes}")
    assert wrong == []


def test_the_codes_of_wrong_arguments_are_documented(new_client: Callable[[], Client]) -> None:
    """``MISSING_PARAMETERS`` and ``INVALID_{PARAMETER}`` are in the docstring of each method that raises them."""
    wrong: List[str] = []
    client = new_client()
    for name in CLIENT_CALLS:
        for parameter, described in inspect.signature(getattr(Client, name)).parameters.items():
            if parameter == "self":
                continue
            arguments, invalid = right_arguments(name), f"INVALID_{parameter.upper()}"
            codes = raised(client, name, {**arguments, parameter: object()})
            if codes != {invalid}:
                wrong.append(f"{name}: {parameter} of a wrong type raises {codes}")
            wrong += undocumented(name, codes, f"with a wrong {parameter}")
            if "Optional" not in str(described.annotation):
                codes = raised(client, name, {**arguments, parameter: None})
                if not codes or not codes <= {"MISSING_PARAMETERS", invalid}:
                    wrong.append(f"{name}: {parameter} None raises {codes}")
                wrong += undocumented(name, codes, f"without {parameter}")
    assert wrong == []


def test_constructors_that_check_document_their_errors() -> None:
    """The class's docstring names the codes for its arguments."""
    for cls in (Client, AppSettings, cometchat.FileSessionStore):
        text = inspect.getdoc(cls) or ""
        assert ":raises CometChatException:" in text and "``MISSING_PARAMETERS``" in text, cls


# The content of the distributions.


def test_the_types_are_shipped() -> None:
    """``py.typed`` is in the package and in the distributions."""
    assert (ROOT / "cometchat" / "py.typed").is_file()
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "py.typed" in config["options.package_data"]["cometchat"].split()


def test_every_public_method_is_annotated() -> None:
    """Every parameter and the result of a method of Client has a type."""
    untyped = []
    for name in CLIENT_CALLS:
        signature = inspect.signature(getattr(Client, name))
        untyped += [name] if signature.return_annotation is inspect.Signature.empty else []
        untyped += [
            f"{name}: {p}" for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"
        ]
    assert untyped == []


def test_there_is_one_version() -> None:
    """The version is in version.py, where the build reads it, and in no other file of the package."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["metadata"]["version"] == "attr: cometchat.version.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?", cometchat.__version__)
    literal = re.compile(rf"(?<![\d.]){re.escape(cometchat.__version__)}(?![\d.])")
    holders = [path for path in (ROOT / "cometchat").rglob("*.py") if literal.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in holders] == ["version.py"]


def test_the_changelog_has_the_version() -> None:
    """The newest entry of the changelog is this version."""
    newest = re.search(r"^Version (\S+)$", (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None and newest.group(1) == cometchat.__version__


def test_a_status_is_its_string() -> None:
    """Each status equals the vendor's string, prints as it, and keeps its identity in a pickle."""
    for state in CometChatWSState:
        assert state == state.value and f"{state}" == str(state) == state.value
        assert f"{state:>20}" == f"{state.value:>20}"
        assert pickle.loads(pickle.dumps(state)) is state
    assert {s.value for s in CometChatWSState} == {"connected", "connecting", "disconnected", "featureThrottled"}


def test_the_calls_of_version_0_1_0_are_valid() -> None:
    """Each call and callback still has the parameters that programs give it. New ones come after them."""
    calls = re.findall(r"([\w.]+)\(([^)]*)\)", old_versions.CALLS)
    assert len(calls) == 87
    for name, given in calls:
        function: Any = cometchat
        for part in name.split("."):
            function = getattr(function, part)
        parameters = list(inspect.signature(function).parameters)
        if isinstance(function, type) or parameters[:1] != ["self"]:
            parameters.insert(0, "self")
        expected = ["self", *given.split()]
        if name == "AppSettings":  # by name only
            assert set(expected) <= set(parameters)
        else:
            assert parameters[: len(expected)] == expected, name
