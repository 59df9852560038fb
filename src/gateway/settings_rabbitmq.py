"""Settings of the back end that commands this gateway as a worker over RabbitMQ."""

from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, SecretStr

from gateway.settings_checks import rabbitmq_address

RabbitMqUrl = Annotated[SecretStr, BeforeValidator(rabbitmq_address)]


def _also(name: str) -> AliasChoices:
    """Return how a variable is named here, and in the systems that this one replaces."""
    return AliasChoices(f"WAGATE_{name}", name)


class RabbitMqSettings(BaseModel):
    """The broker, the names on it, and who this worker is."""

    bridge_tenant: str = Field(
        "admin",
        min_length=1,
        max_length=128,
        description="Tenant of the sessions that back ends without tokens command and hear of; "
        "admin is that of tokens made on this machine.",
    )
    rabbitmq_url: RabbitMqUrl | None = Field(
        None,
        validation_alias=_also("RABBITMQ_URL"),
        description="amqp://user:password@host:5672/vhost, or amqps:// for TLS; without it no "
        "back end is served over RabbitMQ.",
    )
    worker_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        validation_alias=_also("WORKER_ID"),
        description="Who this worker is to back ends: commands for other workers are left to them. "
        "Give each of several workers on one broker its own.",
    )
    worker_name: str | None = Field(
        None,
        max_length=64,
        validation_alias=_also("WORKER_NAME"),
        description="Name of this worker's connections, as RabbitMQ shows them.",
    )
    worker_status_seconds: float = Field(
        30, ge=0.1, le=3600, description="Pause between two reports of this worker's status."
    )
    health_check_interval_ms: int | None = Field(
        None,
        ge=1000,
        le=3_600_000,
        validation_alias=AliasChoices("WAGATE_HEALTH_CHECK_INTERVAL_MS", "HEALTH_CHECK_INTERVAL"),
        description="As WAGATE_WORKER_STATUS_SECONDS, in milliseconds; wins when set.",
    )
    rabbitmq_exchange: str = Field(
        "whatsapp.exchange",
        min_length=1,
        max_length=255,
        description="RabbitMQ's exchange: direct, durable.",
    )
    queue_session_update: str = Field(
        "whatsapp.session.update",
        min_length=1,
        max_length=255,
        validation_alias=_also("QUEUE_SESSION_UPDATE"),
        description="Queue in which the back end reads what happens to sessions.",
    )
    queue_message_send: str = Field(
        "whatsapp.message.send",
        min_length=1,
        max_length=255,
        validation_alias=_also("QUEUE_MESSAGE_SEND"),
        description="Queue of messages to send.",
    )
    queue_message_receive: str = Field(
        "whatsapp.message.receive",
        min_length=1,
        max_length=255,
        validation_alias=_also("QUEUE_MESSAGE_RECEIVE"),
        description="Queue in which the back end reads messages that came in.",
    )
    queue_number_health: str = Field(
        "whatsapp.number.health",
        min_length=1,
        max_length=255,
        validation_alias=_also("QUEUE_NUMBER_HEALTH"),
        description="Queue in which the back end reads how its numbers are.",
    )
    queue_worker_events: str = Field(
        "whatsapp.worker.events",
        min_length=1,
        max_length=255,
        description="Queue with a copy of what happens to sessions and to this worker.",
    )
    queue_commands: str = Field(
        "whatsapp.gateway.session.update",
        min_length=1,
        max_length=190,
        description="Queue in which this worker reads commands; with a worker id, also one with "
        "that id behind a dot.",
    )
    queue_dead_letters: str = Field(
        "whatsapp.gateway.dead.letter",
        min_length=1,
        max_length=190,
        description="Queue, and exchange, of what could not be understood, with the reason.",
    )
