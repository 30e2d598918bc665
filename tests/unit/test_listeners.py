"""The listener classes: their construction from callables, and the checks at registration."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import threading
from typing import Any, Iterator, List
from unittest import mock

import pytest

from cometchat import (
    AppSettings,
    Client,
    CometChat,
    ConnectionListener,
    EventListener,
    InvalidArgumentException,
    LoginListener,
    MessageListener,
    OutboxListener,
    SessionStore,
    UserListener,
    listeners,
)
from cometchat.listeners import KINDS, MESSAGE_KINDS, check_listener


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_listener_can_be_made_from_callables(kind: str) -> None:
    """Each class accepts each of its methods by name. Methods that are not given are no-ops."""
    cls = KINDS[kind]
    names = [name for name in vars(cls) if not name.startswith("_")]
    assert names
    heard: List[Any] = []
    listener = cls(**{name: lambda *_, name=name: heard.append(name) for name in names})
    for name in names:
        getattr(listener, name)()
    assert heard == names and check_listener(listener, kind) is None
    assert check_listener(cls(), kind) is None


def test_type_checkers_know_the_callables() -> None:
    """The signature for type checkers has each method of its class, with the types of the method's arguments."""
    tree = ast.parse(inspect.getsource(listeners).replace("models.", ""))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for cls in KINDS.values():
        body = classes[cls.__name__].body
        (block,) = (node for node in body if isinstance(node, ast.If))
        (signature,) = (node for node in ast.walk(block) if isinstance(node, ast.FunctionDef))
        declared = {one.arg: ast.unparse(one.annotation) for one in signature.args.kwonlyargs if one.annotation}
        wanted = {}
        for method in body:
            if isinstance(method, ast.FunctionDef):
                types = [ast.unparse(one.annotation) for one in method.args.posonlyargs if one.annotation]
                wanted[method.name] = f"Callable[[{', '.join(types)}], object]"
        assert (signature.name, declared) == ("__init__", wanted)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_listener_can_be_added_by_its_name_alone(kind: str) -> None:
    """``add_..._listener(listener=...)`` generates an id, as the call with the listener in first place does."""
    with Client("app", AppSettings(region="us")) as client:
        for owner in (client, CometChat):
            add, remove = (getattr(owner, f"{verb}_{kind}_listener") for verb in ("add", "remove"))
            ids = [add(listener=KINDS[kind]()), add(KINDS[kind]()), add(listener_id="a new id", listener=KINDS[kind]())]
            assert len(set(ids)) == 3 and all(isinstance(each, str) and each for each in ids) and ids[2] == "a new id"
            for listener_id in ids:
                remove(listener_id)
            for wrong in ({}, {"listener": None}):
                with pytest.raises(InvalidArgumentException, match="Missing listener:"):
                    add(**wrong)


def test_an_unknown_name_is_refused() -> None:
    """Otherwise, a typing error would make a listener that is never called."""
    with pytest.raises(InvalidArgumentException, match="did you mean on_connected") as caught:
        ConnectionListener(on_conected=print)
    assert (caught.value.code, caught.value.name) == ("INVALID_LISTENER", "listener")
    others = ({"on_text_message_received": print}, {"_x": print}, {"on_connected": "print"}, {"on_connected": None})
    for wrong in others:
        with pytest.raises(InvalidArgumentException):
            ConnectionListener(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (print, r"made from the function by MessageListener\(on_...=function\)"),
        (MessageListener, "an object, not the class MessageListener"),
        (ConnectionListener(), "got ConnectionListener"),
    ],
)
def test_a_wrong_listener_without_an_id_is_a_wrong_listener(wrong: Any, hint: str) -> None:
    """The error speaks of the listener, and not of an id that the caller did not give."""
    with Client("app", AppSettings(region="us")) as client:
        with pytest.raises(InvalidArgumentException, match=hint) as caught:
            client.add_message_listener(wrong)
    assert caught.value.code == "INVALID_LISTENER"


