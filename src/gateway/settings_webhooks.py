"""Settings of webhooks: where they may lead, and how many there may be."""

from pydantic import BaseModel, Field


class WebhookSettings(BaseModel):
    """What is refused so that nobody reaches into the operator's own network, or fills it."""

    webhook_allow_http: bool = Field(
        default=False, description="Let webhooks go to http:// addresses, unencrypted."
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Let webhooks go to private and loopback addresses: whoever may make one "
        "reaches what this server reaches.",
    )
    webhook_limit: int = Field(
        default=100, ge=1, le=10_000, description="Most webhooks of one tenant."
    )
