"""What clients send to make a session."""

from pydantic import Field

from api.schemas import Body, Metadata, Name, Phone, SessionRef
from api.webhook_schemas import WithSession


class CreateSession(Body):
    """A new session, if wanted with a webhook for its events."""

    session_id: SessionRef
    phone_number: Phone | None = None
    name: Name | None = None
    metadata: Metadata = Field(default_factory=dict)
    webhook: WithSession | None = None
