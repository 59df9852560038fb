"""Keys by URL, from a real HTTP server: rotation, outage, and what it must not be talked into."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth.errors import InvalidToken, KeysUnavailable, UnusableKey
from auth.jwks import JwksKeys, check_jwks_url
from auth.tokens import TokenVerifier
from tests.auth import keyring
from tests.auth.identity_provider import Provider, jwk, running_provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


def verifier(provider: Provider, **options: float) -> TokenVerifier:
    return TokenVerifier(JwksKeys(provider.url, "RS256", **options))


@pytest.fixture(scope="module")
def first() -> rsa.RSAPrivateKey:
    return keyring.rsa_key()


@pytest.fixture(scope="module")
def second() -> rsa.RSAPrivateKey:
    return keyring.rsa_key()


async def test_a_token_is_verified_with_the_key_it_names_and_the_set_is_fetched_once(
    provider: Provider, first: rsa.RSAPrivateKey, second: rsa.RSAPrivateKey
) -> None:
    provider.keys = [jwk(first, kid="a"), jwk(second, kid="b")]
    checked = verifier(provider)
    for key, kid in ((first, "a"), (second, "b"), (first, "a")):
        assert (await checked.verify(keyring.signed(key, "RS256", kid))).subject == "backend"
    with pytest.raises(InvalidToken, match="signature"):
        await checked.verify(keyring.signed(first, "RS256", "b"))
    assert provider.asked == 1


async def test_a_token_that_names_no_key_is_verified_when_there_is_only_one(
    provider: Provider, first: rsa.RSAPrivateKey, second: rsa.RSAPrivateKey
) -> None:
    provider.keys = [jwk(first)]
    assert (await verifier(provider).verify(keyring.signed(first, "RS256"))).subject
    provider.keys = [jwk(first, kid="a"), jwk(second, kid="b")]
    with pytest.raises(InvalidToken):
        await verifier(provider).verify(keyring.signed(first, "RS256"))


async def test_a_rotated_key_is_found_without_a_restart(
    provider: Provider, first: rsa.RSAPrivateKey, second: rsa.RSAPrivateKey
) -> None:
    provider.keys = [jwk(first, kid="a")]
    checked = verifier(provider, cooldown_seconds=0)
    await checked.verify(keyring.signed(first, "RS256", "a"))
    provider.keys = [jwk(second, kid="b")]
    assert (await checked.verify(keyring.signed(second, "RS256", "b"))).subject == "backend"
    with pytest.raises(InvalidToken, match="does not publish"):
        await checked.verify(keyring.signed(first, "RS256", "a"))


async def test_forged_key_names_do_not_make_us_ask_again_and_again(
    provider: Provider, first: rsa.RSAPrivateKey
) -> None:
    provider.keys = [jwk(first, kid="a")]
    checked = verifier(provider)
    for number in range(20):
        with pytest.raises(InvalidToken):
            await checked.verify(keyring.signed(first, "RS256", f"forged-{number}"))
    assert provider.asked == 1


async def test_another_algorithm_is_refused_before_any_fetch(provider: Provider) -> None:
    with pytest.raises(InvalidToken, match="algorithm"):
        await verifier(provider).verify(keyring.token(scope="admin"))
    assert provider.asked == 0


@pytest.mark.parametrize(
    ("status", "content"),
    [(500, None), (404, b"<html>"), (200, b"no json"), (200, b"[]"), (200, b'{"keys": []}')],
)
async def test_known_keys_keep_working_while_the_provider_fails(
    provider: Provider, first: rsa.RSAPrivateKey, status: int, content: bytes | None
) -> None:
    provider.keys = [jwk(first, kid="a")]
    checked = verifier(provider, fresh_seconds=0, cooldown_seconds=0)
    await checked.verify(keyring.signed(first, "RS256", "a"))
    provider.status, provider.content = status, content
    for _ in range(3):
        assert (await checked.verify(keyring.signed(first, "RS256", "a"))).subject == "backend"
    with pytest.raises(KeysUnavailable) as refused:
        await checked.verify(keyring.signed(first, "RS256", "unknown"))
    assert refused.value.temporary
    provider.status, provider.content = 200, None
    with pytest.raises(InvalidToken):
        await checked.verify(keyring.signed(first, "RS256", "unknown"))


async def test_a_known_key_does_not_wait_for_a_provider_that_hangs(
    provider: Provider, first: rsa.RSAPrivateKey
) -> None:
    provider.keys = [jwk(first, kid="a")]
    checked = verifier(provider, fresh_seconds=0, cooldown_seconds=0, timeout_seconds=0.5)
    await checked.verify(keyring.signed(first, "RS256", "a"))
    provider.release.clear()
    # Each would take its time-out if it waited: far beyond the limit of a test.
    for _ in range(200):
        await checked.verify(keyring.signed(first, "RS256", "a"))
    with pytest.raises(KeysUnavailable):
        await checked.verify(keyring.signed(first, "RS256", "unknown"))


async def test_a_provider_that_is_not_there_makes_keys_unavailable(
    first: rsa.RSAPrivateKey,
) -> None:
    nobody = TokenVerifier(JwksKeys("http://127.0.0.1:1/jwks", "RS256"))
    with pytest.raises(KeysUnavailable):
        await nobody.verify(keyring.signed(first, "RS256", "a"))


async def test_a_redirect_is_not_followed(provider: Provider, first: rsa.RSAPrivateKey) -> None:
    provider.keys, provider.status = [jwk(first, kid="a")], 302
    with pytest.raises(KeysUnavailable):
        await verifier(provider).verify(keyring.signed(first, "RS256", "a"))


async def test_keys_that_are_weak_or_for_something_else_are_not_used(
    provider: Provider, first: rsa.RSAPrivateKey
) -> None:
    weak, curve = keyring.rsa_key(1024), ec.generate_private_key(ec.SECP256R1())
    provider.keys = [
        jwk(first, kid="encryption", use="enc"),
        jwk(weak, kid="weak"),
        jwk(curve, kid="curve"),
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0" * 8, "alg": "HS256"},
        jwk(first, kid="good", use="sig"),
    ]
    checked = verifier(provider)
    for key, kid in ((first, "encryption"), (first, "curve"), (first, "shared")):
        with pytest.raises(InvalidToken):
            await checked.verify(keyring.signed(key, "RS256", kid))
    assert (await checked.verify(keyring.signed(first, "RS256", "good"))).subject == "backend"


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https://",
        "https://user:password@id.example/jwks",
        "/jwks",
        "",
    ],
)
def test_a_url_that_anyone_on_the_way_could_answer_is_refused(url: str) -> None:
    with pytest.raises(UnusableKey) as refused:
        check_jwks_url(url)
    assert "password@" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://id.example/jwks", "http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x"],
)
def test_https_and_this_machine_are_accepted(url: str) -> None:
    check_jwks_url(url)
