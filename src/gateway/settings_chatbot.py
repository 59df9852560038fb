"""Settings of a chatbot back end: where it is told what happens, and the key between the two."""

from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, SecretStr

from gateway.settings_checks import api_key, back_end_address

BackEndUrl = Annotated[str, BeforeValidator(back_end_address)]
ApiKey = Annotated[SecretStr, BeforeValidator(api_key)]


class ChatbotSettings(BaseModel):
    """The back end, and how it and this server know each other."""

    backend_api_url: BackEndUrl | None = Field(
        None,
        validation_alias=AliasChoices("WAGATE_BACKEND_API_URL", "BACKEND_API_URL"),
        description="URL of a chatbot back end, in front of /whatsapp-qr/webhook and "
        "/whatsapp-qr/incoming, where it is told of sessions and messages. Without it, none is.",
    )
    backend_api_key: ApiKey | None = Field(
        None,
        validation_alias=AliasChoices("WAGATE_BACKEND_API_KEY", "BACKEND_API_KEY"),
        description="Key, 16 characters or more, that back ends without tokens send as X-API-Key "
        "on their own paths, and that this server sends them. Without it, none is let in.",
    )
