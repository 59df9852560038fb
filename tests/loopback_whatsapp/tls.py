"""A certificate authority of our own, and the TLS context of the hosts we stand in for."""

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOSTS = ("web.whatsapp.com", "*.whatsapp.net")
VALIDITY = datetime.timedelta(days=30)


def server_context(directory: Path, hosts: Sequence[str] = HOSTS) -> ssl.SSLContext:
    """Write `ca.pem` and the server's certificate into a directory; return the server's context."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server = _server(authority, authority_key, server_key.public_key(), hosts)
    (directory / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    (directory / "server.pem").write_bytes(
        server.public_bytes(Encoding.PEM)
        + server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context


def _builder(subject: str, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = "loopback WhatsApp CA"
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    builder = _builder(name, _name(name)).public_key(key.public_key())
    return builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())


def _server(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
) -> x509.Certificate:
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    builder = _builder(hosts[0], authority.subject).public_key(public_key)
    return builder.add_extension(names, critical=False).sign(authority_key, hashes.SHA256())
