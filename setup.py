"""Everything is declared in setup.cfg but the description.

A package index shows README.rst without the files beside it. So links to these files become their names, and pictures
are left out.
"""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.rst").read_text(encoding="utf-8")

PICTURE = re.compile(r"^\.\. image:: (?!https?:)\S+\n(?: +\S.*\n)*\n?", re.MULTILINE)
LINK = re.compile(r"`([^`<]+?)\s+<(?!https?:)([^>]+)>`_")

setup(long_description=LINK.sub(r"\1 (``\2``)", PICTURE.sub("", README)))
