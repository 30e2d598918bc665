"""The sandbox: a local stand-in for CometChat's service, for tests, demos and work without a network.

``from cometchat.sandbox import Sandbox``. It needs the extra ``cometchat[sandbox]``, and ``import cometchat`` does not
load it. It shares no code with the client but the public names, so that a mistake in one shows against the other.

``http`` has the routes and envelopes, ``socket`` the WebSocket connections and frames, ``chat`` what users, groups,
messages, conversations and calls do and keep, ``faults`` the faults on demand, ``page`` the page in a browser.
"""

try:
    import aiohttp as _aiohttp  # noqa: F401
except ImportError as _error:
    raise ImportError("the sandbox needs aiohttp: pip install 'cometchat[sandbox]'") from _error

from ._certificates import make_certificate
from ._journal import Attempt, Request
from ._player import Player
from ._sample import SAMPLE
from ._sandbox import Sandbox
from ._webhook import Delivery

__all__ = ["Attempt", "Delivery", "Player", "Request", "SAMPLE", "Sandbox", "make_certificate"]
