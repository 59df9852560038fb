"""Settings of tokens: who signs them, and what they must say."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from auth.keys import Algorithm
from auth.principal import ORDINARY_SCOPES, Scope
from gateway.settings_checks import comma_separated, readable_key, without_admin

Scopes = Annotated[
    frozenset[Scope], NoDecode, BeforeValidator(without_admin), BeforeValidator(comma_separated)
]
PublicKeyText = Annotated[str, BeforeValidator(readable_key)]


class TokenSettings(BaseModel):
    """What a token must be to let somebody in."""

    jwt_algorithm: Algorithm = Field(
        "HS256", description="The one algorithm that tokens may be signed with."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Secret of HS256, 32 random bytes or more. "
        "Default: made at first start, in the data directory.",
    )
    jwt_public_key: PublicKeyText | None = Field(
        None, description="Public key of RS256, ES256 or EdDSA: PEM text, or path of a PEM file."
    )
    jwt_jwks_url: str | None = Field(
        None, description="https URL of the identity provider's keys, instead of a public key."
    )
    jwt_jwks_fresh_seconds: float = Field(
        300,
        ge=1,
        le=86_400,
        description="How long those keys are used before they are fetched again; "
        "a key that was removed is refused after that.",
    )
    jwt_audience: str | None = Field(None, description="`aud` that tokens must have.")
    jwt_issuer: str | None = Field(None, description="`iss` that tokens must have.")
    jwt_leeway_seconds: float = Field(
        30, ge=0, le=300, description="How far the clocks of issuer and server may differ."
    )
    jwt_default_scopes: Scopes = Field(
        ORDINARY_SCOPES, description="Scopes, comma separated, of tokens that name none."
    )
