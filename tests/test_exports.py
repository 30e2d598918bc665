"""The public names: sorted, complete, documented, and with one version."""

from __future__ import annotations

import configparser
import importlib
import inspect
import pickle
import re
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest

import cometchat
from cometchat import (
    AppSettings,
    Client,
    CometChat,
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
    """The public methods and properties, those of base classes of this package too."""
    names = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("cometchat")
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, (classmethod, property)))
    }
    return sorted(names)


METHODS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}") for cls in (Client, CometChat) for name in own_methods(cls)
]


@pytest.mark.parametrize("name", SUBMODULES)
def test_all_is_sorted_and_without_doubles(name: str) -> None:
    """``__all__`` can be read, and a change of it shows in one line."""
    exported = importlib.import_module(name).__all__
    assert list(exported) == sorted(set(exported))


@pytest.mark.parametrize("name", SUBMODULES)
def test_every_name_in_all_is_there(name: str) -> None:
    """``from cometchat import *`` works."""
    namespace: Dict[str, Any] = {}
    exec(f"from {name} import *", namespace)
    assert set(importlib.import_module(name).__all__) <= set(namespace)


def test_the_contract_is_exported() -> None:
    """Every name of the contract is there."""
    assert CONTRACT - set(cometchat.__all__) == set()


def test_all_is_complete() -> None:
    """Every public class of this package that ``cometchat`` holds is in ``__all__``: nothing is public by accident."""
    held = {
        name
        for name, value in vars(cometchat).items()
        if not name.startswith("_") and inspect.isclass(value) and value.__module__.startswith("cometchat")
    }
    assert held == set(PUBLIC)


def test_every_model_listener_and_exception_is_exported() -> None:
    """What a method takes, a callback gets or a call raises can be imported from ``cometchat``."""
    wanted = set(models.__all__)
    wanted |= {cls.__name__ for cls in listeners.KINDS.values()}
    classes = [value for value in vars(exceptions).values() if inspect.isclass(value)]
    wanted |= {cls.__name__ for cls in classes if issubclass(cls, Exception)}
    assert wanted - set(cometchat.__all__) == set()


def test_there_is_no_third_way_in() -> None:
    """A name without an underscore in ``cometchat`` is exported, a module, or an import's rest."""
    stray = {
        name
        for name, value in vars(cometchat).items()
        if not name.startswith("_") and name not in cometchat.__all__ and not inspect.ismodule(value)
    }
    assert stray <= {"annotations"}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    """Each says what it is; a dataclass's made-up one (its signature) does not count."""
    value = getattr(cometchat, name)
    text = value.__dict__.get("__doc__") or ""
    assert text.strip() and not text.startswith(f"{name}(")


@pytest.mark.parametrize(
    "cls, name",
    [
        pytest.param(getattr(cometchat, cls), name, id=f"{cls}.{name}")
        for cls in PUBLIC
        for name in own_methods(getattr(cometchat, cls))
        if cls not in ("Client", "CometChat")
    ],
)
def test_every_method_of_a_public_class_has_a_docstring(cls: type, name: str) -> None:
    """Listeners, models, stores and settings: each method says what it is, or when it is called."""
    assert (inspect.getdoc(getattr(cls, name)) or "").strip()


@pytest.mark.parametrize("cls, name", METHODS)
def test_every_method_of_client_and_cometchat_has_a_docstring(cls: type, name: str) -> None:
    """Each says what it does; CometChat's may point to Client's."""
    text = (inspect.getdoc(getattr(cls, name)) or "").strip()
    assert text
    if cls is CometChat and name not in ("init", "close"):
        assert f"Client.{name}`" in text


def test_every_status_is_explained_in_the_source() -> None:
    """Each member of the enum has a comment (``#:``) that says what it means."""
    source = inspect.getsource(CometChatWSState)
    for state in CometChatWSState:
        assert re.search(rf"#: [^\n]+\n\s+{state.name} = ", source)


# What a method raises is what its docstring says.


def documented(name: str, seen: Tuple[str, ...] = ()) -> str:
    """The docstring of a method of Client, and of those that it points to."""
    text = inspect.getdoc(getattr(Client, name)) or ""
    pointers = [other for other in re.findall(r":meth:`(?:Client\.)?(\w+)`", text) if hasattr(Client, other)]
    return "\n".join([text, *(documented(other, (*seen, name)) for other in pointers if other not in (*seen, name))])


#: A right value for each parameter, and for one that is not here, None.
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
    "message": models.TextMessage(id="7", sender=models.User("u"), receiver_id="u", receiver_type="user", text="hello"),
}