def test_a_subclass_may_name_the_parameters_as_it_likes() -> None:
    """Type checkers accept ``on_connection_error(self, e)``, and ``save(self, data)`` of a session store."""
    called = {f"{cls.__name__}.{name}": f for cls in KINDS.values() for name, f in vars(cls).items() if name[0] != "_"}
    called["SessionStore.save"] = SessionStore.save
    named = [
        f"{name}({parameter.name})"
        for name, function in called.items()
        for parameter in list(inspect.signature(function).parameters.values())[1:]
        if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    ]
    assert len(called) > 50 and not named


def test_a_subclass_may_have_an_init_of_its_own() -> None:
    """A class that does not call super().__init__() works, as it always has."""

    class Own(ConnectionListener):
        def __init__(self, name: str) -> None:
            self.name = name

    assert Own("x").name == "x" and check_listener(Own("x"), "connection") is None
    Own("x").on_connected()


def test_a_listener_may_be_something_else_too() -> None:
    """Another base class gets its __init__, and a class may be a listener of two kinds."""

    class Worker(ConnectionListener, threading.Thread):
        pass

    assert Worker().name.startswith("Thread-")

    class Both(ConnectionListener, MessageListener):
        pass

    both = Both(on_connected=print, on_text_message_received=print)
    assert both.on_text_message_received is print
    assert check_listener(both, "connection") is check_listener(both, "message") is None


def test_a_mock_of_a_listener_passes() -> None:
    """Users' tests use mocks in a listener's place."""
    assert check_listener(mock.Mock(spec=ConnectionListener), "connection") is None


class Awaitable:
    async def __call__(self) -> None:
        """Return a coroutine. No code awaits it."""


async def _async() -> None:
    """Return a coroutine as well."""


def _generator() -> Iterator[None]:
    """Return a generator. No code iterates over it."""
    yield


@pytest.mark.parametrize(
    "callback, kind",
    [(_async, "async"), (functools.partial(_async), "async"), (Awaitable(), "async"), (_generator, "generator")],
    ids=["def", "partial", "object", "generator"],
)
def test_a_callback_whose_code_would_not_run_is_refused(callback: Any, kind: str) -> None:
    """Such a callback would return a coroutine or a generator, which no code runs."""
    with pytest.raises(InvalidArgumentException, match=f"on_connected, got an? {kind} function") as caught:
        check_listener(ConnectionListener(on_connected=callback), "connection")
    assert caught.value.code == "INVALID_LISTENER"


def test_an_async_method_is_refused() -> None:
    """The same holds for a method, and for an async generator."""

    class Async(LoginListener):
        async def login_success(self, user: Any) -> None:  # type: ignore[override]
            """Return a coroutine. No code awaits it."""

    class Generator(UserListener):
        async def on_user_online(self, user: Any) -> Any:
            yield

    for listener, kind in ((Async(), "login"), (Generator(), "user")):
        with pytest.raises(InvalidArgumentException, match="async"):
            check_listener(listener, kind)


@pytest.mark.parametrize("given", [print, {"on_text_message_received": print}], ids=["function", "dict"])
def test_callbacks_without_names_are_refused(given: Any) -> None:
    """A function alone, or JavaScript's object of callbacks: the error shows the right form."""
    with pytest.raises(InvalidArgumentException, match=r"MessageListener\(on_...=function\)") as caught:
        MessageListener(given)
    assert caught.value.code == "INVALID_LISTENER"


def test_a_mock_of_a_listener_is_accepted() -> None:
    """``create_autospec`` makes mocks that ``inspect`` takes for coroutine functions. A customer's test adds them."""
    for listener in (mock.create_autospec(MessageListener, instance=True), mock.Mock(spec=MessageListener)):
        assert check_listener(listener, "message") is None


def test_a_callback_that_is_not_callable_is_refused() -> None:
    """One example is a flag with a callback's name."""

    class Flag(ConnectionListener):
        on_connected = True  # type: ignore[assignment]

    with pytest.raises(InvalidArgumentException, match="on_connected, got bool"):
        check_listener(Flag(), "connection")


