"""CometChat is Client, method by method, on one shared client."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple
from unittest import mock

import pytest
import tenacity

import cometchat
from cometchat import (
    AppSettings,
    CallListener,
    Client,
    CometChat,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    GroupListener,
    InvalidArgumentException,
    LoginListener,
    MemorySessionStore,
    MessageListener,
    Outbox,
    OutboxListener,
    UserListener,
    api,
)
from cometchat.settings import SUBSCRIPTION_TYPES

DEADLINE = 10.0

#: Names that CometChat has beside Client's methods, and names that only an object needs.
ONLY_COMETCHAT = {"init"}
ONLY_CLIENT: Set[str] = set()

#: Results of the calls that are allowed before `init` (api.md). All others raise.
BEFORE_INIT: Dict[str, Any] = {"get_connection_status": CometChatWSState.DISCONNECTED}
LISTENERS: Dict[str, type] = {
    "connection": ConnectionListener,
    "login": LoginListener,
    "user": UserListener,
    "group": GroupListener,
    "message": MessageListener,
    "call": CallListener,
    "outbox": OutboxListener,
}

NOWHERE = {"admin_host": "http://127.0.0.1:9", "client_host": "http://127.0.0.1:9"}


def methods(cls: type) -> Set[str]:
    without_instance = (classmethod, staticmethod)  # neither is callable in Python 3.9
    return {name for name, member in public(cls).items() if callable(member) or isinstance(member, without_instance)}


def properties(cls: type) -> Set[str]:
    return set(public(cls)) - methods(cls)


def public(cls: type) -> Dict[str, Any]:
    """Return the names from the class itself: reading CometChat's attributes would ask for its client."""
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


SHARED = sorted(methods(Client) - ONLY_CLIENT)
WANT_A_CLIENT = [name for name in SHARED if name not in BEFORE_INIT and not name.endswith("_listener")]


def parameters(method: Any) -> List[inspect.Parameter]:
    return [value for name, value in inspect.signature(method).parameters.items() if name not in ("self", "cls")]


@pytest.fixture(autouse=True)
def facade() -> Iterator[None]:
    """CometChat without a client and without listeners, before and after the test."""
    api._client = None
    yield
    if api._client is not None:
        CometChat.close()
    api._client = None
    for kind, entries in list(CometChat._registry._entries.items()):
        for listener_id in list(entries):
            CometChat._registry.remove(kind, listener_id)
    for thread in threading.enumerate():
        if thread.name.startswith("cometchat-"):
            thread.join(10)


def test_both_have_the_same_names() -> None:
    """CometChat's methods are Client's and ``init``. Client's properties exist there as well."""
    assert methods(CometChat) - ONLY_COMETCHAT == set(SHARED)
    assert properties(CometChat) == properties(Client)


def test_the_outbox_is_the_shared_clients() -> None:
    """``CometChat.outbox`` can be read before ``init``, and raises when it is called."""
    assert isinstance(CometChat.outbox, Outbox) and dict(inspect.getmembers(CometChat))["outbox"] is CometChat.outbox
    with pytest.raises(CometChatException) as caught:
        CometChat.outbox.pending()
    assert caught.value.code == "COMETCHAT_INITIALIZATION_NOT_DONE"
    CometChat.init("app", AppSettings(**NOWHERE))
    with pytest.raises(CometChatException) as caught:
        CometChat.outbox.pending()
    assert caught.value.code == "USER_NOT_LOGGED_IN"


def test_tools_can_look_at_the_outbox_before_init() -> None:
    """An unknown attribute is an AttributeError, so ``create_autospec`` and ``hasattr`` need no client."""
    assert not hasattr(CometChat.outbox, "_repr_html_") and not hasattr(CometChat.outbox, "puts")
    for double in (mock.create_autospec(CometChat), mock.Mock(spec=CometChat)):
        double.outbox.put(1)
        double.outbox.put.assert_called_once_with(1)


