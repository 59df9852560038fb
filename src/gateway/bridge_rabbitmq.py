"""The bridge to a back end that knows this gateway as a worker over RabbitMQ."""

from api.client_numbers import number_of
from gateway.bridge import TemporaryFailure
from gateway.bridge_rabbitmq_publisher import Publisher
from gateway.bridge_rabbitmq_words import TOLD, Publication, shown, told
from sessions.errors import SessionNotFound, Unavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.manager import SessionManager

_LONGEST_PAUSE_SECONDS = 15.0


class RabbitMqBridge:
    """Tells the back end of the sessions that it has numbers for; others are none of its own."""

    name = "rabbitmq"
    session: SessionId | None = None

    def __init__(self, publisher: Publisher, manager: SessionManager, tenant: TenantId) -> None:
        self.tenant: TenantId | None = tenant
        self._publisher = publisher
        self._manager = manager
        self._owner = tenant

    def wants(self, type_: EventType) -> bool:
        """Tell whether the back end has a word for it."""
        return type_ in TOLD

    async def deliver(self, event: SessionEvent) -> None:
        """Publish, and return when the broker has confirmed."""
        number = await self._number(event)
        if number is not None:
            await self._publish(told(event, number), event)

    async def show(self, event: SessionEvent) -> None:
        """Publish a code, or that it has expired."""
        number = await self._number(event)
        if number is not None:
            await self._publish(shown(event, number), event)

    def pause_seconds(self, failures: int) -> float:
        """Return half a second, then more, up to a quarter of a minute."""
        return (
            min(0.5 * 2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
            if failures < 10
            else (_LONGEST_PAUSE_SECONDS)
        )

    async def _publish(self, publications: list[Publication], event: SessionEvent) -> None:
        for publication in publications:
            await self._publisher.publish(publication, message_id=event.id, seq=event.seq)

    async def _number(self, event: SessionEvent) -> int | None:
        number = number_of(event.session_id)
        if number is not None:
            return number
        try:
            session = await self._manager.get(self._owner, event.session)
        except SessionNotFound:
            return None
        except Unavailable as error:
            raise TemporaryFailure(error.message) from None
        return number_of(session.session_id, session.metadata)
