"""The rules of the architecture: a table of checks of the package's syntax trees.

A check yields findings. They are texts without line numbers, so that an edit elsewhere in the file does not change
them.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import sys
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

PACKAGE = Path(__file__).resolve().parents[1] / "cometchat"

MAX_LINES = 600
MAX_FUNCTION_LINES = 50
MAX_COMPLEXITY = 12

#: Part of the package -> its floor. A part imports itself and parts of lower floors.
FLOORS: Dict[str, float] = {
    "_deferred": 0,
    "version": 0,
    "exceptions": 0,
    "_fields": 0,
    "_lazy": 0,
    "_log": 0,
    "_proxy_address": 0,
    "_fork": 0.01,
    "_fork_marks": 0.01,
    "_thread_start": 0.01,
    "_turns": 0.02,
    "_paths": 0.1,
    "models": 0.1,
    "listeners": 0.2,
    "status": 0.2,
    "status_store": 0.2,
    "_protocol": 1,
    "_status_listener": 1.05,
    "session_store": 1.1,
    "_environment": 1.2,
    "settings": 2,
    "_transport": 2.1,
    "_runtime": 3,
    "outbox": 4,
    "_wiring": 4.1,
    "_listening": 4.15,  # parts of the class Client
    "_shared_listening": 4.27,  # a part of the class CometChat
    "_sending": 4.15,
    "client": 4.2,
    "_event_source": 4.25,
    "api": 4.3,
    "": 4.4,  # the package itself
    "sandbox": 5,
    "contrib": 5,
    "cli": 5.1,  # its demo and its sandbox command start a Sandbox
    "pytest_plugin": 5.1,
    "__main__": 5.2,
}

#: The parts on floor 5. They import the public names of `cometchat`, like a user.
GUESTS = ("sandbox", "contrib", "cli", "pytest_plugin", "__main__")

#: Third-party package -> the modules that may import it; `a.*` means the package `a` and everything in it.
THIRD_PARTY: Dict[str, Tuple[str, ...]] = {
    "tenacity": ("_runtime.*",),  # settings names only the types of the strategies, and needs no import
    "requests": ("_transport.http.*", "_transport.net._proxy"),
    "websocket": ("_transport.websocket.*",),
    "orjson": ("_transport.*",),
    "aiohttp": ("sandbox.*",),
    "cryptography": ("sandbox.*",),
    "rich": ("cli.*",),
    "argcomplete": ("cli._main",),
    "pytest": ("pytest_plugin",),
    "django": ("contrib.django.*",),
    "asgiref": ("contrib.django.*",),
    "celery": ("contrib.django._serving",),
    "flask": ("contrib.flask.*",),
    "blinker": ("contrib.flask.*",),
    "click": ("contrib.flask.*",),
    "markupsafe": ("contrib.flask.*",),
    "redis": ("contrib.redis.*",),
    "prometheus_client": ("contrib.prometheus",),
    "opentelemetry": ("contrib.opentelemetry",),
}

#: Third-party package -> its name in a package index, or the package whose interface it is a part of and that always
#: brings it. The other packages have the same name there.
DISTRIBUTIONS = {
    "websocket": "websocket-client",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-api",
    "asgiref": "django",
    "blinker": "flask",
    "click": "flask",
    "markupsafe": "flask",
}

#: They import themselves first: Celery's worker loads Django's app, pytest its plugins.
HOSTS = ("celery", "pytest")

#: I/O, threads, clocks and randomness, which the pure floors must not use.
IMPURE = frozenset(
    "asyncio concurrent contextvars datetime http logging multiprocessing os pathlib queue random sched secrets select "
    "selectors shutil signal socket socketserver ssl subprocess sys tempfile threading time urllib.request uuid".split()
)
PURE = ("exceptions", "version", "_fields", "models", "listeners", "_protocol")

#: The parts that may start threads. Every other part may hold a lock.
THREADED = ("_thread_start", "_turns", "_runtime", "sandbox", "cli", "contrib")
#: Names of ``threading`` that any module may use: those of locks, and those that tell the thread.
ALLOWED = frozenset({"Lock", "RLock", "current_thread", "get_ident", "main_thread"})

#: Modules that users name. Every other one that is not a package starts with an underscore.
PUBLIC_MODULES = frozenset("""
    __main__ api client exceptions listeners outbox pytest_plugin session_store settings status status_store version
    contrib.opentelemetry contrib.prometheus
    contrib.django.admin contrib.django.apps contrib.django.models contrib.django.signals
    contrib.django.urls contrib.django.views contrib.django.management.commands.cometchat
    contrib.django.templatetags.cometchat
    """.split())

#: Names that architecture.md replaces.
OLD_NAMES = re.compile(
    r"forsake\w*|\w*begin_anew|unless_after|hurry|poke|disturb\w*|owed|_bear|_tell|go_on|Place(Member)?|keeps|told"
)


class Import(NamedTuple):
    """One imported name, in absolute form: ``import a.b`` is ("a.b", None), ``from a import b`` is ("a", "b")."""

    module: str
    name: Optional[str]


class Module:
    """A file of the package.

    ``name`` is relative to the package: ``client``, ``_protocol.frames``, or an empty text for the package.
    """

    def __init__(self, name: str, source: str, is_package: bool = False) -> None:
        self.name = name
        self.source = source
        self.is_package = is_package
        self.tree = ast.parse(source)
        self.nodes = list(ast.walk(self.tree))
        self.functions = [node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        self.calls = [(ast.unparse(node.func), node) for node in self.nodes if isinstance(node, ast.Call)]
        self.part = name.partition(".")[0]
        self.imports = [(imported, node) for node in self.nodes for imported in self._imported(node)]

    def __str__(self) -> str:
        return self.name or "cometchat"

    def _imported(self, node: ast.AST) -> Iterator[Import]:
        """The module's imports, also those in functions and under TYPE_CHECKING."""
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["cometchat", *filter(None, self.name.split("."))]
                up = here[: len(here) - node.level + (1 if self.is_package else 0)]
                base = ".".join(up + ([node.module] if node.module else []))
            yield from (Import(base, alias.name) for alias in node.names)

    def around(self, node: ast.AST) -> str:
        """Return the name of the innermost function that holds a node, for the text of a finding."""
        line, best = getattr(node, "lineno", 0), ""
        for function in sorted(self.functions, key=lambda each: each.lineno):
            if function.lineno <= line <= (function.end_lineno or 0):
                best = f" in {function.name}"
        return f"{self}{best}"


