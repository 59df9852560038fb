"""Settings of the engine `microservice`: a QR microservice that somebody else runs."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, SecretStr

from gateway.settings_checks import api_key, web_address

ServiceUrl = Annotated[str, BeforeValidator(web_address)]
ServiceKey = Annotated[SecretStr, BeforeValidator(api_key)]


class MicroserviceSettings(BaseModel):
    """Where the service is, and how it and this server know each other."""

    whatsapp_qr_service_url: ServiceUrl | None = Field(
        None,
        validation_alias=AliasChoices("WAGATE_WHATSAPP_QR_SERVICE_URL", "WHATSAPP_QR_SERVICE_URL"),
        description="URL of the QR microservice that holds the phones with the engine "
        "microservice, in front of /init, /qr-code, /status, /send and /disconnect.",
    )
    whatsapp_qr_service_key: ServiceKey | None = Field(
        None,
        validation_alias=AliasChoices("WAGATE_WHATSAPP_QR_SERVICE_KEY", "WHATSAPP_QR_SERVICE_KEY"),
        description="Key, 16 characters or more, that this server sends that microservice as "
        "X-API-Key and as Bearer token, and that it sends to /whatsapp-qr/webhook and "
        "/whatsapp-qr/incoming here.",
    )


def microservice_problems(
    engine: str, *, url: str | None, key: SecretStr | None
) -> Iterator[tuple[str, str]]:
    """Yield what is missing for the engine microservice."""
    if engine != "microservice":
        return
    wanted = {"WAGATE_WHATSAPP_QR_SERVICE_URL": url, "WAGATE_WHATSAPP_QR_SERVICE_KEY": key}
    for name, value in wanted.items():
        if value is None:
            yield "engine", f"expected {name} with it: that engine has nothing to talk to without"
