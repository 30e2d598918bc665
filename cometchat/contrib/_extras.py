"""An error that names the extra to install."""

from __future__ import annotations

import contextlib
from typing import Iterator


@contextlib.contextmanager
def naming_the_extra(extra: str) -> Iterator[None]:
    """Import third-party modules in this context. If a module is missing, the error says what to install.

    :param extra: as in ``pip install 'cometchat[extra]'``; also the name of the package in ``contrib``.
    :raises ModuleNotFoundError: with the extra's name, instead of Python's error with the module's name only.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "cometchat":
            raise
        text = f"cometchat.contrib.{extra} needs {error.name}, which is not installed: pip install 'cometchat[{extra}]'"
        raise ModuleNotFoundError(text, name=error.name) from error