class Tree:
    """Return all modules of the package."""

    def __init__(self, modules: List[Module]) -> None:
        self.modules = modules
        self.names = {module.name for module in modules}

    def inner(self, imported: Import) -> Optional[str]:
        """Return the module of this package that is imported, or None for another package."""
        if imported.module.partition(".")[0] != "cometchat":
            return None
        base = imported.module[len("cometchat.") :]
        deeper = ".".join(filter(None, (base, imported.name)))
        return deeper if deeper in self.names else base


def read_tree(only: Optional[Tuple[str, ...]] = None) -> Tree:
    """Read all modules, or only those of these names."""
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if only is not None and name not in only:
            continue
        modules.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return Tree(modules)


# Floors


def every_part_has_a_floor(tree: Tree) -> Iterator[str]:
    """Every part of the package is in FLOORS, and every row of FLOORS has its part."""
    parts = {module.part for module in tree.modules}
    yield from (f"{part} has no floor" for part in parts - set(FLOORS))
    yield from (f"{part} has a floor and does not exist" for part in set(FLOORS) - parts)


def imports_go_down(tree: Tree) -> Iterator[str]:
    """A part imports itself and lower floors. Another part of the same floor is not lower."""
    for module in tree.modules:
        for imported, _ in module.imports:
            target = tree.inner(imported)
            part = (target or "").partition(".")[0]
            if target is None or module.part in GUESTS or part == module.part:
                continue
            if not FLOORS.get(part, 99) < FLOORS.get(module.part, 99):
                yield f"{module} imports {target or 'cometchat'}"


def imports_have_no_cycle(tree: Tree) -> Iterator[str]:
    """The imports have no cycle, with the imports inside functions."""
    edges: Dict[str, Set[str]] = {}
    for module in tree.modules:
        targets = {tree.inner(imported) for imported, _ in module.imports}
        edges[module.name] = {target for target in targets if target is not None and target != module.name}
    for cycle in cycles(edges):
        yield " -> ".join(cycle)


