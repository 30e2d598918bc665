"""Loads modules and their names at their first use, so that importing the package takes less time."""

from __future__ import annotations

import importlib
from typing import Any, Dict, Sequence


def load_name(package: Dict[str, Any], homes: Sequence[str], name: str) -> object:
    """Return a name of a package's ``__all__``, and keep it in the package.

    :param package: the package's globals.
    :param homes: the modules of the package that may define the name. They are loaded in this order until one does.
    :raises AttributeError: the package has no such name.
    """
    path = package["__name__"]
    if name in package["__all__"]:
        for home in homes:
            module = importlib.import_module(f"{path}.{home}")
            if hasattr(module, name):
                value: object = getattr(module, name)
                package[name] = value
                return value
    raise AttributeError(f"module {path!r} has no attribute {name!r}")


class LazyModule:
    """A module that is loaded at the first use of one of its names.

    In this way ``typing.get_type_hints()`` can read an annotation that names a class of that module.

    :param path: its full name.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self._path), name)
