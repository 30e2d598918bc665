"""What an error means, and what to do about it: for a person who sees it for the first time.

Each entry is a pair of sentences, (what it means, what to do). Nothing here looks at anything but the error's texts.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence, Tuple

from cometchat import CometChatException


class Advice(NamedTuple):
    """For one error."""

    meaning: str
    action: str


#: By code: exact.
_BY_CODE = {
    "ERR_AUTH_TIMEOUT": Advice(
        "The server never answered `auth`: the WebSocket is open, and no answer came. CometChat answers"
        " nothing when it gets an auth token in place of a jwt, or a jwt of another app. This SDK sends the jwt that"
        " came with the login, so either that jwt is not for this WebSocket host, or something on the way swallows the"
        " frames.",
        "If you override hosts, check that the admin API, the client API and the WebSocket host belong to one app and"
        " region. If a proxy or firewall is in the way, try from another network. Else give CometChat's support your"
        " app id and the time of this try.",
    ),
    "WS_AUTH_FAIL": Advice(
        "The server refused the jwt. The SDK fetched a fresh one and that was refused as well, so another try with"
        " the same login does not help.",
        "Check that the user still exists and is not deactivated, and that app id and region belong together; then log"
        " in again. A revoked auth token needs a new one.",
    ),
    "ERR_PONG_TIMEOUT": Advice(
        "Authentication works, but the server does not answer the heartbeat: the connection would be dropped and made"
        " again every few seconds.",
        "Something on the way probably lets frames through in one direction only, or holds them back: try without the"
        " proxy or VPN. Else the service is overloaded: try later, or raise pong_timeout.",
    ),
    "ERR_TOO_MANY_REQUESTS": Advice(
        "The service asks for quiet: this app or address makes more calls than its plan allows.",
        "Wait as long as it says, or a minute. Log in once and keep the session (FileSessionStore) instead of logging"
        " in at every start.",
    ),
    "ERR_BAD_RESPONSE": Advice(
        "Something answered, but not CometChat's API: a captive portal, a proxy's error page, or another server.",
        "Open the address in a browser from this machine. If you override hosts, check them, the path included: no"
        " /v3.0 is added to an override.",
    ),
    "ERR_PROTOCOL": Advice(
        "The server sent something that is not of the protocol, or a message over the size limit.",
        "Check that the WebSocket host is CometChat's. If your messages are that large, raise max_message_size.",
    ),
    "ERR_CONNECT_TIMEOUT": Advice(
        "The WebSocket host did not finish TCP, TLS and upgrade in time. Where the steps above passed, it is the"
        " upgrade without an answer: typical of a proxy or firewall that inspects traffic and does not know"
        " WebSocket.",
        "Try from another network, or allow WebSocket (Upgrade) to this host. On a slow line raise connect_timeout.",
    ),
}

#: By a pattern in the code of a server's own error.
_BY_PATTERN: Sequence[Tuple[str, Advice]] = (
    (
        r"UID_NOT_FOUND",
        Advice(
            "The app has no user with this uid: a user must be made before they can log in.",
            "Check the uid and that the app id is the right one; make the user in the dashboard or over the REST API. A"
            " new app has the users cometchat-uid-1 to cometchat-uid-5.",
        ),
    ),
    (
        r"AUTH_TOKEN|AUTHTOKEN",
        Advice(
            "The service does not know this auth token: it was revoked, a logout has voided it, or it belongs to"
            " another app or region.",
            "Make a new auth token for the user (dashboard, or POST /users/{uid}/auth_tokens). Take care not to mix up"
            " auth token, auth key, REST API key and jwt.",
        ),
    ),
    (
        r"API_?KEY|AUTH_?KEY|NO_ACCESS",
        Advice(
            "The service does not accept this auth key for this app.",
            "Copy the auth key of this very app from the dashboard (API & Auth Keys). An auth key logs users in; a REST"
            " API key belongs on servers.",
        ),
    ),
    (
        r"APP_?ID|APP_NOT_FOUND|APP_ARCHIVED",
        Advice(
            "The service knows no such app in this region.",
            "Compare app id and region with the dashboard: an app lives in one region only.",
        ),
    ),
    (
        r"SUBSCRIPTION|PLAN_|TRIAL",
        Advice("The app's plan does not allow it, or has expired.", "Look at the plan in the dashboard."),
    ),
)

#: By a pattern in the message of a network error: HTTP, WebSocket, or one of the doctor's own probes.
_BY_NETWORK: Sequence[Tuple[str, Advice]] = (
    (
        r"DNS:",
        Advice(
            "The name has no address, as far as this machine can find out.",
            "Check app id and region, which are part of the name: the regions are us, eu and in, and a dedicated region"
            " has a name of its own. Check any host override for typing mistakes, and this machine's DNS and network"
            " with another name.",
        ),
    ),
    (
        r"certificate has expired|not yet valid",
        Advice(
            "The certificate is outside its time of validity, by this machine's clock.",
            "Check this machine's clock first. If it is right, the server (or a proxy that opens TLS) needs a new"
            " certificate.",
        ),
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|doesn't match",
        Advice(
            "The certificate is for another name: this is not the host that was meant, or it is reached under a name"
            " that its certificate does not have.",
            "Check the host override, and use the name that the certificate is for.",
        ),
    ),
    (
        r"self.signed|local issuer|not trusted",
        Advice(
            "This machine does not trust the issuer of the certificate: a company proxy that opens TLS, a"
            " test server, or an attacker.",
            "If you know who it is, give their CA certificate with --ca-certs FILE (or REQUESTS_CA_BUNDLE). Do not"
            " switch verification off.",
        ),
    ),
    (
        r"CA bundle",
        Advice(
            "The file with the trusted certificates can't be read.",
            "Check --ca-certs, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE: a PEM file, or a folder made by c_rehash.",
        ),
    ),
    (
        r"TLS:",
        Advice(
            "TCP works, TLS does not: the other side speaks plain http on this port, or something on the way cuts TLS"
            " off.",
            "Check the port and the scheme: an override without http:// means https.",
        ),
    ),
    (
        r"HTTP 407|[Pp]roxy:|proxy http|proxy socks",
        Advice(
            "The proxy made no way to the host.",
            "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and that the proxy allows CONNECT to this host and port. User"
            " and password go into its address: http://user:password@host:port.",
        ),
    ),
    (
        r"answered HTTP (401|403)",
        Advice(
            "The WebSocket host answers but forbids the upgrade, before any credential was sent.",
            "A firewall or gateway in the way is likely: try from another network. Check the app id and any host"
            " override.",
        ),
    ),
    (
        r"answered HTTP (429|5\d\d)",
        Advice(
            "The WebSocket host is overloaded or in maintenance: it answers, but takes no connection.",
            "Wait and try again; the SDK does so by itself and obeys Retry-After. If it lasts, look at CometChat's"
            " status page.",
        ),
    ),
    (
        r"handshake:",
        Advice(
            "The WebSocket host answers, but not with an upgrade: a proxy strips the Upgrade header, or this is not a"
            " WebSocket server.",
            "Check any host override; try from another network.",
        ),
    ),
    (
        r"refused",
        Advice(
            "The machine is there, and nothing listens on this port (or a firewall says so).",
            "Check the port of any host override, and that the server runs. For the live service: an outgoing"
            " firewall.",
        ),
    ),
    (
        r"timeout|timed out",
        Advice(
            "No host answers: packets are dropped on the way, usually by a firewall, or the host is down.",
            "Allow outgoing connections to this host and port, or set HTTPS_PROXY if this network needs a proxy.",
        ),
    ),
    (
        r"closed the connection|is lost|reset|ended the connection",
        Advice(
            "The server (or something on the way) ended the connection. The close code, where there is one, says more:"
            " 1001 and 1012 are a restart, 1008 and 4000 to 4999 the service's own reasons, 1006 no reason at all.",
            "Try again; if it repeats, try from another network, and give CometChat's support the close code and the"
            " time.",
        ),
    ),
)

_NETWORK_CODES = ("FAILED_TO_FETCH", "WS_CONNECTION_FAIL", "NO_WEBSOCKET_CONNECTION")

_UNKNOWN = Advice(
    "The service gave an error of its own that this tool knows nothing more about.",
    "Look the code up in CometChat's documentation, or ask their support with your app id and the time.",
)

_NETWORK_UNKNOWN = Advice(
    "The network failed in an unusual way.", "Check that this machine is online, and run this again with --debug."
)


def advice_for(error: CometChatException) -> Advice:
    """The advice for an error of the SDK or of the service."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.code in _NETWORK_CODES:
        return network_advice(f"{error.message} {error.details or ''}")
    if error.code == "MISSING_PARAMETERS" or error.code.startswith("INVALID_"):
        return Advice(
            "An option or an environment variable has a value that can't be right.", "Correct it and run this again."
        )
    return _search(_BY_PATTERN, error.code) or _UNKNOWN


def network_advice(text: str) -> Advice:
    """The advice for a network error's text."""
    return _search(_BY_NETWORK, text) or _NETWORK_UNKNOWN


def _search(table: Sequence[Tuple[str, Advice]], text: str) -> Optional[Advice]:
    return next((advice for pattern, advice in table if re.search(pattern, text)), None)