def cycles(edges: Dict[str, Set[str]]) -> List[List[str]]:
    """Return each cycle that a depth-first walk finds."""
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


def third_party_is_imported_where_the_table_says(tree: Tree) -> Iterator[str]:
    """No module imports a package that THIRD_PARTY does not allow it, and every row of THIRD_PARTY is used."""
    used = set()
    for module in tree.modules:
        for top in _third_party(module):
            used.add(top)
            if not _matches(module.name, THIRD_PARTY.get(top, ())):
                yield f"{module} imports {top}"
    yield from (f"THIRD_PARTY lists {top}, and no module imports it" for top in set(THIRD_PARTY) - used)


def third_party_is_declared(tree: Tree) -> Iterator[str]:
    """setup.cfg names each imported package: ``install_requires`` below floor 5 and orjson, else also an extra."""
    always, extras = declared()
    for module in tree.modules:
        for top in _third_party(module):
            name = DISTRIBUTIONS.get(top, top)
            optional = module.part in GUESTS or top == "orjson"
            if name not in always and not (optional and name in extras) and top not in HOSTS:
                yield f"{module} imports {top}, which setup.cfg does not declare"


def declared() -> Tuple[Set[str], Set[str]]:
    """The names in ``install_requires``, and those in the extras that users install."""
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    tools = ("test", "soak", "bench", "docs", "lint")
    optional = "".join(text for extra, text in extras.items() if extra not in tools)
    return _names(setup["options"]["install_requires"]), _names(optional)


def _names(requirements: str) -> Set[str]:
    return {found[0].lower() for line in requirements.splitlines() if (found := re.match(r"[\w.-]+", line))}


def one_library_per_file(tree: Tree) -> Iterator[str]:
    """Below floor 5 a file imports at most one third-party library."""
    for module in tree.modules:
        libraries = sorted(_third_party(module)) if module.part not in GUESTS else []
        if len(libraries) > 1:
            yield f"{module} imports {' and '.join(libraries)}"


def _third_party(module: Module) -> Set[str]:
    tops = {imported.module.partition(".")[0] for imported, _ in module.imports}
    return tops - STANDARD_LIBRARY - {"cometchat", "__future__"}


def _matches(name: str, patterns: Tuple[str, ...]) -> bool:
    return any(name == each or each.endswith(".*") and f"{name}.".startswith(each[:-1]) for each in patterns)


def _standard_library() -> FrozenSet[str]:
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return frozenset(names)
    # Python 3.9 has no list, so take the content of its folder, and the modules of other systems.
    folder = Path(os.__file__).parent
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    extensions = {path.name.partition(".")[0] for path in (folder / "lib-dynload").glob("*")}
    return frozenset({*found, *extensions, *sys.builtin_module_names, "fcntl", "msvcrt", "winreg"})


STANDARD_LIBRARY = _standard_library()


def the_pure_floors_are_pure(tree: Tree) -> Iterator[str]:
    """The pure floors import no I/O, threads, clock or randomness, and open no file."""
    for module in tree.modules:
        if module.part in PURE:
            for imported, _ in module.imports:
                if imported.module in IMPURE or imported.module.partition(".")[0] in IMPURE:
                    yield f"{module} imports {imported.module}"
            for name, call in module.calls:
                if name in ("open", "print", "input", "exec"):
                    yield f"{module.around(call)} calls {name}"


def only_the_runtime_has_threads(tree: Tree) -> Iterator[str]:
    """Below floor 5 threads belong to ``_runtime``. The other parts use locks, and ask which thread this is."""
    for module in tree.modules:
        imports = [imported for imported, _ in module.imports if imported.module.partition(".")[0] == "threading"]
        if module.part in THREADED or not imports:
            continue
        if any(imported.name is not None for imported in imports):
            yield f"{module} imports from threading, instead of threading as a whole"
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "threading" and node.attr not in ALLOWED:
                yield f"{module} uses threading.{node.attr}"


#: Attributes through which a library takes a callable: sqlite3 offers no other way.
HOOKS = frozenset({"text_factory"})

