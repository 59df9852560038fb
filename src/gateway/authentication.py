"""Builds what verifies and issues tokens from the settings."""

from collections.abc import Callable

from auth.api_keys import ApiKeyDoor
from auth.jwks import JwksKeys
from auth.keys import VerificationKeys, public_key, shared_secret
from auth.tokens import TokenIssuer, TokenVerifier
from gateway.data_directory import DataDirectory
from gateway.settings import Settings


def token_verifier(settings: Settings, directory: DataDirectory) -> TokenVerifier:
    """Make what verifies tokens; with HS256 and no secret set, by the data directory's.

    Raises:
        DataDirectoryError: the secret can't be read or made.
    """
    return TokenVerifier(
        _keys(settings, directory),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        leeway_seconds=settings.jwt_leeway_seconds,
        default_scopes=settings.jwt_default_scopes,
    )


def token_issuer(settings: Settings, directory: DataDirectory) -> TokenIssuer | None:
    """Make what issues tokens; None when another party holds the private key.

    Raises:
        DataDirectoryError: the secret can't be read or made.
    """
    if settings.jwt_algorithm != "HS256":
        return None
    return TokenIssuer(
        _secret(settings, directory), audience=settings.jwt_audience, issuer=settings.jwt_issuer
    )


def api_key_door(settings: Settings, opens: Callable[[str], bool]) -> ApiKeyDoor | None:
    """Make what lets back ends in by their key; None when the settings name none."""
    if settings.backend_api_key is None:
        return None
    key = settings.backend_api_key.get_secret_value()
    return ApiKeyDoor(key, tenant=settings.bridge_tenant, opens=opens)


def _keys(settings: Settings, directory: DataDirectory) -> VerificationKeys:
    if settings.jwt_algorithm == "HS256":
        return shared_secret(_secret(settings, directory))
    if settings.jwt_jwks_url is not None:
        return JwksKeys(
            settings.jwt_jwks_url,
            settings.jwt_algorithm,
            fresh_seconds=settings.jwt_jwks_fresh_seconds,
        )
    return public_key(settings.jwt_public_key or "", settings.jwt_algorithm)


def _secret(settings: Settings, directory: DataDirectory) -> str:
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    return directory.jwt_secret()
