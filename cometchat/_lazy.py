"""Loads modules at their first use, so that importing the package takes less time."""

from __future__ import annotations

import importlib


class LazyModule:
    """A module that is loaded at the first use of one of its names.

    In this way ``typing.get_type_hints()`` can read an annotation that names a class of that module.

    :param path: its full name.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self._path), name)
