"""An engine that watches over the port's promises while the simulator does the work."""

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sessions.engine import Connection, PairingCode
from sessions.engine_simulator import SimulatorEngine
from sessions.ids import SessionId
from sessions.messages import OutgoingText, Sent
from sessions.signals import MessageReceived, Signal


class Witness:
    """An `Engine`: the simulator's, and a record of what was acknowledged and what went out.

    It outlives the gateway's processes, as WhatsApp does. `violations` are broken promises.
    """

    def __init__(self, engine: SimulatorEngine, database: Path) -> None:
        self.engine = engine
        self.violations: list[str] = []
        self.acknowledged: defaultdict[SessionId, list[str]] = defaultdict(list)
        """WhatsApp's ids of what the gateway took over, by its own word."""
        self.arrived: defaultdict[SessionId, list[str]] = defaultdict(list)
        """The texts that reached the other side, in order."""
        self.answer_seconds = 0.02
        """How long WhatsApp's answer to a send is on its way."""
        self._committed = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self._open: Counter[SessionId] = Counter()

    def close(self) -> None:
        """Let go of the database."""
        self._committed.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.engine.run()

    @asynccontextmanager
    async def open(self, session: SessionId) -> AsyncIterator[Connection]:
        """Connect a session, watched."""
        self._open[session] += 1
        if self._open[session] > 1:
            self.violations.append("I4: a session has two connections at once")
        try:
            async with self.engine.open(session) as connection:
                yield _Watched(session, connection, self)
        finally:
            self._open[session] -= 1

    async def forget(self, session: SessionId) -> None:
        """Remove a session's credentials."""
        await self.engine.forget(session)

    def has_credentials(self, session: SessionId) -> bool:
        """Tell whether a device is linked."""
        return self.engine.has_credentials(session)

    def count(self, query: str, *parameters: object) -> int:
        """Return a number from what is committed."""
        found: int = self._committed.execute(query, parameters).fetchone()[0]
        return found

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Return rows from what is committed."""
        return self._committed.execute(query, parameters).fetchall()

    def acknowledge(self, session: SessionId, batch: Sequence[Signal]) -> None:
        """Hold the consumer to its word: what it acknowledges is committed, exactly once."""
        if not self.count("SELECT count(*) FROM sessions WHERE id = ?", session):
            return
        for signal in batch:
            if isinstance(signal, MessageReceived):
                whatsapp_id = signal.message.whatsapp_id
                self.acknowledged[session].append(whatsapp_id)
                if (found := self.recorded(session, whatsapp_id)) != 1:
                    text = f"I1: acknowledged, and {found} times in the log"
                    self.violations.append(text)

    def recorded(self, session: SessionId, whatsapp_id: str) -> int:
        """Return how often a message is in the log, or was before it was trimmed."""
        kept = self.count(
            "SELECT count(*) FROM messages WHERE session = ? AND whatsapp_id = ?",
            *(session, whatsapp_id),
        )
        told = self.count(
            "SELECT count(*) FROM events WHERE session = ? AND type = 'session:message' "
            "AND json_extract(data, '$.message.whatsappId') = ?",
            *(session, whatsapp_id),
        )
        trimmed = self.count("SELECT trimmed_seq FROM sessions WHERE id = ?", session)
        return kept if trimmed and not told else max(kept, told)


class _Watched:
    def __init__(self, session: SessionId, connection: Connection, witness: Witness) -> None:
        self._session = session
        self._connection = connection
        self._witness = witness
        self._sending = 0

    async def signals(self) -> AsyncIterator[Sequence[Signal]]:
        async for batch in self._connection.signals():
            yield batch
            self._witness.acknowledge(self._session, batch)

    async def send(self, message: OutgoingText) -> Sent:
        self._sending += 1
        if self._sending > 1:
            self._witness.violations.append("the port: two sends at once on one connection")
        before = len(self._witness.engine.sent(self._session))
        try:
            sent = await self._connection.send(message)
        finally:
            self._sending -= 1
            arrived = self._witness.engine.sent(self._session)[before:]
            self._witness.arrived[self._session] += [text.text for text in arrived]
        await asyncio.sleep(self._witness.answer_seconds)
        return sent

    async def pair_phone(self, phone: str) -> PairingCode:
        return await self._connection.pair_phone(phone)

    async def logout(self) -> None:
        await self._connection.logout()
