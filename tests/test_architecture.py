"""The architecture's rules, held against the imports and the syntax of every module as they are."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterator, List, NamedTuple, Set, Tuple, Union

import pytest

import cometchat

ROOT = Path(cometchat.__file__).resolve().parent
MAX_LINES = 400
MAX_FUNCTION_LINES = 50

#: Part of the package -> its floor. A part imports parts of lower floors, and itself.
FLOORS: Dict[str, float] = {
    "version": 0,
    "exceptions": 0,
    "_fields": 0,
    "models": 0.1,
    "listeners": 0.2,
    "connection_info": 0.2,
    "stats": 0.2,
    "status_store": 0.2,
    "_protocol": 1,
    "settings": 2,
    "_transport": 2.1,  # above settings: the socket takes its limits from there
    "_runtime": 3,
    # Client in several files, for the 400 lines' sake: what it inherits or owns is beside it; CometChat uses that too.
    "_listening": 4,
    "_sending": 4,
    "outbox": 4,
    "_parts": 4.1,
    "_forking": 4.1,
    "client": 4.2,
    "api": 4.3,
    "": 4.4,  # the package itself, the door
    "sandbox": 5,
    "contrib": 5,
    "cli": 5.1,  # its demo and its sandbox command start a Sandbox
    "pytest_plugin": 5.1,
    "__main__": 5.2,
}

#: Whose users are they: they import the public names of `cometchat`, as anybody would.
GUESTS = ("sandbox", "contrib", "cli", "pytest_plugin", "__main__")

#: Third-party package -> the modules that may import it: below floor 5 one library per file.
THIRD_PARTY: Dict[str, Tuple[str, ...]] = {
    "tenacity": ("_runtime.reconnect",),  # settings names no more than the strategies' types, and needs no import
    "requests": ("_transport.answers", "_transport.rest", "cli.probes"),
    "urllib3": ("_transport.answers",),  # requests brings it
    "websocket": ("_transport.websocket",),
    "orjson": ("_transport.json_decoder",),  # an extra: the standard library does without it
    "certifi": ("_transport.tls",),  # requests brings it; the socket trusts what HTTP trusts
    "aiohttp": ("sandbox.*",),
    "multidict": ("sandbox.*",),  # aiohttp's own headers
    "cryptography": ("sandbox.certificates",),
    "rich": ("cli.screen",),
    "pytest": ("pytest_plugin",),
}

#: contrib is a file per library, named after it: it may import what it is for.
FREE = ("contrib",)

#: What the pure floors do not know: I/O, threads, clocks, randomness.
IMPURE = frozenset(
    "asyncio concurrent contextvars datetime http logging multiprocessing os pathlib queue random sched secrets select "
    "selectors shutil signal socket socketserver ssl subprocess sys tempfile threading time urllib.request uuid".split()
)
PURE = ("exceptions", "version", "_fields", "models", "listeners", "_protocol")

#: Module -> what it may take of `threading`. _runtime is the only package below floor 5 that starts or awaits a thread;
#: the others hold a lock: the transports so that two threads do not write to one socket at once, Client for "one login
#: at a time", CometChat for its one client.
LOCKS_ONLY = frozenset({"Lock"})
THREADING: Dict[str, FrozenSet[str]] = {
    "_transport.rest": LOCKS_ONLY,
    "_transport.stream": LOCKS_ONLY,
    "_transport.websocket": LOCKS_ONLY,
    "client": LOCKS_ONLY,
    "api": LOCKS_ONLY,
}
THREADED = ("_runtime", "sandbox", "cli", "contrib")

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class Import(NamedTuple):
    """One imported name: ``import a.b`` is ("a.b", None), ``from a import b`` is ("a", "b"). Absolute."""

    module: str
    name: "str | None"
    line: int


class Module(NamedTuple):
    """A file of the package. ``name`` is relative to it: ``client``, ``_protocol.frames``, ```` for the door."""

    name: str
    path: Path
    is_package: bool
    source: str
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    def imports(self) -> Iterator[Import]:
        """Every import, also those inside functions and under TYPE_CHECKING."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, None, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    here = ["cometchat", *filter(None, self.name.split("."))]
                    up = here[: len(here) - node.level + (1 if self.is_package else 0)]
                    base = ".".join(up + ([node.module] if node.module else []))
                yield from (Import(base, alias.name, node.lineno) for alias in node.names)