def test_a_method_that_nothing_calls_gives_one_warning_for_its_class() -> None:
    """The warning has the right name, if there is a similar one."""

    class Light(ConnectionListener):
        def on_conected(self) -> None:
            """Do nothing: a typing error."""

        @staticmethod
        def on_reconnect() -> None:
            """Do nothing: a name from elsewhere."""

        def helper(self) -> None:
            """Not a callback by its name."""

        @property
        def on_air(self) -> bool:
            raise AssertionError("a property is not run")

    warning = check_listener(Light(), "connection")
    assert warning is not None and warning.startswith("Light ") and "ConnectionListener" in warning
    assert "on_conected() (did you mean on_connected?)" in warning and "on_reconnect()" in warning
    assert "helper" not in warning and "on_air" not in warning
    assert check_listener(Light(), "connection") is None


def test_the_vendor_s_names_of_callbacks_give_a_warning_too() -> None:
    """A class that was moved from the vendor's JavaScript SDK, with its names, is not silent."""

    class Moved(ConnectionListener, MessageListener, LoginListener):
        def inConnecting(self) -> None:
            """Do nothing: JavaScript's name of on_connecting."""

        def onAIAssistantMessageReceived(self, message: Any) -> None:
            """Do nothing: a name with an abbreviation."""

        def logoutSuccess(self) -> None:
            """Do nothing: a name without the prefix."""

        def onScreen(self) -> None:
            """Not a callback of the vendor."""

    warning = check_listener(Moved(), "message")
    assert warning is not None and "onScreen" not in warning
    assert "inConnecting() (did you mean on_connecting?)" in warning
    assert "onAIAssistantMessageReceived() (did you mean on_ai_assistant_message_received?)" in warning
    assert "logoutSuccess() (did you mean logout_success?)" in warning


def test_the_methods_of_a_login_listener_begin_otherwise() -> None:
    """The vendor's names for it have no "on_" in front."""

    class Login(LoginListener):
        def login_succes(self, user: Any) -> None:
            """Do nothing: a typing error."""

    warning = check_listener(Login(), "login")
    assert warning is not None and "did you mean login_success?" in warning

    class Other(ConnectionListener):
        def login_again(self) -> None:
            """Not a callback of a connection."""

    assert check_listener(Other(), "connection") is None


def test_the_kinds() -> None:
    """Each kind has one class, and the client fetches missed messages for three of them."""
    assert len(set(KINDS.values())) == len(KINDS) and KINDS["event"] is EventListener
    assert set(MESSAGE_KINDS) == {"message", "group", "call"}


def test_the_check_does_not_make_a_listener_slower():
    """``dir(listener)`` would give it a dict: with CPython 3.11 and 3.12 its attributes would then be slower."""

    class Listener(ConnectionListener):
        def __init__(self):
            self.calls = 0

        def on_conected(self):
            self.calls += 1

    def has_a_dict(listener):
        return any(type(each) is dict for each in gc.get_referents(listener))

    if has_a_dict(Listener()):
        pytest.skip("with this interpreter, each object has a dict from the beginning")
    listener = Listener()
    assert "on_conected" in check_listener(listener, "connection")
    assert not has_a_dict(listener)


def test_callbacks_with_other_arguments():
    """A warning at the registration. Otherwise only the event, such as a rare error, would show the mistake."""

    class Typo(OutboxListener):
        def on_failed(self, message):
            """Lack the error."""

        @staticmethod
        def on_delivered(message):
            """Take what the SDK gives."""

    def decorated(function):
        return functools.wraps(function)(lambda *args: function(*args, "more"))

    wrong = {
        "connection": ConnectionListener(on_connection_error=lambda: None, on_connected=lambda: None),
        "outbox": Typo(),
        "message": MessageListener(on_text_message_received=lambda message, client: None),
    }
    assert {kind: check_listener(listener, kind) for kind, listener in wrong.items()} == {
        "connection": "ConnectionListener.on_connection_error() can't be called with (error): too many positional"
        " arguments.",
        "outbox": "Typo.on_failed() can't be called with (message, error): too many positional arguments.",
        "message": "MessageListener.on_text_message_received() can't be called with (message): missing a required"
        " argument: 'client'.",
    }
    assert check_listener(Typo(), "outbox") is None  # the warning comes once for each class
    right = [print, mock.Mock(), decorated(lambda message, more: None), functools.partial(lambda one, two: None, 1)]
    for callback in (*right, max, [].append, lambda message, retry=False: None):
        assert check_listener(MessageListener(on_text_message_received=callback), "message") is None
