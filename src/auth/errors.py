"""Why a caller was not let in, as one tree.

AuthError
  MissingToken               InvalidToken              ExpiredToken
  RevokedToken               InsufficientScope
  KeysUnavailable, RevocationsUnavailable (temporary)

`code` is stable and part of the contract; the docstring is the default message and says what to do.
No message repeats what the caller sent. HTTP statuses are the edge's business.

UnusableKey stands apart: an operator's key can't protect anything, so the server does not start.
"""

from typing import ClassVar


class AuthError(Exception):
    """The caller could not be authenticated. Get a new token and try again."""

    code: ClassVar[str] = "unauthorized"
    temporary: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def message(self) -> str:
        """One sentence for a person, with the next step."""
        return str(self)


class MissingToken(AuthError):
    """There is no token. Send it in the header `Authorization: Bearer <token>`."""

    code = "missing_token"


class InvalidToken(AuthError):
    """The token is not valid here. Get a new one from whoever issues tokens for this server."""

    code = "invalid_token"


class ExpiredToken(AuthError):
    """The token has expired. Get a new one and try again."""

    code = "token_expired"


class RevokedToken(AuthError):
    """The token was revoked. Get a new one from whoever issues tokens for this server."""

    code = "token_revoked"


class InsufficientScope(AuthError):
    """The token does not allow this. Get one with the scope that the call needs."""

    code = "insufficient_scope"


class KeysUnavailable(AuthError):
    """The key that signed the token can't be fetched right now. Try again in a few seconds."""

    code = "keys_unavailable"
    temporary = True


class RevocationsUnavailable(AuthError):
    """The revocation can't be kept now. Nothing was revoked; try again in a few seconds."""

    code = "revocations_unavailable"
    temporary = True


class UnusableKey(ValueError):
    """A configured secret, key or key URL is too weak or not what it should be."""
