"""Passes records of the SDK's log to a handler while a command runs."""

from __future__ import annotations

import contextlib
import logging
from typing import Iterator, Optional


@contextlib.contextmanager
def handled_by(handler: logging.Handler, name: str, level: Optional[int] = None) -> Iterator[None]:
    """Add a handler to a logger, and remove it at the end.

    :param name: of the logger.
    :param level: lowest level of the records that the logger passes on; None to leave it as it is.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    if level is not None and not logger.isEnabledFor(level):
        logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
