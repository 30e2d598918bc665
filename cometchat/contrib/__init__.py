"""Integrations with other libraries. ``import cometchat`` does not load them.

``django``, ``flask``, ``redis``, ``prometheus`` and ``opentelemetry`` are named after the library that they import. An
extra with that name installs it (``pip install 'cometchat[django]'``). ``web`` contains the code that web applications
of all frameworks share.
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []
