"""How this machine's commands get into the server: by tokens that are made for one use."""

from collections.abc import Collection
from datetime import timedelta
from urllib.parse import urlsplit

from auth.jwks import is_loopback
from auth.principal import Scope
from gateway.authentication import token_issuer
from gateway.cli_client import CallFailed
from gateway.data_directory import DataDirectory
from gateway.settings import Settings
from gateway.welcome import LOCAL_SUBJECT

_LIFETIME = timedelta(hours=1)


def own_token(
    settings: Settings,
    *,
    tenant: str,
    scopes: Collection[Scope],
    sessions: Collection[str] | None = None,
    instead: str,
) -> str:
    """Return a token for the server on this machine; `instead` says how else to give one.

    Raises:
        CallFailed: none can be made here.
        DataDirectoryError: the secret can't be read.
    """
    if not is_loopback(urlsplit(settings.server_url).hostname or ""):
        message = f"{instead}: the server is on another machine."
        raise CallFailed(message)
    issuer = token_issuer(settings, DataDirectory(settings.data_directory))
    if issuer is None:
        message = f"{instead}: with {settings.jwt_algorithm} none can be made here."
        raise CallFailed(message)
    try:
        return issuer.issue(
            subject=LOCAL_SUBJECT,
            tenant=tenant,
            scopes=scopes,
            sessions=sessions,
            lifetime=_LIFETIME,
        )
    except ValueError as error:
        message = f"A token can't be made: {error}."
        raise CallFailed(message) from None
