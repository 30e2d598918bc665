"""The page's buttons: label -> action. run.py fills it if the site runs against a sandbox."""

from typing import Callable, Dict

buttons: Dict[str, Callable[[], object]] = {}