def test_each_method_needs_no_instance_and_has_the_same_signature() -> None:
    """Each method has the same names, order, kinds, defaults and annotations, without an instance."""
    assert [name for name in SHARED if parameters(getattr(CometChat, name)) != parameters(getattr(Client, name))] == []
    results = {name: [result(getattr(cls, name)) for cls in (Client, CometChat)] for name in SHARED}
    assert [name for name, (theirs, ours) in results.items() if theirs != ours] == []
    bound = (classmethod, staticmethod)
    assert [name for name in methods(CometChat) if not isinstance(inspect.getattr_static(CometChat, name), bound)] == []


def result(method: Any) -> Any:
    return inspect.signature(method).return_annotation


def test_each_method_has_the_clients_docstring() -> None:
    """Editors show CometChat's own docstrings. The texts are Client's, word for word, apart from the differences."""
    texts = {name: (words(getattr(CometChat, name)), expected_words(name)) for name in SHARED}
    assert {name: both for name, both in texts.items() if both[0] != both[1]} == {}


#: The differences of single methods: Client's words, and CometChat's.
OTHER_WORDS = {
    "close": ("The client can't be used after it.", "You can call :meth:`init` again."),
    "run_forever": ("Raises nothing.", "An :meth:`init` that closes the client ends it too."),
    "get_connection_status": ("Return the status.", "Return the status; ``disconnected`` before :meth:`init`."),
}
RAISES = ":raises CometChatException:"


def words(method: Any) -> str:
    return " ".join((method.__doc__ or "").split())


def expected_words(name: str) -> str:
    theirs, ours = OTHER_WORDS.get(name, ("", ""))
    text = words(getattr(Client, name))
    assert theirs in text, name
    text = re.sub(r"\bclient\.(?=\w+\()", "CometChat.", text.replace(theirs, ours, 1))
    if name.endswith("_listener"):
        lead, rest = re.split(r"(?= ::| :param| :raises)", text.replace(", ``ERR_CLIENT_CLOSED``", ""), maxsplit=1)
        return f"{lead} Works before :meth:`init`.{rest}"
    if name not in WANT_A_CLIENT:
        return text
    if RAISES not in text:
        return f"{text} {RAISES} ``COMETCHAT_INITIALIZATION_NOT_DONE``."
    lead, rest = text.split(RAISES)
    if not rest.startswith(" as :meth:"):
        rest = rest.replace("``", "``COMETCHAT_INITIALIZATION_NOT_DONE``, ``", 1)
    return lead + RAISES + rest


def test_no_signature_shows_a_private_parameter() -> None:
    """Users call only public parameters: of the package's classes, and of their methods."""
    classes = [value for value in map(vars(cometchat).get, cometchat.__all__) if inspect.isclass(value)]
    callables = [member for cls in classes for member in [cls, *(getattr(cls, name) for name in methods(cls))]]
    assert len(callables) > 100
    shown = {f"{each.__qualname__}({name})" for each in callables for name in names_of(each) if name.startswith("_")}
    assert shown == set()


def names_of(function: Any) -> List[str]:
    try:
        return list(inspect.signature(function).parameters)
    except ValueError:  # made in C
        return []


@pytest.mark.parametrize(
    "function, parameter, values",
    [
        (Client.start_typing, "receiver_type", ("user", "group")),
        (Client.end_typing, "receiver_type", ("user", "group")),
        (Client.send_transient_message, "receiver_type", ("user", "group")),
        (Client.wait_for_status, "status", tuple(str(status) for status in CometChatWSState)),
        (AppSettings.__init__, "subscription_type", SUBSCRIPTION_TYPES),
    ],
)
def test_an_editor_offers_the_values_of_a_choice(function: Any, parameter: str, values: Tuple[str, ...]) -> None:
    """The annotation lists the strings that the code accepts."""
    annotation = inspect.signature(function).parameters[parameter].annotation
    offered = re.search(r"Literal\[(.*?)\]", annotation)
    assert offered is not None, annotation
    assert set(re.findall(r"[\"'](\w+)[\"']", offered[1])) == set(values)


