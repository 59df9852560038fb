"""What a token says, read strictly: a claim that is not as it should be refuses the token."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from auth.errors import InvalidToken
from auth.principal import Principal, Scope

NAME_MAX_CHARACTERS = 128
"""Of `sub` and `tenant`: they are stored beside every session."""


def principal_from(claims: Mapping[str, Any], default_scopes: frozenset[Scope]) -> Principal:
    """Read a verified token's claims; `default_scopes` apply when it names no scopes at all.

    Raises:
        InvalidToken: a claim is malformed.
    """
    subject = _name(claims, "sub")
    return Principal(
        subject=subject,
        tenant=_name(claims, "tenant") if "tenant" in claims else subject,
        scopes=_scopes(claims, default_scopes),
        sessions=frozenset(_texts(claims, "sessions")) if "sessions" in claims else None,
        expires_at=_expiry(claims),
        token_id=_token_id(claims),
        issued_at=_issued_at(claims),
    )


def is_name(text: object) -> bool:
    """Tell whether this can be a subject or tenant: printable, not blank, at most 128 characters.

    Control characters would forge log lines, and PostgreSQL stores no NUL.
    """
    if not isinstance(text, str) or not text.strip():
        return False
    return len(text) <= NAME_MAX_CHARACTERS and text.isprintable()


def _name(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim)
    if is_name(value):
        return str(value)
    message = (
        f"The token's claim `{claim}` must be a text of 1 to {NAME_MAX_CHARACTERS} printable "
        "characters."
    )
    raise InvalidToken(message)


def _scopes(claims: Mapping[str, Any], default: frozenset[Scope]) -> frozenset[Scope]:
    if "scope" not in claims and "scopes" not in claims:
        return default
    granted: set[str] = set()
    for claim in ("scope", "scopes"):
        if claim in claims:
            granted.update(_words(claims, claim))
    # Issuers add scopes of their own ("openid"); what is unknown here grants nothing.
    return frozenset(scope for scope in Scope if scope in granted)


def _words(claims: Mapping[str, Any], claim: str) -> list[str]:
    value = claims[claim]
    return value.split() if isinstance(value, str) else _texts(claims, claim)


def _texts(claims: Mapping[str, Any], claim: str) -> list[str]:
    value = claims[claim]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    message = f"The token's claim `{claim}` must be a list of texts."
    raise InvalidToken(message)


def _expiry(claims: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, OverflowError, OSError):
        # JavaScript's Date.now() gives milliseconds: a token that would live for 50 000 years.
        message = "The token's claim `exp` must be Unix time in seconds, not in milliseconds."
        raise InvalidToken(message) from None


def _token_id(claims: Mapping[str, Any]) -> str | None:
    value = claims.get("jti")
    return value if isinstance(value, str) and value else None


def _issued_at(claims: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(claims["iat"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        # It is only looked at when a subject's older tokens are revoked, and counts as old then.
        return None
