"""`wagate token revoke`: has the running server refuse tokens before their time."""

import time
from dataclasses import dataclass
from datetime import datetime

from auth.errors import InvalidToken
from auth.principal import Scope
from auth.tokens import read_unverified
from gateway.cli_access import own_token
from gateway.cli_client import CallFailed, Client
from gateway.settings import Settings


@dataclass(frozen=True)
class Refusal:
    """What is to be refused, and whose it is; exactly one of `token_id` and `subject` is given."""

    tenant: str
    token_id: str | None = None
    subject: str | None = None
    not_before: datetime | None = None

    @property
    def body(self) -> dict[str, str]:
        """What the call sends."""
        fields = {"tokenId": self.token_id, "subject": self.subject}
        if self.not_before is not None:
            fields["notBefore"] = self.not_before.isoformat()
        return {name: value for name, value in fields.items() if value is not None}


def refusal_of_token(token: str, *, tenant: str | None) -> Refusal:
    """Return the refusal of one token, by what it says itself.

    Raises:
        CallFailed: it says too little, or is another tenant's.
    """
    try:
        principal = read_unverified(token)
    except InvalidToken as error:
        message = f"This can't be read as a token: {error}"
        raise CallFailed(message) from None
    if tenant not in {None, principal.tenant}:
        message = f"The token is of the tenant {principal.tenant}, not of {tenant}."
        raise CallFailed(message)
    if principal.token_id is None:
        message = f"The token has no `jti`. Revoke by its subject: --sub {principal.subject}"
        raise CallFailed(message)
    return Refusal(principal.tenant, token_id=principal.token_id)


def revoke(settings: Settings, refusal: Refusal) -> str:
    """Have the server refuse it; return a sentence about what is refused from now on.

    Raises:
        CallFailed: the server does not, or there is no token to ask with.
        DataDirectoryError: the secret for one can't be read.
    """
    answer = Client(settings.server_url, _token(settings, refusal.tenant)).revoke(refusal.body)
    if refusal.token_id is not None:
        return f"Refused from now on: the token {refusal.token_id} of the tenant {refusal.tenant}."
    if refusal.not_before is None:
        # Tokens tell whole seconds: one made before this one is over would be refused too.
        time.sleep(1 - time.time() % 1)
    return (
        f"Refused from now on: tokens of {refusal.subject} in the tenant {refusal.tenant} "
        f"that were issued before {answer['notBefore']}."
    )


def _token(settings: Settings, tenant: str) -> str:
    if settings.token is None:
        instead = "Set WAGATE_TOKEN to a token with the scope admin"
        return own_token(settings, tenant=tenant, scopes=[Scope.ADMIN], instead=instead)
    token = settings.token.get_secret_value()
    try:
        own = read_unverified(token).tenant
    except InvalidToken:
        # The server says better what is wrong with it.
        return token
    if own != tenant:
        message = f"WAGATE_TOKEN is of the tenant {own}, and can't revoke in the tenant {tenant}."
        raise CallFailed(message)
    return token
