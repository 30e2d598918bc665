"""Explains errors, and says what to do about them, for people who see them for the first time.

The entries are found by the error's code and message, or by the kind that the SDK's table of codes gives.
docs/troubleshooting.rst has the same texts; tests/test_docs_site.py compares them. So change both.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from cometchat import CometChatException
from cometchat._protocol._error_codes import ErrorKind, known_kind


class Advice(NamedTuple):
    """The cause of one error, and what to do about it."""

    meaning: str
    action: str


#: By code: exact.
_BY_CODE = {
    "ERR_AUTH_TIMEOUT": Advice(
        "The WebSocket is open, but the server did not answer `auth`. The live service is silent if it gets an auth"
        " token instead of a jwt, or a jwt of another app. This SDK sends the jwt from the login. So that jwt is not"
        " for this WebSocket host, or a device on the network drops the frames.",
        "If you override hosts, check that the admin API, the client API and the WebSocket host belong to the same"
        " app and region. If there is a proxy or firewall, try another network. Otherwise send CometChat's support"
        " your app id and the time of this attempt.",
    ),
    "WS_AUTH_FAIL": Advice(
        "The server refused the jwt, and then a new one. The user was deleted or deactivated,"
        " the auth token was revoked, or the app id and region do not belong together.",
        "Check in the dashboard that the user exists and is not deactivated, and compare the app id and region. Then"
        " log in again. If the auth token was revoked, create a new one.",
    ),
    "ERR_PONG_TIMEOUT": Advice(
        "The server did not answer the heartbeat. The network is gone, or a device on the network drops or delays the"
        " frames. The client makes a new connection.",
        "If it happens now and then, do nothing. If it happens every few seconds, try without the proxy or VPN. The"
        " process may also be too busy to read, or the service overloaded: raise pong_timeout.",
    ),
    "ERR_TOO_MANY_REQUESTS": Advice(
        "The app or this address makes more calls than the plan allows (HTTP 429). Often a script logs in at every"
        " start.",
        "Wait for the time in error.retry_after, or a minute if it is None. Log in once, and keep the login with"
        " FileSessionStore. Share one connection between workers. The SDK's own retries obey the wait.",
    ),
    "ERR_BAD_RESPONSE": Advice(
        "The answer did not come from CometChat's API, but from a captive portal, a proxy or another server. It may"
        " be a redirect, which the SDK does not follow. Or the service's answer lacks what the call is for, such as the"
        " message. HTTP 502 to 504 often come from the service's own gateway, while the service is overloaded or in"
        " maintenance.",
        "After HTTP 502 to 504, wait and try again. Otherwise open the address in a browser on this machine. If you"
        " override hosts, check them including the path: the SDK does not add /v3.0 to an override.",
    ),
    "ERR_PROTOCOL": Advice(
        "The server sent something that is not a WebSocket frame, or a message above max_message_size.",
        "Check that the WebSocket host is CometChat's. If your messages are that large, raise max_message_size.",
    ),
    "ERR_CONNECT_TIMEOUT": Advice(
        "TCP, TLS and the upgrade took longer than connect_timeout. Often a proxy or firewall inspects the traffic, and"
        " does not support WebSocket.",
        "Try another network, or allow WebSocket (Upgrade) to this host. If the network is slow, raise"
        " connect_timeout.",
    ),
}

#: By a pattern in the code of a service error.
_BY_PATTERN: Sequence[Tuple[str, Advice]] = (
    (
        r"UID_NOT_FOUND",
        Advice(
            "The app has no user with this uid, or has deactivated the user.",
            "Check the uid and the app id. Create the user in the dashboard or with the REST API. A new app has the"
            " users cometchat-uid-1 to cometchat-uid-5.",
        ),
    ),
    (
        r"AUTH_TOKEN|AUTHTOKEN",
        Advice(
            "The service does not know this auth token: it was revoked, a logout ended it, or it belongs to another"
            " app or region. Or it is not an auth token, but an auth key or a REST API key.",
            "Create a new auth token for the user (dashboard, or POST /users/{uid}/auth_tokens). Give an auth key to"
            " login() instead. With refresh of login_with_auth_token() the client renews tokens by itself.",
        ),
    ),
    (
        r"API_?KEY|AUTH_?KEY|NO_ACCESS",
        Advice(
            "The service does not accept this auth key for this app.",
            "Copy the auth key of this app from the dashboard (API & Auth Keys). An auth key logs users in; a REST"
            " API key is for servers.",
        ),
    ),
    (
        r"APP_?ID|APP_NOT_FOUND|APP_ARCHIVED",
        Advice(
            "The service does not know this app in this region.",
            "Compare the app id and region with the dashboard. An app is in one region only.",
        ),
    ),
    (
        r"SUBSCRIPTION|PLAN_|TRIAL",
        Advice("The app's plan does not include this call, or has expired.", "Look at the plan in the dashboard."),
    ),
)

#: By the kind of a service error that has no entry of its own.
_BY_KIND: Dict[Optional[ErrorKind], Advice] = {
    ErrorKind.TEMPORARY: Advice(
        "The service has trouble, such as a timeout of its database. The login and the app are not the cause.",
        "Wait and try again. The SDK does this automatically. If it lasts, check CometChat's status page.",
    ),
    ErrorKind.RATE_LIMIT: _BY_CODE["ERR_TOO_MANY_REQUESTS"],
    ErrorKind.OPERATOR: Advice(
        "The service refuses this app, not only this call. The SDK tries again with long waits.",
        "An operator of the app must act: check the app id, the region, the host overrides with their API version, and"
        " the plan in the dashboard.",
    ),
    ErrorKind.CREDENTIAL: Advice(
        "The service refuses the credential of this call.",
        "Check the auth key or the auth token, and log in again.",
    ),
    ErrorKind.INVALID_REQUEST: Advice(
        "The service does not accept a value of this call.",
        "Correct the value that the error names. If it names none, look up the code in CometChat's documentation.",
    ),
    ErrorKind.MESSAGE: Advice(
        "The service refuses this message, user, group or call. Other calls may succeed.",
        "Look up the code in CometChat's documentation.",
    ),
}

#: By a pattern in the message of a network error: of HTTP, the WebSocket, or the doctor's probes.
_BY_NETWORK: Sequence[Tuple[str, Advice]] = (
    (
        r"no address for proxy",
        Advice(
            "This machine can't find an address for the proxy.",
            "Check the proxy's name in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or AppSettings(proxies=...). If no proxy is"
            " needed, remove it, or name the host in NO_PROXY.",
        ),
    ),
    (
        r"DNS:",
        Advice(
            "This machine can't find an address for the host. The name of the host contains the app id and region.",
            "Check the app id and region. The regions are us, eu and in; dedicated regions have other names. If you"
            " override hosts, look for typing errors. If other names fail too, check this machine's network and DNS.",
        ),
    ),
    (
        r"certificate has expired|not yet valid",
        Advice(
            "The certificate is not valid now, by this machine's clock.",
            "Check this machine's clock first. If it is right, the server (or a proxy that opens TLS) needs a new"
            " certificate.",
        ),
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|doesn't match",
        Advice(
            "The certificate is for another name: this is another host, or its certificate does not contain the"
            " name that you use.",
            "Check the host override, and use the name that the certificate is for.",
        ),
    ),
    (
        r"self.signed|local issuer|not trusted",
        Advice(
            "This machine does not trust the issuer of the certificate: a company proxy that opens TLS, a"
            " test server, or an attacker.",
            "If you know and trust the issuer, name its CA certificate with --ca-certs FILE, AppSettings(ca_certs=...)"
            " or REQUESTS_CA_BUNDLE. The SDK always checks certificates.",
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
        r"the client certificate",
        Advice(
            "The client's certificate or its key can't be used.",
            "Check AppSettings(client_cert=...): PEM files that this user may read, and a key that belongs to the"
            " certificate and has no passphrase.",
        ),
    ),
    (
        r"key log",
        Advice(
            "The file for the keys of TLS, which a network analyser reads, can't be written.",
            "Unset SSLKEYLOGFILE, or name a file that this user may write.",
        ),
    ),
    (
        r"TLS:",
        Advice(
            "TCP works, but TLS does not: the server uses plain http on this port, or a device on the network"
            " blocks TLS.",
            "Check the port and the scheme. An override without http:// means https.",
        ),
    ),
    (
        r"invalid proxy address|proxy can't have the scheme",
        Advice(
            "The address of the proxy can't be used, so that no connection is tried.",
            "Correct HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or AppSettings(proxies=...): http://host:port, or with"
            " http://user:password@ before the host. If no proxy is needed, remove it.",
        ),
    ),
    (
        r"HTTP 407|[Pp]roxy:|proxy http|proxy socks",
        Advice(
            "The proxy did not connect to the host.",
            "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY or AppSettings(proxies=...), and that the proxy allows"
            " CONNECT to this host and port. User and password go into its address: http://user:password@host:port.",
        ),
    ),
    (
        r"answered HTTP (401|403)",
        Advice(
            "The WebSocket host answers but refuses the upgrade. No credential has been sent so far.",
            "The reason is probably a firewall or gateway: try another network. Check the app id and host"
            " overrides.",
        ),
    ),
    (
        r"answered HTTP (429|5\d\d)",
        Advice(
            "The WebSocket host answers but does not accept connections: it is overloaded or in maintenance.",
            "Wait and try again. The SDK does this automatically and obeys Retry-After. If it lasts, check"
            " CometChat's status page.",
        ),
    ),
    (
        r"handshake:",
        Advice(
            "The WebSocket host answers, but not with an upgrade: a proxy strips the Upgrade header, or this is not a"
            " WebSocket server.",
            "If you override hosts, check them. Otherwise try another network, or allow Upgrade and long connections in"
            " your proxy or firewall.",
        ),
    ),
    (
        r"not HTTP",
        Advice(
            "The host answers, but not with HTTP: the port or the scheme is wrong, or a device on the network answers"
            " in its place.",
            "Check the port and the scheme in host overrides. Otherwise try another network.",
        ),
    ),
    (
        r"network:",
        Advice(
            "This machine has no way to the host: it is offline, or a route or VPN is missing.",
            "Check that this machine is online, and that its VPN is on if this network needs one.",
        ),
    ),
    (
        r"refused",
        Advice(
            "The machine is reachable, but no server listens on this port (or a firewall refuses the connection).",
            "Check the port in host overrides, and that the server runs. For the live service, check the outgoing"
            " firewall.",
        ),
    ),
    (
        r"timeout|timed out",
        Advice(
            "The host does not answer: it is down, or the network drops the packets, usually because of a firewall.",
            "Allow outgoing connections to this host and port. If this network needs a proxy, set HTTPS_PROXY or"
            " AppSettings(proxies=...).",
        ),
    ),
    (
        r"closed the connection|is lost|reset|ended the connection",
        Advice(
            "The server (or a device on the network) ended the connection. The close code, if any, says more: 1001"
            " and 1012 mean a restart, 1008 and 4000 to 4999 are the service's reasons, and 1006 gives no reason.",
            "The client connects again by itself. If it happens again and again, try another network, or send"
            " CometChat's support the close code and the time. If it always happens after the same time, a gateway has"
            " an idle limit: set ping_interval below it. If you override hosts with http://, the port may need"
            " https://.",
        ),
    ),
)

_NETWORK_CODES = ("FAILED_TO_FETCH", "WS_CONNECTION_FAIL", "NO_WEBSOCKET_CONNECTION")

_UNKNOWN = Advice(
    "The service returned an error that this tool can't explain.",
    "Look up the code in CometChat's documentation, or ask its support with your app id and the time.",
)

_NETWORK_UNKNOWN = Advice(
    "The network failed in an unusual way.", "Check that this machine is online, and run this again with --debug."
)


def advice_for(error: CometChatException) -> Advice:
    """Return the advice for an error of the SDK or of the service."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.code in _NETWORK_CODES:
        return network_advice(f"{error.message} {error.details or ''}")
    if error.code == "MISSING_PARAMETERS" or error.code.startswith("INVALID_"):
        return Advice(
            "An option or an environment variable has an invalid value.", "Correct it and run this again."
        )
    return _search(_BY_PATTERN, error.code) or _BY_KIND.get(known_kind(error), _UNKNOWN)


def network_advice(text: str) -> Advice:
    """Return the advice for the text of a network error."""
    return _search(_BY_NETWORK, text) or _NETWORK_UNKNOWN


def _search(table: Sequence[Tuple[str, Advice]], text: str) -> Optional[Advice]:
    return next((advice for pattern, advice in table if re.search(pattern, text)), None)