#: Names that floor 5 may use beside public names. The package has one of each: regions, codes, forks, variables,
#: logs, status listeners, taps, backoff, the start of threads, the route to a host, errors.
SHARED = (
    "cometchat._protocol._endpoints",
    "cometchat._protocol._error_codes",
    "cometchat._deferred",
    "cometchat._environment",
    "cometchat._event_source",
    "cometchat._fork",
    "cometchat._fork_marks",
    "cometchat._log",
    "cometchat._runtime._threads",
    "cometchat._status_listener",
    "cometchat._thread_start",
    "cometchat._transport.net",
    "cometchat.exceptions",
)


def floor_5_uses_public_names(tree: Tree) -> Iterator[str]:
    """``cli``, ``sandbox`` and ``contrib`` import only names that the package and the packages below export."""
    exported = {"cometchat.cli": {"main"}}
    for name in ("", "sandbox", "cli", "contrib.redis"):
        package = next((module for module in tree.modules if module.name == name), None)
        exported.setdefault(f"cometchat.{name}".rstrip("."), set()).update(_exports(package) or () if package else ())
    for module in tree.modules:
        if module.part not in GUESTS:
            continue
        for imported, _ in module.imports:
            target = tree.inner(imported)
            if target is None or target.partition(".")[0] == module.part or imported.module in SHARED:
                continue
            if imported.name is None or imported.name not in exported.get(imported.module, ()):
                yield f"{module} imports {imported.module} {imported.name or ''}".rstrip()
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                if ast.unparse(node.value) not in ("self", "cls"):
                    yield f"{module.around(node)} uses {ast.unparse(node)}"


def the_sandbox_shares_no_wire_code(tree: Tree) -> Iterator[str]:
    """The sandbox takes only ``AppSettings`` from the client, so that a mistake in one shows up against the other."""
    for module in tree.modules:
        if module.part == "sandbox":
            for imported, _ in module.imports:
                target = tree.inner(imported)
                if target is not None and target.partition(".")[0] != "sandbox":
                    if imported != ("cometchat", "AppSettings"):
                        yield f"{module} imports {imported.module} {imported.name or ''}".rstrip()


# Public and private


def modules_are_private_unless_listed(tree: Tree) -> Iterator[str]:
    """Every module that is not a package starts with an underscore, or is listed in PUBLIC_MODULES."""
    for module in tree.modules:
        private = any(part.startswith("_") and not part.startswith("__") for part in module.name.split(".")[-1:])
        if not module.is_package and not private and module.name not in PUBLIC_MODULES:
            yield f"{module}"
    yield from (f"PUBLIC_MODULES lists {name}, which does not exist" for name in PUBLIC_MODULES - tree.names)


def packages_export(tree: Tree) -> Iterator[str]:
    """Each package's ``__init__`` has a sorted ``__all__`` of names that it defines or imports."""
    for module in tree.modules:
        if not module.is_package:
            continue
        names = _exports(module)
        if names is None:
            yield f"{module} has no __all__"
            continue
        if names != sorted(set(names)):
            yield f"{module}: __all__ is not sorted, or contains a name twice"
        inside = {name for name in tree.names if name.startswith(f"{module.name}.".lstrip("."))}
        held = _held(module) | {name[len(module.name) :].lstrip(".").partition(".")[0] for name in inside}
        yield from (f"{module}: __all__ lists {name}, which it does not hold" for name in set(names) - held)


def rooms_are_used_through_their_exports(tree: Tree) -> Iterator[str]:
    """A module imports from another room of ``_runtime`` only what the room's ``__init__`` lists."""
    for module in tree.modules:
        for imported, _ in module.imports:
            top, part, room, inside, *_ = [*".".join(filter(None, imported)).split("."), "", "", ""]
            is_room = (top, part) == ("cometchat", "_runtime") and not room.startswith("_")
            if is_room and inside.startswith("_") and not module.name.startswith(f"_runtime.{room}"):
                yield f"{module} imports _runtime.{room}.{inside}"


