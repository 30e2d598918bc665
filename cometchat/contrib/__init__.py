"""What the SDK brings for other libraries, a module for each: none is loaded by ``import cometchat``.

A module imports the library it is named after, which its extra installs (``pip install 'cometchat[django]'``), and of
the SDK the public names only. ``web``, ``settings``, ``serving`` and ``process`` need no library: they are what web
applications of any framework share.
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # import the module that you need, such as cometchat.contrib.flask