def test_each_method_raises_before_init() -> None:
    """For any arguments it is ``COMETCHAT_INITIALIZATION_NOT_DONE``, with a message that names the call to make."""
    for name in WANT_A_CLIENT:
        needed = [None for parameter in parameters(getattr(CometChat, name)) if parameter.default is parameter.empty]
        with pytest.raises(CometChatException, match=r"CometChat\.init\(") as caught:
            getattr(CometChat, name)(*needed)
        assert caught.value.code == "COMETCHAT_INITIALIZATION_NOT_DONE", name


def test_a_closed_default_says_so() -> None:
    """After ``close()`` a call is ERR_CLIENT_CLOSED, the status is ``disconnected``, and ``init`` begins again."""
    CometChat.init("app", AppSettings(**NOWHERE))
    CometChat.close()
    CometChat.close()
    assert CometChat.get_connection_status() == "disconnected"
    for call in (CometChat.connect, CometChat.disconnect, CometChat.outbox.pending):
        with pytest.raises(CometChatException) as caught:
            call()
        assert caught.value.code == "ERR_CLIENT_CLOSED"
    CometChat.init("app", AppSettings(**NOWHERE))
    assert CometChat.get_logged_in_user() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_is_not_copied(copied: Callable[[Client], object]) -> None:
    """A copy would share the connection, and its end would warn of a client that is not closed."""
    with Client("app", AppSettings(**NOWHERE)) as client:
        with pytest.raises(TypeError, match="a Client can't be copied or pickled"):
            copied(client)


@pytest.mark.parametrize("name", sorted(BEFORE_INIT))
def test_calls_that_are_allowed_before_init(name: str) -> None:
    """The status is ``disconnected``."""
    assert getattr(CometChat, name)() == BEFORE_INIT[name]


@pytest.mark.parametrize("kind", sorted(LISTENERS))
def test_listeners_come_and_go_before_init(kind: str) -> None:
    """A listener may be added, replaced and removed before ``init``. An unknown id is a no-op."""
    listener = LISTENERS[kind]()
    getattr(CometChat, f"add_{kind}_listener")("id", listener)
    assert [entry.listener for entry in CometChat._registry.audience(kind).entries] == [listener]
    getattr(CometChat, f"remove_{kind}_listener")("unknown")
    getattr(CometChat, f"remove_{kind}_listener")("id")
    assert CometChat._registry.audience(kind).entries == ()


@pytest.mark.parametrize("kind", sorted(LISTENERS))
@pytest.mark.parametrize("owner", ["Client", "CometChat"])
def test_a_listener_of_another_kind_is_refused(kind: str, owner: str) -> None:
    """``add_x_listener`` accepts only an instance of its own class, and names the class in its error."""
    with Client("app", AppSettings(**NOWHERE)) as client:
        target: Any = client if owner == "Client" else CometChat
        add = getattr(target, f"add_{kind}_listener")
        for wrong in [other() for name, other in LISTENERS.items() if name != kind] + [LISTENERS[kind], object()]:
            with pytest.raises(InvalidArgumentException, match=LISTENERS[kind].__name__) as caught:
                add("id", wrong)
            assert caught.value.code == "INVALID_LISTENER"
        for nameless in (None, "", " "):
            with pytest.raises(InvalidArgumentException) as caught:
                add(nameless, LISTENERS[kind]())
            assert caught.value.code == "MISSING_PARAMETERS"


def test_the_context_manager_works_before_init() -> None:
    """``connection_listener()`` is a listener method too."""
    with CometChat.connection_listener(ConnectionListener()) as listener:
        assert [entry.listener for entry in CometChat._registry.audience("connection").entries] == [listener]
    assert CometChat._registry.audience("connection").entries == ()


def test_new_equal_strategies_are_the_same_arguments() -> None:
    """Tenacity's strategies do not compare.

    Two that were made in the same way count as equal, and ``init`` is a no-op.
    """

    def settings(seconds: float) -> AppSettings:
        wait = tenacity.wait_fixed(seconds) + tenacity.wait_random(0, 1)
        stop = tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(9)
        return AppSettings(reconnect_wait=wait, reconnect_stop=stop, **NOWHERE)

    assert settings(1) == settings(1) != settings(2)
    assert hash(settings(1)) == hash(settings(1))
    assert settings(1) != "settings"
    CometChat.init("app", settings(1))
    first = api._client
    CometChat.init("app", settings(1))
    assert api._client is first
    CometChat.init("app", settings(2))
    assert api._client is not first