def right_arguments(name: str) -> Dict[str, Any]:
    parameters = [parameter for parameter in inspect.signature(getattr(Client, name)).parameters if parameter != "self"]
    kind = re.sub(r"^add_|^remove_|_listener$", "", name)
    listener = listeners.KINDS.get(kind if kind in listeners.KINDS else "connection", object)
    return {parameter: listener() if parameter == "listener" else RIGHT.get(parameter) for parameter in parameters}


def raised(client: Client, name: str, arguments: Dict[str, Any]) -> Set[str]:
    """The code that the call raises, if any."""
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
def client() -> Iterator[Client]:
    """A client whose service refuses connections."""
    nowhere = AppSettings(admin_host="http://127.0.0.1:9", client_host="http://127.0.0.1:9", connect_timeout=1)
    with Client("app", nowhere) as made:
        yield made
    for thread in threading.enumerate():
        if thread.name.startswith("cometchat-"):
            thread.join(10)


@pytest.mark.parametrize("name", CLIENT_CALLS)
def test_the_codes_before_the_login_are_documented(client: Client, name: str) -> None:
    """What a call with right arguments raises without a login or connection stands in its docstring."""
    codes = raised(client, name, right_arguments(name))
    assert {code for code in codes if f"``{code}``" not in documented(name)} == set()


@pytest.mark.parametrize("name", CLIENT_CALLS)
def test_the_code_after_the_end_is_documented(client: Client, name: str) -> None:
    """``ERR_CLIENT_CLOSED`` stands in the docstring of each method that raises it, and of no method that does not."""
    client.close()
    codes = raised(client, name, right_arguments(name))
    assert codes <= {"ERR_CLIENT_CLOSED"}
    assert bool(codes) == ("``ERR_CLIENT_CLOSED``" in documented(name))


@pytest.mark.parametrize(
    "name, parameter",
    [
        pytest.param(name, parameter, id=f"{name}-{parameter}")
        for name in CLIENT_CALLS
        for parameter in inspect.signature(getattr(Client, name)).parameters
        if parameter != "self"
    ],
)
def test_the_codes_of_wrong_arguments_are_documented(client: Client, name: str, parameter: str) -> None:
    """``MISSING_PARAMETERS`` and ``INVALID_{PARAMETER}`` stand in the docstring of each method that raises them."""
    arguments, text = right_arguments(name), documented(name)
    wrong = raised(client, name, {**arguments, parameter: object()})
    assert wrong == {f"INVALID_{parameter.upper()}"}
    assert {code for code in wrong if f"``{code}``" not in text} == set()
    if "Optional" not in str(inspect.signature(getattr(Client, name)).parameters[parameter].annotation):
        missing = raised(client, name, {**arguments, parameter: None})
        assert missing and missing <= {"MISSING_PARAMETERS", *wrong}
        assert {code for code in missing if f"``{code}``" not in text} == set()


@pytest.mark.parametrize("cls", [Client, AppSettings, cometchat.FileSessionStore], ids=lambda cls: cls.__name__)
def test_a_constructor_that_checks_says_what_it_raises(cls: type) -> None:
    """The class's docstring names the codes of its arguments."""
    text = inspect.getdoc(cls) or ""
    assert ":raises CometChatException:" in text and "``MISSING_PARAMETERS``" in text


# What is shipped.


def test_the_types_are_shipped() -> None:
    """``py.typed`` is in the package and in what is packed."""
    assert (ROOT / "cometchat" / "py.typed").is_file()
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "py.typed" in config["options.package_data"]["cometchat"].split()


@pytest.mark.parametrize("name", CLIENT_CALLS)
def test_every_public_method_is_annotated(name: str) -> None:
    """Every parameter and the result of a method of Client has a type."""
    signature = inspect.signature(getattr(Client, name))
    assert signature.return_annotation is not inspect.Signature.empty
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
    assert untyped == []


def test_there_is_one_version() -> None:
    """It stands in version.py, is what the build reads, and stands nowhere else in the package."""
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


@pytest.mark.parametrize("state", list(CometChatWSState), ids=str)
def test_a_status_is_its_string(state: CometChatWSState) -> None:
    """Each equals the vendor's string, prints as it, and keeps its identity in a pickle."""
    assert state == state.value and f"{state}" == str(state) == state.value and f"{state:>20}" == f"{state.value:>20}"
    assert pickle.loads(pickle.dumps(state)) is state
    assert {s.value for s in CometChatWSState} == {"connected", "connecting", "disconnected", "featureThrottled"}