def _exports(module: Module) -> Optional[List[str]]:
    """Return ``__all__`` without an import, since the extra may be missing."""
    for node in module.tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if [ast.unparse(target) for target in targets] == ["__all__"]:
                try:
                    return list(ast.literal_eval(node.value))
                except ValueError:
                    return [str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
    return None


def _held(module: Module) -> Set[str]:
    names: Set[str] = set()
    for node in module.nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    lazy = [function for function in module.tree.body if getattr(function, "name", "") == "__getattr__"]
    strings = {each.value for node in module.nodes for each in [node] if isinstance(each, ast.Constant)}
    return names | ({text for text in strings if isinstance(text, str)} if lazy else set())


# Sizes


def modules_are_short(tree: Tree) -> Iterator[str]:
    """A module has at most MAX_LINES lines."""
    yield from (f"{m}: {MAX_LINES} lines" for m in tree.modules if len(m.source.splitlines()) > MAX_LINES)


def functions_are_short(tree: Tree) -> Iterator[str]:
    """A function has at most MAX_FUNCTION_LINES lines, with docstring and decorators."""
    for module in tree.modules:
        for node in module.functions:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if (node.end_lineno or 0) - first + 1 > MAX_FUNCTION_LINES:
                yield f"{module}: {node.name}"


_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler)


def functions_are_simple(tree: Tree) -> Iterator[str]:
    """A function has at most MAX_COMPLEXITY ways through it, as flake8 counts them, inner functions included."""
    for module in tree.modules:
        for node in module.functions:
            branches = sum(isinstance(each, _BRANCHES) for each in ast.walk(node))
            if branches + 1 > MAX_COMPLEXITY:
                yield f"{module}: {node.name}"


# Wiring


def one_register_at_fork(tree: Tree) -> Iterator[str]:
    """Only ``_fork`` calls or names os.register_at_fork."""
    for module in tree.modules:
        if module.name != "_fork" and "register_at_fork" in _code(module):
            yield f"{module}"


def _code(module: Module) -> Set[str]:
    """Return the names in a module, also those in strings: getattr(os, "register_at_fork")."""
    found: Set[str] = set()
    for node in module.nodes:
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def no_callable_is_assigned_from_outside(tree: Tree) -> Iterator[str]:
    """No function, method or lambda is assigned to an attribute of another object, by ``=`` or by setattr.

    HOOKS are exempt.
    """
    methods = _methods(tree)
    for module in tree.modules:
        functions = {
            node.name for node in module.tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for node in module.nodes:
            if isinstance(node, ast.Assign):
                known = _is_callable(node.value, functions, methods)
                for target in node.targets:
                    if not isinstance(target, ast.Attribute) or ast.unparse(target.value) in ("self", "cls"):
                        continue
                    if target.attr in HOOKS:
                        continue
                    if known or target.attr.startswith("on_") and isinstance(node.value, (ast.Attribute, ast.Name)):
                        yield f"{module.around(node)} assigns {ast.unparse(target)}"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "object.__setattr__"):
                if len(node.args) == 3 and ast.unparse(node.args[0]) != "self":
                    if _is_callable(node.args[2], functions, methods):
                        yield f"{module.around(node)} sets {ast.unparse(node.args[1])} of {ast.unparse(node.args[0])}"


def _methods(tree: Tree) -> Set[str]:
    """Return the names of methods, without those that are an attribute, a property or a setter in another class."""
    methods: Set[str] = set()
    values: Set[str] = set()
    for module in tree.modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        plain = not any(
                            "property" in ast.unparse(d) or ".setter" in ast.unparse(d) for d in each.decorator_list
                        )
                        (methods if plain else values).add(each.name)
                    elif isinstance(each, ast.AnnAssign):
                        values.add(ast.unparse(each.target))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                values.add(node.attr)
    return methods - values


