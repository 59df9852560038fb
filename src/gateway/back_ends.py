"""The back ends that the settings name: each a bridge in the pump, and what runs beside it."""

from collections.abc import Mapping
from typing import Protocol

from gateway.bridge import Bridge
from gateway.bridge_bullmq_queues import BullMqQueues
from gateway.bridge_chatbot import ChatbotBridge
from gateway.bridge_rabbitmq_worker import RabbitMqWorker
from gateway.microservice_door import EngineDoor
from gateway.policy import queue_names, rabbitmq_topology
from gateway.settings import Settings
from sessions.clock import Clock
from sessions.ids import TenantId
from sessions.manager import SessionManager


class BackEnd(Protocol):
    """What this server does for one of them."""

    @property
    def bridge(self) -> Bridge | None:
        """What tells it of sessions; None: it is told nothing."""
        ...

    async def run(self) -> None:
        """Serve until cancelled, whatever the other side does."""
        ...

    def degraded(self) -> list[str]:
        """Return why it is not served now; nothing when it is. Asks only memory."""
        ...


def back_ends(settings: Settings, manager: SessionManager, clock: Clock) -> dict[str, BackEnd]:
    """Construct what the settings ask for, by the name of its service."""
    made: dict[str, BackEnd | None] = {
        "rabbitmq": _rabbitmq(settings, manager, clock),
        "chatbot": _chatbot(settings, manager, clock),
        "bullmq": _bullmq(settings, manager),
    }
    return {name: back_end for name, back_end in made.items() if back_end is not None}


def faults(serving: Mapping[str, BackEnd], door: EngineDoor | None = None) -> list[str]:
    """Return what does not work now, of all of them and of a microservice behind its door."""
    ours = [] if door is None else door.degraded()
    return [*ours, *(fault for back_end in serving.values() for fault in back_end.degraded())]


def _rabbitmq(settings: Settings, manager: SessionManager, clock: Clock) -> RabbitMqWorker | None:
    """Return this server as a worker of a back end, if the settings name a broker."""
    if settings.rabbitmq_url is None:
        return None
    return RabbitMqWorker(
        manager,
        TenantId(settings.bridge_tenant),
        url=settings.rabbitmq_url.get_secret_value(),
        topology=rabbitmq_topology(settings),
        clock=clock,
        name=settings.worker_name,
        status_seconds=settings.status_seconds,
    )


def _chatbot(settings: Settings, manager: SessionManager, clock: Clock) -> ChatbotBridge | None:
    """Return what tells a chatbot back end, if the settings say where it is."""
    if settings.backend_api_url is None:
        return None
    key = settings.backend_api_key
    return ChatbotBridge(
        manager,
        TenantId(settings.bridge_tenant),
        clock,
        url=settings.backend_api_url,
        key=None if key is None else key.get_secret_value(),
    )


def _bullmq(settings: Settings, manager: SessionManager) -> BullMqQueues | None:
    """Return the queues of a back end, if the settings name their Redis."""
    names = queue_names(settings)
    if names is None:
        return None
    return BullMqQueues(manager, TenantId(settings.bridge_tenant), names)
