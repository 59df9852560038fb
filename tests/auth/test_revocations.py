"""Revoked tokens are refused, and nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.errors import RevokedToken
from auth.keys import shared_secret
from auth.revocations import Revocation
from auth.tokens import TokenIssuer, TokenVerifier
from tests.auth.keyring import SECRET

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def verifier() -> TokenVerifier:
    """Return one that shares the issuer's secret."""
    return TokenVerifier(shared_secret(SECRET))


def token(subject: str = "alice", tenant: str = "acme") -> str:
    """Return a fresh token."""
    return TokenIssuer(SECRET).issue(subject=subject, tenant=tenant, lifetime=HOUR)


async def test_a_token_is_refused_by_its_id_and_others_are_not() -> None:
    judge, revoked, other = verifier(), token(), token()
    principal = await judge.verify(revoked)

    judge.revocations.add(Revocation("acme", NOW, token_id=principal.token_id))

    with pytest.raises(RevokedToken):
        await judge.verify(revoked)
    assert (await judge.verify(other)).subject == "alice"


async def test_another_tenant_cannot_revoke_it() -> None:
    judge, mine = verifier(), token()
    principal = await judge.verify(mine)

    judge.revocations.add(Revocation("other", NOW, token_id=principal.token_id))
    judge.revocations.add(Revocation("other", NOW, subject="alice", not_before=NOW + HOUR))

    assert (await judge.verify(mine)).tenant == "acme"


async def test_a_subjects_older_tokens_are_refused_and_newer_ones_are_not() -> None:
    judge, old = verifier(), token()

    judge.revocations.add(Revocation("acme", NOW, subject="alice", not_before=NOW + HOUR))
    judge.revocations.add(Revocation("acme", NOW, subject="alice", not_before=NOW - HOUR))
    judge.revocations.add(Revocation("acme", NOW, subject="bob", not_before=NOW - HOUR))

    with pytest.raises(RevokedToken):
        await judge.verify(old)
    assert (await judge.verify(token("bob"))).subject == "bob"
    assert (await judge.verify(token("carol"))).subject == "carol"


async def test_a_token_without_a_time_of_issue_counts_as_old() -> None:
    import jwt  # noqa: PLC0415 - only here a token is made that no issuer of ours makes

    judge = verifier()
    claims = {"sub": "alice", "tenant": "acme", "exp": NOW + HOUR}
    bare = jwt.encode(claims, SECRET, algorithm="HS256")
    assert (await judge.verify(bare)).issued_at is None

    judge.revocations.add(Revocation("acme", NOW, subject="alice", not_before=NOW - 100 * HOUR))

    with pytest.raises(RevokedToken):
        await judge.verify(bare)
