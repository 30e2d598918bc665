"""What the SDK provides for other libraries. ``import cometchat`` loads none of it.

``django``, ``flask``, ``redis``, ``prometheus`` and ``opentelemetry`` are named after the library that they import,
which an extra of the same name installs (``pip install 'cometchat[django]'``). ``web`` contains what web applications
of any framework share.
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []
