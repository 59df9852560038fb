"""Tokens: verifying what callers bring, and issuing our own."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt

from auth.claims import is_name, principal_from
from auth.errors import AuthError, ExpiredToken, InvalidToken, RevokedToken
from auth.keys import FixedKey, VerificationKeys, check_secret
from auth.principal import ORDINARY_SCOPES, Principal, Scope
from auth.revocations import RevocationList

TOKEN_MAX_BYTES = 8 * 1024
"""Beyond this a token is refused unread: it fits no proxy's header limits either."""
LIFETIME_MAX = timedelta(days=366)


class TokenVerifier:
    """Verifies signed JWTs with one algorithm; `exp` and `sub` are required.

    `audience` and `issuer` are checked, and then required, when given.
    """

    def __init__(
        self,
        keys: VerificationKeys,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        leeway_seconds: float = 30,
        default_scopes: frozenset[Scope] = ORDINARY_SCOPES,
        revocations: RevocationList | None = None,
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._leeway_seconds = leeway_seconds
        self.revocations = revocations or RevocationList()
        """What is revoked; who keeps revocations adds to it."""
        # A token that names no scopes must never administrate.
        self._default_scopes = default_scopes - {Scope.ADMIN}

    async def verify(self, token: str) -> Principal:
        """Return whom a token stands for.

        Raises:
            InvalidToken, ExpiredToken, RevokedToken: it is not to be trusted.
            KeysUnavailable: its key can't be had now.
        """
        if len(token) > TOKEN_MAX_BYTES:
            message = f"The token is larger than {TOKEN_MAX_BYTES} bytes. Get one with less in it."
            raise InvalidToken(message)
        if not token.isascii():
            raise InvalidToken
        key = await self._key_of(token)
        try:
            claims = self._decode(token, key)
        except jwt.PyJWTError as error:
            raise _translated(error) from None
        except (ValueError, TypeError, RecursionError):
            # Nested or malformed JSON that the library lets through as its parser's own errors.
            raise InvalidToken from None
        principal = principal_from(claims, self._default_scopes)
        if self.is_revoked(principal):
            raise RevokedToken
        return principal

    def is_revoked(self, principal: Principal) -> bool:
        """Tell whether a caller's token was revoked, perhaps since it was verified."""
        return self.revocations.covers(principal)

    async def _key_of(self, token: str) -> Any:
        if isinstance(self._keys, FixedKey):
            return self._keys.key
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise InvalidToken from None
        if header.get("alg") != self._keys.algorithm:
            # Before any fetch: a forged header must not make us ask the identity provider.
            raise _translated(jwt.InvalidAlgorithmError())
        return await self._keys.find(header.get("kid"))

    def _decode(self, token: str, key: Any) -> dict[str, Any]:
        expected = {"aud": self._audience, "iss": self._issuer}
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[self._keys.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway_seconds,
            options={
                "require": ["exp", "sub", *(claim for claim, value in expected.items() if value)],
                "verify_aud": self._audience is not None,
                "verify_iss": self._issuer is not None,
                "enforce_minimum_key_length": True,
            },
        )
        return claims


def read_unverified(token: str) -> Principal:
    """Return whom a token claims to stand for; nothing of it is proven.

    Raises:
        InvalidToken: it is no token, or a claim is malformed.
    """
    options: Any = {"verify_signature": False, "require": ["exp", "sub"]}
    try:
        return principal_from(jwt.decode(token, options=options), frozenset())
    except jwt.PyJWTError as error:
        raise _translated(error) from None
    except (ValueError, TypeError, RecursionError):
        raise InvalidToken from None


_SENTENCES: dict[type[jwt.PyJWTError], str] = {
    jwt.ImmatureSignatureError: (
        "The token is not valid yet. Compare its issuer's clock with this server's."
    ),
    jwt.InvalidAudienceError: "The token is for another audience. Get one for this server.",
    jwt.InvalidIssuerError: "The token is from another issuer. Get one for this server.",
    jwt.InvalidAlgorithmError: (
        "The token is signed with an algorithm that this server refuses. Get another one."
    ),
    jwt.InvalidSignatureError: (
        "The token's signature does not match. Get one signed with this server's key."
    ),
}


def _translated(error: jwt.PyJWTError) -> AuthError:
    if isinstance(error, jwt.ExpiredSignatureError):
        return ExpiredToken()
    if isinstance(error, jwt.MissingRequiredClaimError):
        return InvalidToken(f"The token has no claim `{error.claim}`. Get one that has it.")
    return InvalidToken(_SENTENCES.get(type(error)))


class TokenIssuer:
    """Signs tokens with the shared secret (HS256), for the same audience and issuer it verifies."""

    def __init__(
        self, secret: str, *, audience: str | None = None, issuer: str | None = None
    ) -> None:
        check_secret(secret)
        self._secret = secret
        self._audience = audience
        self._issuer = issuer

    def issue(
        self,
        *,
        subject: str,
        lifetime: timedelta,
        tenant: str | None = None,
        scopes: Iterable[Scope] = ORDINARY_SCOPES,
        sessions: Iterable[str] | None = None,
    ) -> str:
        """Return a signed token; `sessions` narrows it to these ids or names.

        Raises:
            ValueError: a name is blank or too long, the lifetime absurd, or the whole too large.
        """
        _check_grant(subject, tenant, lifetime)
        now = datetime.now(UTC)
        claims = {
            "sub": subject,
            "tenant": tenant,
            "scope": " ".join(sorted(scopes)),
            "sessions": None if sessions is None else sorted(sessions),
            "aud": self._audience,
            "iss": self._issuer,
            "iat": now,
            "exp": now + lifetime,
            "jti": str(uuid4()),
        }
        given = {claim: value for claim, value in claims.items() if value is not None}
        token = jwt.encode(given, self._secret, algorithm="HS256")
        if len(token) > TOKEN_MAX_BYTES:
            message = f"the token would be larger than {TOKEN_MAX_BYTES} bytes: name fewer sessions"
            raise ValueError(message)
        return token


def _check_grant(subject: str, tenant: str | None, lifetime: timedelta) -> None:
    for word, name in (("subject", subject), ("tenant", tenant)):
        if name is not None and not is_name(name):
            message = f"the {word} must be a text of 1 to 128 printable characters"
            raise ValueError(message)
    if not timedelta(seconds=1) <= lifetime <= LIFETIME_MAX:
        message = f"the lifetime must be between 1 second and {LIFETIME_MAX.days} days"
        raise ValueError(message)
