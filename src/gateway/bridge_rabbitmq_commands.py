"""What this worker does when a back end tells it to; everything may come twice."""

from collections.abc import Awaitable, Callable

from api.client_numbers import find, number_of, session_name, validate
from gateway.bridge_rabbitmq_orders import Command, SendOrder, Unreadable
from gateway.bridge_rabbitmq_words import (
    ALREADY_CONNECTED,
    Publication,
    Subject,
    connected,
    error,
    qr_generated,
)
from sessions.clock import Clock, to_ms
from sessions.errors import QrNotAvailable, SessionNotFound
from sessions.ids import TenantId
from sessions.manager import SessionManager
from sessions.messages import OutgoingText
from sessions.session import Session
from sessions.status import Status

Tell = Callable[[Publication], Awaitable[None]]


class NotHere(Exception):
    """This worker has no session of that number; another one may."""


class Commands:
    """Obeys on the sessions of one tenant.

    Args:
        tell: answers the back end; raises TemporaryFailure.
    """

    def __init__(
        self, manager: SessionManager, tenant: TenantId, *, clock: Clock, tell: Tell
    ) -> None:
        self._manager = manager
        self._tenant = tenant
        self._clock = clock
        self._tell = tell

    async def obey(self, command: Command) -> None:
        """Do what a command says; what it promises is committed when this returns.

        Raises:
            NotHere: there is no such session here.
            Unreadable: it lacks what is needed.
            SessionsError, TemporaryFailure: it could not be done.
        """
        match command.action:
            case "create":
                await self._create(command)
            case "reconnect":
                session = await self._session(command)
                await self._answer(command, await self._manager.activate(self._tenant, session.id))
            case "regenerate_qr":
                session = await self._session(command)
                again = await self._manager.regenerate_qr(self._tenant, session.id)
                if again.status is Status.CONNECTED:
                    await self._answer(command, again)
            case "close" | "disconnect":
                session = await self._session(command)
                await self._manager.deactivate(self._tenant, session.id)

    async def send(self, order: SendOrder, *, message_id: str | None) -> None:
        """Queue a message; the same `message_id` is the same message.

        Raises:
            NotHere: there is no session of that number here.
            SessionsError: it could not be queued.
        """
        session = await find(self._manager, self._tenant, order.number_id, to_send=True)
        if session is None:
            raise NotHere
        text = OutgoingText(to=order.recipient, text=order.content)
        key = order.message_id or message_id
        await self._manager.send(
            self._tenant, session.id, text, idempotency_key=None if key is None else f"amqp:{key}"
        )

    async def refuse(self, command: Command, reason: str) -> None:
        """Tell the back end that a command can't be obeyed."""
        name = command.session_id
        if name is None and command.phone_number is not None:
            name = session_name(command.number_id, command.phone_number)
        for publication in error(self._subject(command, name or ""), reason):
            await self._tell(publication)

    async def _create(self, command: Command) -> None:
        number, phone = command.number_id, command.phone_number
        if phone is None:
            earlier = await self._session(command, missing=Unreadable("phoneNumber: is missing"))
            session = await self._manager.activate(self._tenant, earlier.id)
        else:
            session = await validate(self._manager, self._tenant, number, phone)
        await self._answer(command, session)

    async def _answer(self, command: Command, session: Session) -> None:
        """Tell at once what no event will tell, since nothing changes."""
        subject = self._subject(command, session.session_id)
        publications: list[Publication] = []
        if session.status is Status.CONNECTED:
            publications = connected(subject, ALREADY_CONNECTED)
        elif session.status is Status.QR_READY:
            try:
                current = await self._manager.qr(self._tenant, session.id)
            except QrNotAvailable:
                return
            publications = qr_generated(subject, current.code)
        for publication in publications:
            await self._tell(publication)

    async def _session(self, command: Command, *, missing: Exception | None = None) -> Session:
        names = [command.session_id]
        if command.phone_number is not None:
            names.append(session_name(command.number_id, command.phone_number))
        for name in names:
            if name is None or number_of(name) not in {None, command.number_id}:
                continue
            try:
                return await self._manager.get(self._tenant, name)
            except SessionNotFound:
                continue
        found = await find(self._manager, self._tenant, command.number_id)
        if found is None:
            raise missing or NotHere
        return found

    def _subject(self, command: Command, name: str) -> Subject:
        return Subject(command.number_id, name, to_ms(self._clock.now()))
