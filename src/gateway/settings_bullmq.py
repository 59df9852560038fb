"""Settings of a back end that sends and receives through BullMQ queues on its Redis."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from gateway.settings_checks import redis_address

RedisUrl = Annotated[SecretStr, BeforeValidator(redis_address)]


def _queue(name: str) -> str:
    # BullMQ separates the parts of its keys by colons.
    if not re.fullmatch(r"[^:\s]{1,128}", name):
        message = "expected a queue's name, without colons and blanks"
        raise ValueError(message)
    return name


QueueName = Annotated[str, AfterValidator(_queue)]


class BullMqSettings(BaseModel):
    """Where the queues are. Their tenant is `bridge_tenant`."""

    bullmq_redis_url: RedisUrl | None = Field(
        None,
        description="redis://… or rediss://… of the queues that a back end reads and fills with "
        "BullMQ; without it none is served so.",
    )
    bullmq_prefix: str = Field(
        "bull",
        min_length=1,
        max_length=128,
        description="What BullMQ's keys begin with; as the back end has it.",
    )
    bullmq_send_queue: QueueName = Field(
        "whatsapp-qr-send", description="BullMQ queue of messages to send."
    )
    bullmq_incoming_queue: QueueName = Field(
        "incoming-messages",
        description="BullMQ queue in which the back end reads messages that came in.",
    )