def _is_callable(value: ast.expr, functions: Set[str], methods: Set[str]) -> bool:
    """Return whether an expression is visibly a lambda, a partial, a method or a function of the module."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("partial", "functools.partial")
    if isinstance(value, ast.Attribute):
        return value.attr in methods
    return isinstance(value, ast.Lambda) or isinstance(value, ast.Name) and value.id in functions


def no_lambda_looks_forward(tree: Tree) -> Iterator[str]:
    """No lambda uses a variable or attribute that its function assigns only later."""
    for module in tree.modules:
        for function in module.functions:
            inner = list(ast.walk(function))
            lambdas = [node for node in inner if isinstance(node, ast.Lambda)]
            if not lambdas:
                continue
            assigned = {argument.arg: 0 for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
            for node in inner:
                if isinstance(node, (ast.Assign, ast.AnnAssign)):
                    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                        assigned.setdefault(ast.unparse(target), node.lineno)
            for each in lambdas:
                parts = [node for node in ast.walk(each.body) if isinstance(node, (ast.Name, ast.Attribute))]
                used = {ast.unparse(part) for part in parts}
                for name in sorted(used):
                    if assigned.get(name, 0) > (each.end_lineno or 0):
                        yield f"{module} in {function.name}: a lambda uses {name}"


# Habits


def every_module_has_a_docstring(tree: Tree) -> Iterator[str]:
    """The first line of a module says what the module is."""
    yield from (f"{module}" for module in tree.modules if not (ast.get_docstring(module.tree) or "").strip())


def nothing_sleeps(tree: Tree) -> Iterator[str]:
    """Every wait can be ended: the package calls no ``time.sleep``."""
    for module in tree.modules:
        for name, call in module.calls:
            if name in ("time.sleep", "sleep"):
                yield f"{module.around(call)} sleeps"
        if any(imported.module == "time" and imported.name is not None for imported, _ in module.imports):
            yield f"{module} imports from time, instead of time as a whole"


def no_error_is_swallowed(tree: Tree) -> Iterator[str]:
    """There is no bare ``except``, no handler with only ``pass`` or ``...``, and no ``suppress`` of every exception."""
    for module in tree.modules:
        for node in module.nodes:
            if isinstance(node, ast.ExceptHandler) and (node.type is None or all(map(_does_nothing, node.body))):
                yield f"{module.around(node)} swallows {ast.unparse(node.type) if node.type else 'everything'}"
        for name, call in module.calls:
            if name.rpartition(".")[2] == "suppress":
                if {ast.unparse(argument) for argument in call.args} & {"Exception", "BaseException"}:
                    yield f"{module.around(call)} suppresses every exception"


def _does_nothing(statement: ast.stmt) -> bool:
    constant = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(statement, ast.Pass) or isinstance(constant, ast.Constant)


def every_thread_has_a_name(tree: Tree) -> Iterator[str]:
    """A thread has ``name=`` and ``daemon=``, and a pool has ``thread_name_prefix=``.

    There is no Timer and no subclass.
    """
    for module in tree.modules:
        for name, call in module.calls:
            keywords = {keyword.arg for keyword in call.keywords}
            kind = name.rpartition(".")[2]
            nameless = kind == "Thread" and not {"name", "daemon"} <= keywords
            nameless |= kind == "ThreadPoolExecutor" and "thread_name_prefix" not in keywords
            if nameless or kind in ("Timer", "start_new_thread"):
                yield f"{module.around(call)} makes a {kind}"
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                if {ast.unparse(base).rpartition(".")[2] for base in node.bases} & {"Thread", "Timer"}:
                    yield f"{module}: {node.name} is a Thread"


def threads_start_in_one_way(tree: Tree) -> Iterator[str]:
    """Each thread starts by ``start_thread``. Programs of their own (the sandbox, the commands) start theirs."""
    for module in tree.modules:
        kinds = [name.rpartition(".")[2] for name, _ in module.calls]
        if module.part not in ("sandbox", "cli") and kinds.count("Thread") > kinds.count("start_thread"):
            yield f"{module} starts a thread without start_thread"


def nothing_is_imported_by_a_star(tree: Tree) -> Iterator[str]:
    """Every import names its objects: there is no ``import *``."""
    yield from (f"{m} imports * from {i.module}" for m in tree.modules for i, _ in m.imports if i.name == "*")


def nothing_is_printed(tree: Tree) -> Iterator[str]:
    """Below floor 5 the SDK speaks through exceptions, listeners and ``logging``."""
    for module in tree.modules:
        if module.part not in GUESTS:
            yield from (f"{module.around(call)} prints" for name, call in module.calls if name == "print")


def loggers_are_below_cometchat(tree: Tree) -> Iterator[str]:
    """One name switches the log of the SDK on and off."""
    for module in tree.modules:
        for name, call in module.calls:
            if name == "logging.getLogger" and module.part not in GUESTS:
                text = ast.literal_eval(call.args[0]) if call.args and isinstance(call.args[0], ast.Constant) else ""
                if str(text).partition(".")[0] != "cometchat":
                    yield f"{module.around(call)} gets another logger"


def logs_never_raise(tree: Tree) -> Iterator[str]:
    """Only ``SafeLog`` and its users write records, since a handler or a filter of the application may raise."""
    for module in tree.modules:
        if module.part in ("_log", "cli", "sandbox"):
            continue
        bare = {
            ast.unparse(node.targets[0])
            for node in module.nodes
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("logging.getLogger(")
        }
        for name, call in module.calls:
            of, _, method = name.rpartition(".")
            if of in bare and method in ("debug", "info", "warning", "error", "exception", "critical", "log"):
                yield f"{module.around(call)} calls {name}"


# Words


def vocabulary(tree: Tree) -> Iterator[str]:
    """No name is one that architecture.md has replaced."""
    for module in tree.modules:
        names: Set[str] = set()
        for node in module.nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Name):
                names.add(node.id)
        yield from (f"{module}: {name}" for name in names if OLD_NAMES.fullmatch(name))


Rule = Callable[[Tree], Iterator[str]]

#: Rule -> the name of a module and a source that break it, and the finding of the rule.
RULES: Dict[Rule, Tuple[str, str, str]] = {
    every_part_has_a_floor: ("_attic", "", "_attic has no floor"),
    imports_go_down: ("settings", "from ._runtime import x", "settings imports _runtime"),
    imports_have_no_cycle: ("client", "from . import api\n", "api -> client -> api"),
    third_party_is_imported_where_the_table_says: ("client", "import requests.adapters", "client imports requests"),
    third_party_is_declared: ("client", "import urllib3", "client imports urllib3, which setup.cfg does not declare"),
    one_library_per_file: ("client", "import requests, orjson", "client imports orjson and requests"),
    the_pure_floors_are_pure: ("_protocol.x", "def f():\n open('x')", "_protocol.x in f calls open"),
    only_the_runtime_has_threads: ("client", "import threading\nthreading.Event()", "client uses threading.Event"),
    floor_5_uses_public_names: ("cli._x", "def f(c):\n c._wire", "cli._x in f uses c._wire"),
    the_sandbox_shares_no_wire_code: ("sandbox._x", "from .. import Client", "sandbox._x imports cometchat Client"),
    modules_are_private_unless_listed: ("sandbox.open", "", "sandbox.open"),
    rooms_are_used_through_their_exports: (
        "_wiring",
        "from ._runtime.outbox import _store",
        "_wiring imports _runtime.outbox._store",
    ),
    packages_export: ("sandbox", "__all__ = ['x']", "sandbox: __all__ lists x, which it does not hold"),
    modules_are_short: ("client", "\n" * 601, "client: 600 lines"),
    functions_are_short: ("client", "def f():" + "\n x = 1" * 50, "client: f"),
    functions_are_simple: ("client", "def f(x):" + "\n if x: x()" * 12, "client: f"),
    one_register_at_fork: ("client", "getattr(os, 'register_at_fork')", "client"),
    no_callable_is_assigned_from_outside: (
        "client",
        "class A:\n def f(self, b):\n  b.on_end = self.f",
        "client in f assigns b.on_end",
    ),
    no_lambda_looks_forward: (
        "client",
        "class A:\n def f(self):\n  self.b = B(lambda: self.c.x())\n  self.c = 1",
        "client in f: a lambda uses self.c",
    ),
    every_module_has_a_docstring: ("client", "x = 1", "client"),
    nothing_sleeps: ("client", "def f():\n time.sleep(1)", "client in f sleeps"),
    no_error_is_swallowed: ("client", "try: f()\nexcept OSError: pass", "client swallows OSError"),
    every_thread_has_a_name: ("client", "threading.Thread(name='x')", "client makes a Thread"),
    threads_start_in_one_way: (
        "client",
        "threading.Thread(name='x', daemon=True).start()",
        "client starts a thread without start_thread",
    ),
    nothing_is_imported_by_a_star: ("client", "from os import *", "client imports * from os"),
    nothing_is_printed: ("client", "print(1)", "client prints"),
    loggers_are_below_cometchat: ("client", "logging.getLogger('x')", "client gets another logger"),
    logs_never_raise: ("client", "x = logging.getLogger('cometchat')\nx.info('')", "client calls x.info"),
    vocabulary: ("client", "def hurry(): ...", "client: hurry"),
}
