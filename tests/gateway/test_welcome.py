"""What the server prints when it is ready: a token only where nobody else can connect."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auth.keys import shared_secret
from auth.principal import Scope
from auth.tokens import TokenIssuer, TokenVerifier
from gateway.settings import Settings, load_settings
from gateway.welcome import welcome
from tests.auth import keyring

ISSUER = TokenIssuer(keyring.SECRET)


def settings(**overrides: object) -> Settings:
    return load_settings(overrides, env_file=Path("no such file"))


def tokens(text: str) -> list[str]:
    return [word for word in text.split() if word.startswith("eyJ")]


@pytest.mark.parametrize("address", ["http://127.0.0.1:3000", "http://[::1]:3000"])
def test_on_this_machine_it_shows_an_admins_token_for_a_day(address: str) -> None:
    text = welcome(settings(), ISSUER, address)
    (token,) = tokens(text)
    principal = asyncio.run(TokenVerifier(shared_secret(keyring.SECRET)).verify(token))
    assert principal.scopes == {Scope.ADMIN}
    assert principal.tenant == "admin"
    assert timedelta(hours=23) < principal.expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert address in text
    assert f"{address}/docs" in text


@pytest.mark.parametrize(
    "address", ["http://0.0.0.0:3000", "http://[::]:3000", "http://192.168.1.7:3000"]
)
def test_beyond_this_machine_it_shows_none_and_says_why(address: str) -> None:
    text = welcome(settings(), ISSUER, address)
    assert tokens(text) == []
    assert "No token is printed, because" in text
    assert "token --sub admin --scope admin" in text


@pytest.mark.parametrize(
    "chosen",
    [
        {"allowed_origins": "https://app.example"},
        {"allowed_origins": "http://localhost:5173,*"},
        {"forwarded_allow_ips": "10.0.0.1"},
    ],
)
def test_behind_a_proxy_it_shows_none_and_says_why(chosen: dict[str, str]) -> None:
    text = welcome(settings(**chosen), ISSUER, "http://127.0.0.1:3000")
    assert tokens(text) == []
    assert f"because WAGATE_{next(iter(chosen)).upper()} lets others in" in text


def test_for_a_frontend_on_this_machine_it_shows_one() -> None:
    text = welcome(
        settings(allowed_origins="http://localhost:5173"), ISSUER, "http://127.0.0.1:3000"
    )
    assert len(tokens(text)) == 1


def test_where_the_journal_keeps_it_none_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert len(tokens(welcome(settings(), ISSUER, "http://127.0.0.1:3000"))) == 1
        monkeypatch.setattr(os, "fstat", lambda _: status)
        assert tokens(welcome(settings(), ISSUER, "http://127.0.0.1:3000")) == []


def test_with_keys_of_others_it_offers_none() -> None:
    pem = keyring.public_pem(keyring.rsa_key())
    asymmetric = settings(jwt_algorithm="RS256", jwt_public_key=pem)
    text = welcome(asymmetric, None, "http://127.0.0.1:3000")
    assert tokens(text) == []
    assert "identity provider" in text
    assert "wagate token" not in text


def test_the_commands_name_what_differs_from_the_default() -> None:
    chosen = settings(data_directory="/var/lib/my data")
    text = welcome(chosen, ISSUER, "http://127.0.0.1:4000")
    assert "qr demo --create --activate --data-directory '/var/lib/my data' --url" in text
    assert "--url http://127.0.0.1:4000" in text
    plain = welcome(settings(), ISSUER, "http://127.0.0.1:3000")
    assert "--url" not in plain
    assert "--data-directory" not in plain
