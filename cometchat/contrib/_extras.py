"""An error that says which extra to install."""

from __future__ import annotations

import contextlib
from typing import Iterator


@contextlib.contextmanager
def naming_the_extra(extra: str) -> Iterator[None]:
    """Import third-party modules within this: an error for one that is not installed says what to install.

    :param extra: of ``pip install 'cometchat[extra]'``, which is also the name of the package in ``contrib``.
    :raises ModuleNotFoundError: in place of the one that names only the missing module.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "cometchat":
            raise
        text = f"cometchat.contrib.{extra} needs {error.name}, which is not installed: pip install 'cometchat[{extra}]'"
        raise ModuleNotFoundError(text, name=error.name) from error
