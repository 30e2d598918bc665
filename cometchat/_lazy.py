"""Loads the names of a package at their first use, so that importing the package takes less time."""

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
