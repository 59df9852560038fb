"""Tokens with real signatures: which ones are let in, as whom, and how the others are refused."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from auth.errors import ExpiredToken, InvalidToken
from auth.keys import public_key, shared_secret
from auth.principal import ORDINARY_SCOPES, Principal, Scope
from auth.tokens import TokenIssuer, TokenVerifier
from tests.auth import keyring


def verifier(**options: Any) -> TokenVerifier:
    return TokenVerifier(shared_secret(keyring.SECRET), **options)


async def principal_of(**changes: Any) -> Principal:
    return await verifier().verify(keyring.token(**changes))


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_token_of_an_existing_back_end_gets_every_scope_but_admin() -> None:
    expires_at = int(time.time()) + 600
    principal = await principal_of(sub="backend", exp=expires_at)
    assert principal == Principal(
        subject="backend",
        tenant="backend",
        scopes=ORDINARY_SCOPES,
        sessions=None,
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        token_id=None,
    )
    assert Scope.ADMIN not in principal.scopes


async def test_the_default_scopes_never_contain_admin_even_when_configured_so() -> None:
    lenient = verifier(default_scopes=frozenset({Scope.ADMIN, Scope.SESSIONS_READ}))
    principal = await lenient.verify(keyring.token())
    assert principal.scopes == {Scope.SESSIONS_READ}


async def test_the_tenant_claim_is_the_tenant() -> None:
    principal = await principal_of(sub="anna", tenant="acme", jti="7")
    assert (principal.subject, principal.tenant, principal.token_id) == ("anna", "acme", "7")


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "sessions:read messages:send"}, {Scope.SESSIONS_READ, Scope.MESSAGES_SEND}),
        ({"scopes": ["sessions:read", "admin"]}, {Scope.SESSIONS_READ, Scope.ADMIN}),
        (
            {"scope": "sessions:read", "scopes": ["messages:read"]},
            {Scope.SESSIONS_READ, Scope.MESSAGES_READ},
        ),
        ({"scope": "openid profile sessions:write"}, {Scope.SESSIONS_WRITE}),
        ({"scope": "openid"}, set()),
        ({"scope": ""}, set()),
        ({"scopes": []}, set()),
    ],
)
async def test_scopes_are_those_named_and_unknown_ones_grant_nothing(
    changes: dict[str, Any], scopes: set[Scope]
) -> None:
    assert (await principal_of(**changes)).scopes == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ""},
        {"sub": "   "},
        {"sub": "x" * 129},
        {"sub": "a\nforged log line"},
        {"sub": "nul\x00"},
        {"sub": "lone \ud800 surrogate"},
        {"sub": 7},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": ["acme"]},
        {"tenant": "x" * 129},
        {"scope": 7},
        {"scope": {"admin": True}},
        {"scopes": ["admin", 7]},
        {"sessions": "demo"},
        {"sessions": [1]},
        {"sessions": {}},
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": int(time.time() * 1000) + 10**15},
        {"exp": 10**300},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"jti": 7},
    ],
)
async def test_a_malformed_claim_refuses_the_token(changes: dict[str, Any]) -> None:
    # By hand: the library would not sign some of these.
    header, body = segment({"alg": "HS256"}), segment(keyring.claims(**changes))
    signer = jwt.get_algorithm_by_name("HS256")
    signature = signer.sign(f"{header}.{body}".encode(), keyring.SECRET.encode())
    forged = f"{header}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(InvalidToken):
        await verifier().verify(forged)


async def test_a_null_claim_is_no_absent_claim() -> None:
    claims = {**keyring.claims(), "sessions": None}
    with pytest.raises(InvalidToken):
        await verifier().verify(jwt.encode(claims, keyring.SECRET, algorithm="HS256"))


@pytest.mark.parametrize("claim", ["exp", "sub"])
async def test_a_required_claim_that_is_missing_is_named(claim: str) -> None:
    with pytest.raises(InvalidToken, match=f"`{claim}`"):
        await principal_of(**{claim: None})


async def test_an_expired_token_says_so() -> None:
    with pytest.raises(ExpiredToken) as refused:
        await principal_of(exp=int(time.time()) - 31)
    assert refused.value.code == "token_expired"


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    principal = await principal_of(exp=now - 20, nbf=now + 20, iat=now + 20)
    assert principal.subject == "backend"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_not_valid_yet(claim: str) -> None:
    with pytest.raises(InvalidToken, match="not valid yet"):
        await principal_of(**{claim: int(time.time()) + 120})


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_token_with_one_changed_character_is_refused(part: int) -> None:
    parts = keyring.token(tenant="acme").split(".")
    changed = "A" if parts[part][10] != "A" else "B"
    parts[part] = parts[part][:10] + changed + parts[part][11:]
    with pytest.raises(InvalidToken):
        await verifier().verify(".".join(parts))


async def test_claims_swapped_under_a_signature_are_refused() -> None:
    header, _, signature = keyring.token(tenant="acme").split(".")
    body = segment(keyring.claims(tenant="other"))
    with pytest.raises(InvalidToken, match="signature"):
        await verifier().verify(f"{header}.{body}.{signature}")


async def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(InvalidToken, match="signature"):
        await verifier().verify(keyring.token(secret=keyring.OTHER_SECRET))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS512", "XX99"])
async def test_an_unsigned_token_or_another_algorithm_is_refused(algorithm: str) -> None:
    _, body, signature = keyring.token(scope="admin").split(".")
    for end in ("", signature):
        with pytest.raises(InvalidToken):
            await verifier().verify(f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{body}.{end}")


async def test_a_real_signature_by_another_member_of_the_family_is_refused() -> None:
    with pytest.raises(InvalidToken, match="algorithm"):
        await verifier().verify(keyring.token(secret=keyring.SECRET * 2, algorithm="HS384"))


async def test_a_public_key_used_as_a_shared_secret_is_refused() -> None:
    key = keyring.rsa_key()
    pem = keyring.public_pem(key)
    header, body = segment({"alg": "HS256", "typ": "JWT"}), segment(keyring.claims(scope="admin"))
    signer = jwt.get_algorithm_by_name("HS256")
    signature = signer.sign(f"{header}.{body}".encode(), pem.encode())
    forged = f"{header}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    rsa_verifier = TokenVerifier(public_key(pem, "RS256"))
    with pytest.raises(InvalidToken, match="algorithm"):
        await rsa_verifier.verify(forged)
    assert (await rsa_verifier.verify(keyring.signed(key, "RS256"))).subject == "backend"


async def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    mine, theirs = keyring.rsa_key(), keyring.rsa_key()
    jwk = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(theirs.public_key()))
    forged = jwt.encode(
        keyring.claims(), theirs, algorithm="RS256", headers={"jwk": jwk, "jku": "http://127.0.0.1"}
    )
    with pytest.raises(InvalidToken, match="signature"):
        await TokenVerifier(public_key(keyring.public_pem(mine), "RS256")).verify(forged)


async def test_elliptic_and_edwards_keys_verify() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    es256 = TokenVerifier(public_key(keyring.public_pem(elliptic), "ES256"))
    eddsa = TokenVerifier(public_key(keyring.public_pem(edwards), "EdDSA"))
    assert (await es256.verify(keyring.signed(elliptic, "ES256"))).subject == "backend"
    assert (await eddsa.verify(keyring.signed(edwards, "EdDSA"))).subject == "backend"
    with pytest.raises(InvalidToken):
        await es256.verify(keyring.signed(edwards, "EdDSA"))


async def test_audience_and_issuer_are_required_once_configured() -> None:
    strict = verifier(audience="wagate", issuer="https://id.example")
    good: dict[str, Any] = {"aud": "wagate", "iss": "https://id.example"}
    assert (await strict.verify(keyring.token(**good))).subject == "backend"
    assert (await strict.verify(keyring.token(**{**good, "aud": ["x", "wagate"]}))).subject
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"aud": "billing"}, "audience"),
        ({"aud": None}, "`aud`"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "`iss`"),
    ]
    for changes, word in refusals:
        with pytest.raises(InvalidToken, match=word):
            await strict.verify(keyring.token(**{**good, **changes}))


async def test_an_audience_is_ignored_when_none_is_configured() -> None:
    assert (await principal_of(aud="billing", iss="https://id.example")).subject == "backend"


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        ".",
        "..",
        "...",
        "not a token",
        "a.b",
        "a.b.c",
        "eyJhbGciOiJIUzI1NiJ9..",
        "\x00.\x00.\x00",
        "ünïcode.in.token",
        "\ud800.a.b",
        segment([]) + ".e30.AA",
        segment("text") + ".e30.AA",
        segment({"alg": ["HS256"]}) + ".e30.AA",
        segment({"alg": "HS256", "kid": 7}) + ".e30.AA",
        segment({"alg": "HS256", "crit": ["b64"], "b64": False}) + ".e30.AA",
        base64.urlsafe_b64encode(b"[" * 5900).decode().rstrip("=") + ".e30.AA",
        base64.urlsafe_b64encode(b'{"a":' * 1100).decode().rstrip("=") + ".e30.AA",
    ],
)
async def test_garbage_is_an_invalid_token(garbage: str) -> None:
    key = keyring.rsa_key()
    for candidate in (verifier(), TokenVerifier(public_key(keyring.public_pem(key), "RS256"))):
        with pytest.raises(InvalidToken):
            await candidate.verify(garbage)


async def test_a_huge_token_is_refused_even_when_its_signature_is_right() -> None:
    with pytest.raises(InvalidToken, match="8192 bytes"):
        await principal_of(padding="x" * 8192)
    assert (await principal_of(padding="x" * 4000)).subject == "backend"


async def test_no_refusal_repeats_the_token() -> None:
    token = keyring.token(secret=keyring.OTHER_SECRET, sub="canary-subject")
    with pytest.raises(InvalidToken) as refused:
        await verifier().verify(token)
    shown = f"{refused.value!r} {refused.value.message} {refused.value.__cause__}"
    assert not any(part in shown for part in [*token.split("."), "canary-subject"])


async def test_an_issued_token_is_accepted_as_what_it_was_issued_for() -> None:
    issuer = TokenIssuer(keyring.SECRET, audience="wagate", issuer="me")
    token = issuer.issue(
        subject="anna",
        tenant="acme",
        scopes=[Scope.ADMIN],
        sessions=["demo"],
        lifetime=timedelta(hours=1),
    )
    principal = await verifier(audience="wagate", issuer="me").verify(token)
    assert (principal.subject, principal.tenant) == ("anna", "acme")
    assert principal.scopes == {Scope.ADMIN}
    assert principal.sessions == frozenset({"demo"})
    assert principal.token_id
    remaining = principal.expires_at - datetime.now(UTC)
    assert timedelta(minutes=59) < remaining <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lifetime": timedelta(0)}, "lifetime"),
        ({"lifetime": timedelta(days=-1)}, "lifetime"),
        ({"lifetime": timedelta(days=367)}, "lifetime"),
        ({"subject": " "}, "subject"),
        ({"tenant": "x" * 129}, "tenant"),
        ({"sessions": ["s" * 64] * 200}, "8192"),
    ],
)
def test_an_absurd_grant_is_not_issued(changes: dict[str, Any], word: str) -> None:
    grant: dict[str, Any] = {"subject": "anna", "lifetime": timedelta(hours=1), **changes}
    with pytest.raises(ValueError, match=word):
        TokenIssuer(keyring.SECRET).issue(**grant)
