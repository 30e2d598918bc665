"""The app that a sandbox serves. It keeps its data when the sandbox stops and starts again."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any, Dict, NamedTuple

from ._answers import Answers
from ._journal import Journal
from ._listener import is_ip
from ._webhook import Webhook
from .chat import Chat
from .chat._features import Features
from .chat._publisher import Network
from .faults import Faults


class Address(NamedTuple):
    """The host and port that clients connect to, and whether they use TLS."""

    host: str
    port: int
    tls: bool

    @property
    def netloc(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def domain(self) -> str:
        """The domain of the extensions' hosts: ``localhost`` in place of an IP address, which has no subdomains."""
        return f"localhost:{self.port}" if is_ip(self.host) else self.netloc

    @property
    def url(self) -> str:
        """``http(s)://host:port``."""
        return f"http{'s' if self.tls else ''}://{self.netloc}"


class App:
    """One app of the service: its users, its standing faults, and the records of what the sandbox saw."""

    def __init__(
        self,
        app_id: str,
        auth_key: str,
        api_key: str,
        region: str,
        faults: Faults,
        journal: Journal,
        network: Network,
        webhook: Webhook,
    ) -> None:
        self.app_id = app_id
        self.auth_key = auth_key
        self.api_key = api_key
        self.region = region
        self.faults = faults
        self.journal = journal
        self.webhook = webhook
        self.answers: Answers = Answers(app_id, region)
        self.features: Features = Features(lambda: faults.settings)
        self.chat: Chat = Chat(app_id, self.features, network, webhook.trigger)

    def settings(self, address: Address) -> Dict[str, Any]:
        """Return the settings that the service sends at login, with this sandbox in place of every host."""
        host, port, tls = address
        settings: Dict[str, Any] = {
            "CHAT_HOST": host,
            "CHAT_HOST_OVERRIDE": "",
            "CHAT_HOST_APP_SPECIFIC": "",
            "CHAT_USE_SSL": tls,
            # Text, as on the live service.
            "CHAT_WS_PORT": str(port),
            "CHAT_WSS_PORT": str(port),
            "CHAT_API_VERSION": "v3.0",
            "WS_API_VERSION": "v3.0",
            "ADMIN_API_HOST": address.netloc,
            "CLIENT_API_HOST": address.netloc,
            # The vendor's Android client expects these too. The sandbox has no media servers.
            "CHAT_HTTP_BIND_PORT": str(port),
            "CHAT_HTTPS_BIND_PORT": str(port),
            "GROUP_SERVICE": host,
            "CALL_SERVICE": host,
            "WEBRTC_HOST": host,
            "WEBRTC_USE_SSL": tls,
            **{f"WEBRTC_{name}_PORT": str(port) for name in ("WS", "WSS", "HTTP_BIND", "HTTPS_BIND")},
            "MAIN_DOMAIN": host,
            "REGION": self.region,
            "MODE": "DEFAULT",
            "APP_VERSION": "4",
            "ANALYTICS_HOST": address.netloc,
            "ANALYTICS_VERSION": "v1",
            "ANALYTICS_USE_SSL": tls,
            # The ping is the only way in which the vendor's clients learn that the jwt or the settings have changed.
            "ANALYTICS_PING_DISABLED": False,
            "POLLING_ENABLED": False,
            "DENY_FALLBACK_TO_POLLING": True,
            "EXTENSION_DOMAIN": address.domain,
            "extensions": [{"id": name, "name": name} for name in self.answers.extensions],
            "flagReasons": self.features.flag_reasons,
        }
        settings.update(self.faults.settings)
        settings["parameters"] = self.features.parameters
        text = json.dumps(settings, sort_keys=True)
        settings["settingsHash"] = hashlib.sha256(text.encode()).hexdigest()[:32]
        settings["settingsHashReceivedAt"] = int(time.time() * 1000)
        return settings
