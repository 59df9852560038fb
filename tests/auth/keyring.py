"""Keys and tokens as other issuers make them, without any code of ours."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

SECRET = "q8Zr2vXw-Lk4Tn7Yb_Mc1Hs6Jd9Gf3Pa5Ue0Wi"
OTHER_SECRET = "Zp3Nf8Rt-Vy1Kx6Qd_Bw4Lj9Hc2Sg7Mu5Oe0Ta"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def claims(**changes: Any) -> dict[str, Any]:
    """Return what a back end puts into a token: a subject and an hour; None removes a claim."""
    given: dict[str, Any] = {"sub": "backend", "exp": int(time.time()) + 3600, **changes}
    return {claim: value for claim, value in given.items() if value is not None}


def token(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """Return a token signed with a secret."""
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def signed(key: PrivateKey, algorithm: str, kid: str | None = None, **changes: Any) -> str:
    """Return a token signed with a private key, which `kid` names."""
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