def test_init_with_the_same_arguments_does_nothing() -> None:
    """The client stays the same object. Other arguments close it and make another."""
    CometChat.init("app", AppSettings(**NOWHERE))
    first = api._client
    CometChat.init("app", AppSettings(**NOWHERE))
    assert api._client is first and first is not None
    CometChat.init("app", AppSettings(ping_interval=5, **NOWHERE))
    second = api._client
    assert second is not first and second is not None
    CometChat.init("app2", AppSettings(ping_interval=5, **NOWHERE))
    assert api._client is not second
    for old in (first, second):
        with pytest.raises(CometChatException) as caught:
            old.connect()
        assert caught.value.code == "ERR_CLIENT_CLOSED"


@pytest.mark.parametrize("same", [True, False])
def test_init_does_not_wait_forever_for_that_of_another_thread(monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    """The session store, or a log handler, of the first init() waits for a thread that calls init()."""
    waited: List[bool] = []

    class Waiting(MemorySessionStore):
        def load(self) -> Optional[Dict[str, Any]]:
            if not waited:
                args = ("app", settings) if same else ("app2", AppSettings(**NOWHERE))
                other = threading.Thread(target=CometChat.init, args=args, daemon=True, name="test-other")
                waited.append(True)
                other.start()
                other.join(DEADLINE)
                waited[0] = other.is_alive()
            return super().load()

    monkeypatch.setattr(api, "_PATIENCE", 0.05)
    settings = AppSettings(session_store=Waiting(), **NOWHERE)
    CometChat.init("app", settings)
    assert waited == [False]
    assert api._client is not None and api._client.app_id == ("app" if same else "app2")
    CometChat.init("app3", AppSettings(**NOWHERE))  # the turn is free again
    CometChat.close()


@pytest.mark.parametrize(
    "app_id, settings, code",
    [
        ("", AppSettings(region="us"), "MISSING_PARAMETERS"),
        (None, AppSettings(region="us"), "MISSING_PARAMETERS"),
        (5, AppSettings(region="us"), "INVALID_APP_ID"),
        ("a/b", AppSettings(region="us"), "INVALID_APP_ID"),
        ("app", None, "MISSING_PARAMETERS"),
        ("app", {"region": "us"}, "INVALID_SETTINGS"),
        ("app", AppSettings, "INVALID_SETTINGS"),
    ],
    ids=repr,
)
def test_init_with_wrong_arguments_leaves_the_old_client(app_id: Any, settings: Any, code: str) -> None:
    """A refused ``init`` changes nothing: there is still no client, or the old one stays."""
    for _ in range(2):
        before = api._client
        with pytest.raises(InvalidArgumentException) as caught:
            CometChat.init(app_id, settings)
        assert caught.value.code == code
        assert api._client is before
        CometChat.init("app", AppSettings(**NOWHERE))
    assert CometChat.get_logged_in_user() is None


def test_each_method_goes_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is Client's of the same name, with the same arguments and result."""
    CometChat.init("app", AppSettings(**NOWHERE))
    assert len(WANT_A_CLIENT) > 10
    for name in WANT_A_CLIENT:
        seen: List[Any] = []
        original, made = getattr(Client, name), object()

        def record(self: Client, *args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(original).bind(self, *args, **kwargs)
            bound.apply_defaults()
            seen.append(bound.arguments)
            return made

        with monkeypatch.context() as patch:
            patch.setattr(Client, name, record)
            given = {parameter.name: object() for parameter in parameters(original)}
            returned = getattr(CometChat, name)(**given)
            client = api._client
        assert seen == [{"self": client, **given}], name
        if result(original) not in (None, "None"):
            assert returned is made, name
