"""What a principal may do."""

from datetime import UTC, datetime

import pytest

from auth.errors import InsufficientScope
from auth.principal import ORDINARY_SCOPES, Principal, Scope


def principal(*scopes: Scope, sessions: frozenset[str] | None = None) -> Principal:
    return Principal(
        subject="anna",
        tenant="acme",
        scopes=frozenset(scopes),
        sessions=sessions,
        expires_at=datetime.now(UTC),
        token_id=None,
    )


def test_a_scope_allows_itself_and_nothing_else() -> None:
    reader = principal(Scope.SESSIONS_READ)
    reader.require(Scope.SESSIONS_READ)
    for other in frozenset(Scope) - {Scope.SESSIONS_READ}:
        with pytest.raises(InsufficientScope, match=other.value):
            reader.require(other)


def test_admin_implies_every_scope_and_the_others_do_not_imply_admin() -> None:
    for scope in Scope:
        principal(Scope.ADMIN).require(scope)
    with pytest.raises(InsufficientScope):
        principal(*ORDINARY_SCOPES).require(Scope.ADMIN)


def test_a_narrowed_token_reaches_its_sessions_by_id_or_name() -> None:
    narrowed = principal(sessions=frozenset({"demo", "0192-id"}))
    assert narrowed.may_access("other-id", "demo")
    assert narrowed.may_access("0192-id", "renamed")
    assert not narrowed.may_access("other-id", "other")


def test_a_token_narrowed_to_nothing_reaches_nothing_not_even_as_admin() -> None:
    assert not principal(Scope.ADMIN, sessions=frozenset()).may_access("id", "demo")
    assert principal(sessions=None).may_access("id", "demo")