def read_modules(root: Path) -> List[Module]:
    modules = []
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        source = path.read_text(encoding="utf-8")
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path, is_package, source, ast.parse(source)))
    return modules


MODULES = read_modules(ROOT)
NAMES = {module.name for module in MODULES}

each_module = pytest.mark.parametrize("module", MODULES, ids=[module.name or "cometchat" for module in MODULES])


def inner(imported: Import) -> "str | None":
    """Which module of the package an import is of; None for any other package."""
    if imported.module != "cometchat" and not imported.module.startswith("cometchat."):
        return None
    base = imported.module[len("cometchat.") :]
    if imported.name is not None:
        deeper = f"{base}.{imported.name}" if base else imported.name
        if deeper in NAMES:
            return deeper
    return base


def where(module: Module, line: int) -> str:
    return f"{module.path.relative_to(ROOT.parent)}:{line}"


def functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def calls(module: Module) -> Iterator[Tuple[str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


# Floors.


def test_every_part_of_the_package_has_a_floor() -> None:
    """No module stands outside the table."""
    assert sorted({module.part for module in MODULES} - set(FLOORS)) == []


@each_module
def test_imports_go_down_only(module: Module) -> None:
    """A module imports its own part of the package and lower floors; a part of the same floor is another house."""
    wrong = []
    for imported in module.imports():
        target = inner(imported)
        if target is None or module.part in GUESTS:
            continue
        part = target.partition(".")[0]
        if part != module.part and not FLOORS[part] < FLOORS[module.part]:
            wrong.append(f"{where(module, imported.line)} imports {target or 'cometchat'}")
    assert wrong == []


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    """Of all imports, deferred ones too, there is no circle."""
    edges: Dict[str, Set[str]] = {}
    for module in MODULES:
        targets = {inner(imported) for imported in module.imports()}
        edges[module.name] = {target for target in targets if target is not None and target != module.name}
    assert circles(edges) == []


def circles(edges: Dict[str, Set[str]]) -> List[List[str]]:
    """Each circle that a depth-first walk comes upon."""
    found: List[List[str]] = []
    done: Set[str] = set()

    def walk(name: str, way: List[str]) -> None:
        if name in way:
            found.append(way[way.index(name) :] + [name])
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                walk(target, way + [name])
            done.add(name)

    for name in sorted(edges):
        walk(name, [])
    return found


def test_the_walk_finds_circles() -> None:
    """The test above can fail: a circle of two and one of three are found, a diamond is none."""
    assert circles({"a": {"b"}, "b": {"a"}}) == [["a", "b", "a"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def _matches(name: str, patterns: Tuple[str, ...]) -> bool:
    """``a.*`` stands for the package ``a`` and everything in it."""
    return name in patterns or any(
        pattern.endswith(".*") and f"{name}.".startswith(pattern[:-1]) for pattern in patterns
    )


@each_module
def test_third_party_packages_are_imported_where_the_table_says(module: Module) -> None:
    """Below floor 5 each library is known to one file; no module imports a package that the table does not name."""
    standard = _standard_library()
    wrong = []
    for imported in module.imports():
        top = imported.module.partition(".")[0]
        if top in ("cometchat", "__future__") or top in standard or module.part in FREE:
            continue
        if not _matches(module.name, THIRD_PARTY.get(top, ())):
            wrong.append(f"{where(module, imported.line)} imports {imported.module}")
    assert wrong == []


def _standard_library() -> FrozenSet[str]:
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return frozenset(names)
    # Python 3.9 has no list: what is found in the standard library's folder is of it; and what other systems have.
    folder = Path(os.__file__).parent
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    extensions = {path.name.partition(".")[0] for path in (folder / "lib-dynload").glob("*")}
    return frozenset({*found, *extensions, *sys.builtin_module_names, "fcntl", "msvcrt", "winreg"})


@pytest.mark.parametrize("package", sorted(THIRD_PARTY))
def test_the_table_of_third_party_packages_has_no_dead_row(package: str) -> None:
    """Every row is needed: some module that it names does import the package."""
    importers = [m.name for m in MODULES for i in m.imports() if i.module.partition(".")[0] == package]
    unused = [place for place in THIRD_PARTY[package] if not any(_matches(name, (place,)) for name in importers)]
    assert importers and unused == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.part in PURE], ids=lambda module: module.name)
def test_the_pure_floors_know_no_world(module: Module) -> None:
    """``_protocol`` and what is below imports no I/O, no thread, no clock and no randomness, and opens no file."""
    wrong = [
        f"{where(module, imported.line)} imports {imported.module}"
        for imported in module.imports()
        if imported.module in IMPURE or imported.module.partition(".")[0] in IMPURE
    ]
    wrong += [where(module, call.lineno) for name, call in calls(module) if name in ("open", "print", "input", "exec")]
    assert wrong == []


@each_module
def test_only_the_runtime_has_threads(module: Module) -> None:
    """Below floor 5 ``threading`` belongs to ``_runtime``; elsewhere it is a lock, in the modules of the table."""
    imports = [imported for imported in module.imports() if imported.module.partition(".")[0] == "threading"]
    if module.part in THREADED or not imports:
        return
    assert all(imported.name is None for imported in imports), "import threading as a whole: its use can be seen then"
    used = {
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "threading"
    }
    assert used <= THREADING.get(module.name, frozenset())


@pytest.mark.parametrize("module", [m for m in MODULES if m.part in GUESTS], ids=lambda module: module.name)
def test_floor_5_uses_public_names_only(module: Module) -> None:
    """``cli``, ``sandbox`` and ``contrib`` import what the package, ``sandbox`` and ``cli`` export, and no more."""
    exported = {"cometchat": set(cometchat.__all__)}
    exported.update((f"cometchat.{part}", _exported(part)) for part in ("sandbox", "cli"))
    wrong = []
    for imported in module.imports():
        target = inner(imported)
        if target is None or target.partition(".")[0] == module.part:
            continue
        if module.name == "__main__" and imported[:2] == ("cometchat.cli", "main"):
            continue
        allowed = imported.name is not None and imported.name in exported.get(imported.module, ())
        if not allowed:
            wrong.append(f"{where(module, imported.line)}: {imported.module} {imported.name}")
    wrong += [f"{where(module, node.lineno)}: {ast.unparse(node)}" for node in _peeks(module)]
    assert wrong == []


def _exported(package: str) -> Set[str]:
    """``__all__``, without importing: the extra may not be installed."""
    (module,) = (module for module in MODULES if module.name == package)
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: Set[str] = set(ast.literal_eval(node.value))
            return names
    raise AssertionError(f"{package} has no __all__")


def _peeks(module: Module) -> Iterator[ast.Attribute]:
    """Attributes with an underscore in front that are looked up on something else than the object's own."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node


@pytest.mark.parametrize("module", [m for m in MODULES if m.part == "sandbox"], ids=lambda module: module.name)
def test_the_sandbox_shares_no_wire_code_with_the_client(module: Module) -> None:
    """All that the sandbox takes of the client is ``AppSettings``, so that a mistake in one shows against the other."""
    taken = [imported[:2] for imported in module.imports() if inner(imported) not in (None, *_sandbox_names())]
    assert set(taken) <= {("cometchat", "AppSettings")}


def _sandbox_names() -> List[str]:
    return [module.name for module in MODULES if module.part == "sandbox"]


_LOADED = """
import json, sys
before = set(sys.modules)
import cometchat
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_the_package_is_light() -> None:
    """``import cometchat`` loads nothing of floor 5, none of the libraries, and no network module."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, timeout=50, env=environment, check=True
    )
    loaded = set(json.loads(ended.stdout.splitlines()[-1]))
    assert "cometchat.client" in loaded
    heavy = {*THIRD_PARTY, "urllib3", "asyncio", "ssl", "socket", "http.client"}
    assert {name for name in loaded if name.partition(".")[0] in heavy or name in heavy} == set()
    assert {name for name in loaded if name.partition(".")[2].partition(".")[0] in GUESTS} == set()


# Sizes.


@each_module
def test_no_module_is_too_long(module: Module) -> None:
    """No module has more than 400 lines."""
    assert len(module.source.splitlines()) <= MAX_LINES


@each_module
def test_no_function_is_too_long(module: Module) -> None:
    """No function has more than 50 lines, its docstring and decorators counted."""
    long = []
    for node in functions(module):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        assert node.end_lineno is not None
        if node.end_lineno - first + 1 > MAX_FUNCTION_LINES:
            long.append(f"{where(module, node.lineno)} {node.name}")
    assert long == []


# Habits.


@each_module
def test_every_module_has_a_docstring(module: Module) -> None:
    """Each says in its first line what it is."""
    assert (ast.get_docstring(module.tree) or "").strip()


@each_module
def test_nothing_sleeps(module: Module) -> None:
    """A wait can be ended: there is no ``time.sleep`` in the package."""
    assert [where(module, call.lineno) for name, call in calls(module) if name in ("time.sleep", "sleep")] == []
    assert [i for i in module.imports() if i.module == "time" and i.name is not None] == [], "import time as a whole"


@each_module
def test_no_error_is_swallowed_in_silence(module: Module) -> None:
    """No bare ``except``, none whose body is ``pass`` or ``...``, and no ``suppress`` of every exception."""
    wrong = [
        where(module, node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and (node.type is None or all(_is_nothing(line) for line in node.body))
    ]
    wrong += [
        where(module, call.lineno)
        for name, call in calls(module)
        if name in ("contextlib.suppress", "suppress")
        and {ast.unparse(argument) for argument in call.args} & {"Exception", "BaseException"}
    ]
    assert wrong == []


def _is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and statement.value.value is ...
    )


@each_module
def test_every_thread_has_a_name(module: Module) -> None:
    """A thread is made with ``name=`` and ``daemon=``, a pool with ``thread_name_prefix=``; nobody makes a Timer."""
    wrong = []
    for name, call in calls(module):
        keywords = {keyword.arg for keyword in call.keywords}
        kind = name.rpartition(".")[2]
        if kind == "Thread" and not {"name", "daemon"} <= keywords:
            wrong.append(where(module, call.lineno))
        elif kind == "ThreadPoolExecutor" and "thread_name_prefix" not in keywords:
            wrong.append(where(module, call.lineno))
        elif kind in ("Timer", "start_new_thread"):
            wrong.append(where(module, call.lineno))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            wrong += [where(module, node.lineno)] if bases & {"Thread", "Timer"} else []
    assert wrong == []


@each_module
def test_nothing_is_taken_by_a_star(module: Module) -> None:
    """Every import names what it takes."""
    assert [where(module, imported.line) for imported in module.imports() if imported.name == "*"] == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.part not in GUESTS], ids=lambda m: m.name or "cometchat")
def test_nothing_is_printed(module: Module) -> None:
    """Below the command line the SDK speaks through exceptions, listeners and ``logging``, never through print."""
    assert [where(module, call.lineno) for name, call in calls(module) if name == "print"] == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.part not in GUESTS], ids=lambda m: m.name or "cometchat")
def test_every_logger_is_under_the_packages_name(module: Module) -> None:
    """A user turns the SDK's log on and off by one name: every logger is ``cometchat`` or below it."""
    names = [call.args[0] for name, call in calls(module) if name == "logging.getLogger"]
    constants = [argument.value for argument in names if isinstance(argument, ast.Constant)]
    assert len(constants) == len(names)
    assert [name for name in constants if name != "cometchat" and not str(name).startswith("cometchat.")] == []


_BAD = """
import time, threading, requests, socket
from time import sleep
from cometchat._protocol import frames
from cometchat.client import *

def f(client):
    try:
        time.sleep(1)
    except:
        pass
    threading.Thread(target=f).start()
    threading.Timer(1, f)
    client._connection
    print("x")
    logging.getLogger("other")
"""


@pytest.mark.parametrize(
    "check",
    [
        test_third_party_packages_are_imported_where_the_table_says,
        test_only_the_runtime_has_threads,
        test_every_module_has_a_docstring,
        test_nothing_sleeps,
        test_no_error_is_swallowed_in_silence,
        test_every_thread_has_a_name,
        test_nothing_is_taken_by_a_star,
        test_nothing_is_printed,
        test_every_logger_is_under_the_packages_name,
        test_the_pure_floors_know_no_world,
        test_imports_go_down_only,
    ],
    ids=lambda check: check.__name__,
)
def test_each_rule_above_can_fail(check: Callable[[Module], None]) -> None:
    """A module that breaks every rule is refused by each of these tests."""
    bad = Module("_protocol.bad", ROOT / "_protocol" / "bad.py", False, _BAD, ast.parse(_BAD))
    with pytest.raises(AssertionError):
        check(bad)


def test_the_rule_for_floor_5_can_fail() -> None:
    """A sandbox that reads the client's frames, or looks at what is private, is refused."""
    bad = Module("sandbox.bad", ROOT / "sandbox" / "bad.py", False, _BAD, ast.parse(_BAD))
    for check in (test_floor_5_uses_public_names_only, test_the_sandbox_shares_no_wire_code_with_the_client):
        with pytest.raises(AssertionError):
            check(bad)
