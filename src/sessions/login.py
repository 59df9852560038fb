"""A login in progress: the code on the screen, its attempts, and the code typed on the phone."""

import asyncio
import contextlib
import logging
from typing import Any

from sessions.bus import announce
from sessions.clock import from_ms, iso, to_ms
from sessions.engine import Connection, PairingCode
from sessions.errors import EngineUnavailable, PairingRefused, StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import new_uuid
from sessions.qr_codes import CurrentQr
from sessions.recorder import Recorder
from sessions.services import Services
from sessions.signals import QrCode
from sessions.status import UserAction
from sessions.store import Work

logger = logging.getLogger(__name__)

_WITHDRAW_SECONDS = 3


class Login:
    """Shows codes to whoever looks; counts attempts across the connections of one activation."""

    def __init__(self, services: Services, recorder: Recorder, pairing_phone: str | None) -> None:
        self._services = services
        self._recorder = recorder
        self._phone = pairing_phone
        self._asked = False
        self._code: PairingCode | None = None
        self._shown: CurrentQr | None = None
        self._attempt = 0

    @property
    def max_attempts(self) -> int:
        """How often a new series of codes follows the first by itself."""
        return self._services.policy.qr_max_attempts

    async def show(self, qr: QrCode, connection: Connection, group: asyncio.TaskGroup) -> None:
        """Put a new code on the screens; the first time, ask for one to type as well."""
        self._shown = CurrentQr(
            code=qr.code,
            pairing_code=None if self._code is None else self._code.code,
            attempt=self._attempt,
            max_attempts=self.max_attempts,
            expires_at=from_ms(qr.expires_at_ms),
        )
        await self._services.qr_codes.put(self._recorder.session, self._shown)
        await self._publish(
            EventType.QR,
            {
                "code": qr.code,
                "attempt": self._attempt,
                "maxAttempts": self.max_attempts,
                "expiresAt": iso(self._shown.expires_at),
            },
        )
        if self._phone is not None and not self._asked:
            self._asked = True
            # Beside the reader: the answer comes over the connection whose signals it reads.
            group.create_task(self._request_code(connection, self._phone))

    async def _request_code(self, connection: Connection, phone: str) -> None:
        try:
            self._code = await connection.pair_phone(phone)
        except (PairingRefused, EngineUnavailable) as refusal:
            code, message = refusal.code, refusal.message
            await self._write(
                lambda unit: self._recorder.error(unit, code, message, action=UserAction.SCAN)
            )
            return
        if self._shown is not None:
            self._shown = self._shown.model_copy(update={"pairing_code": self._code.code})
            await self._services.qr_codes.put(self._recorder.session, self._shown)
        await self._publish(
            EventType.PAIRING_CODE,
            {"code": self._code.code, "expiresAt": iso(self._code.expires_at)},
        )
        await self._write(self._recorder.enter_code)

    async def _write(self, work: Work[None]) -> None:
        """Write what is only beside the login: without it, the login itself goes on."""
        with contextlib.suppress(StorageUnavailable):
            await self._services.store.write(work)

    async def accepted(self) -> None:
        """Take the code off the screens: it was used. The count starts again."""
        self._attempt = 0
        await self.withdraw()

    async def exhausted(self) -> bool:
        """Say that this attempt's codes are used up; return whether another one follows."""
        await self.withdraw()
        again = self._attempt < self.max_attempts
        await self._publish(
            EventType.QR_EXPIRED,
            {
                "attempt": self._attempt,
                "maxAttempts": self.max_attempts,
                "willRegenerate": again,
            },
        )
        self._attempt += again
        return again

    def connection_ended(self) -> None:
        """Forget what belonged to the connection: a typed code dies with it."""
        self._asked = False
        self._code = None

    async def withdraw(self) -> None:
        """Take the code off the screens; if it can't be, it expires by itself."""
        if self._shown is None:
            return
        self._shown = None
        try:
            async with asyncio.timeout(_WITHDRAW_SECONDS):
                await self._services.qr_codes.remove(self._recorder.session)
        except TimeoutError:
            return
        except Exception:
            logger.exception("code not withdrawn", extra={"session": self._recorder.session})

    async def _publish(self, type_: EventType, data: dict[str, Any]) -> None:
        """Send an event that is worth something only now."""
        event = SessionEvent(
            id=new_uuid(),
            type=type_,
            session=self._recorder.session,
            session_id=self._recorder.name,
            timestamp=to_ms(self._services.clock.now()),
            data=data,
        )
        await announce(self._services.bus, event)
