"""A self-signed certificate for a server on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import os
from typing import TYPE_CHECKING, List, Sequence, Tuple, Union

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

#: Every certificate is valid for these names and addresses.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

_YEAR = datetime.timedelta(days=365)


def make_certificate(directory: Union[str, os.PathLike[str]], hosts: Sequence[str] = ()) -> Tuple[str, str]:
    """Write ``cert.pem`` and ``key.pem`` (readable by its owner only) into the directory, and return their paths.

    The certificate is its own authority: a client with ``cert.pem`` as its CA bundle trusts it and nothing else. It is
    valid for a year, for ``localhost``, ``127.0.0.1``, ``::1`` and ``hosts``.

    :raises ImportError: the package ``cryptography`` is not installed (``pip install cometchat[sandbox]``).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cometchat sandbox")])
    # An hour earlier, for clients whose clock is slow.
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=start + _YEAR,
    )
    for extension, critical in _extensions(key.public_key(), [*LOCAL_HOSTS, *hosts]):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    no_password = serialization.NoEncryption()
    key_bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    certfile = os.path.join(os.fspath(directory), "cert.pem")
    keyfile = os.path.join(os.fspath(directory), "key.pem")
    _write(keyfile, key_bytes, 0o600)
    _write(certfile, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certfile, keyfile


def _extensions(public_key: ec.EllipticCurvePublicKey, hosts: Sequence[str]) -> List[Tuple[x509.ExtensionType, bool]]:
    """Return the extensions that OpenSSL's strict checks (the default from Python 3.13) require."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return [
        (x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)]), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: str, content: bytes, mode: int) -> None:
    # The mode is set when the file is created, so that other users can never read the key.
    if os.path.exists(path):
        os.unlink(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
