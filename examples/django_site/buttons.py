"""What the page's buttons do, by their words: run.py fills it where the site runs against a sandbox."""

from typing import Callable, Dict

buttons: Dict[str, Callable[[], object]] = {}
