"""What the simulator does beyond the engine's contract: its script, its faults, its files."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions.clock import SystemClock
from sessions.engine_simulator import SimulatorEngine
from sessions.errors import (
    EngineUnavailable,
    InvalidRecipient,
    NotConnected,
    PairingRefused,
    QrNotAvailable,
    ReachOutLocked,
    SendFailed,
    SendThrottled,
    SendUncertain,
    SessionNotActive,
)
from sessions.ids import SessionId, new_uuid
from sessions.messages import MessageStatus, OutgoingText
from sessions.signals import (
    FINAL,
    ClientOutdated,
    Connected,
    ConnectFailed,
    CredentialsCorrupted,
    Disconnected,
    EngineStopped,
    KeepAliveRestored,
    LoggedOut,
    MessageReceived,
    Paired,
    PairingFailed,
    QrCode,
    QrExhausted,
    Receipt,
    RestartTimedOut,
    Signal,
    StreamReplaced,
    TemporaryBan,
)
from tests.contracts.worlds import Serving, opened
from tests.sessions.engine_neonize.watching import Watched
from tests.sessions.house import until

WAIT_SECONDS = 5
HELLO = OutgoingText(to="447700900123@s.whatsapp.net", text="hello")


class Stage:
    """Engines made as a test wants them, and sessions opened on them."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self._stack = stack

    async def engine(self, **script: Any) -> SimulatorEngine:
        """Run an engine until the test ends."""
        script = {"delivered_after_seconds": None, "read_after_seconds": None, **script}
        engine = await asyncio.to_thread(
            lambda: SimulatorEngine(SystemClock(), directory=self.directory, **script)
        )
        self._stack.push_async_callback(Serving(engine).end)
        return engine


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Nothing runs yet."""
    async with AsyncExitStack() as stack:
        yield Stage(tmp_path / "simulator", stack)


@pytest.fixture
def session() -> SessionId:
    """A session that nobody used yet."""
    return SessionId(new_uuid())


async def told(engine: SimulatorEngine, session: SessionId) -> list[Signal]:
    """Open a session and return everything until the connection ends by itself."""
    async with engine.open(session) as connection, asyncio.timeout(WAIT_SECONDS):
        return [signal async for batch in connection.signals() for signal in batch]


@asynccontextmanager
async def connected(engine: SimulatorEngine, session: SessionId) -> AsyncIterator[Watched]:
    """Open a session and scan its code, if it shows one."""
    async with opened(engine, session) as watched:
        if not engine.has_credentials(session):
            await watched.wait_for(QrCode)
            engine.scan(session)
        await watched.wait_for(Connected)
        yield watched


async def test_codes_rotate_then_are_used_up(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine(qr_lifetimes_seconds=(0.3, 0.1, 0.1))
    started = time.time()
    async with opened(engine, session) as watched:
        await watched.wait_for(QrExhausted)
        assert watched.kinds == ["qr_code", "qr_code", "qr_code", "qr_exhausted"]
        with pytest.raises(QrNotAvailable):
            engine.scan(session)

    codes = watched.all(QrCode)
    assert len({code.code for code in codes}) == 3
    ends = [code.expires_at_ms / 1000 - started for code in codes]
    assert ends == pytest.approx([0.3, 0.4, 0.5], abs=0.09)
    assert not engine.has_credentials(session)


async def test_a_phone_may_scan_by_itself(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine(auto_scan_seconds=0.1)
    async with opened(engine, session) as watched:
        await watched.wait_for(Connected)
        assert watched.kinds == ["qr_code", "paired", "connected"]


async def test_phones_that_scan_by_themselves_have_numbers_of_their_own(stage: Stage) -> None:
    engine = await stage.engine(auto_scan_seconds=0)
    phones = set()
    for _ in range(3):
        async with opened(engine, SessionId(new_uuid())) as watched:
            phones.add((await watched.wait_for(Connected)).phone)
    assert len(phones) == 3


async def test_who_scans_is_who_connects(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        engine.scan(session, phone="15550001111", push_name="Alice", lid="123456789012345")
        account = await watched.wait_for(Connected)
        with pytest.raises(QrNotAvailable):
            engine.scan(session)

    assert account == Connected(
        jid="15550001111@s.whatsapp.net",
        phone="15550001111",
        lid="123456789012345",
        push_name="Alice",
    )


async def test_only_the_current_pairing_code_is_accepted(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    with pytest.raises(PairingRefused):
        engine.enter_code(session, "AAAA-AAAA")
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        first = await watched.connection.pair_phone("15550001111")
        second = await watched.connection.pair_phone("15550002222")
        for wrong in (first.code, "", "AAAA-AAAA", "ÄÄÄÄ-ÄÄÄÄ"):
            with pytest.raises(PairingRefused):
                engine.enter_code(session, wrong)
        engine.enter_code(session, second.code.replace("-", "").lower())

        assert (await watched.wait_for(Connected)).phone == "15550002222"
        with pytest.raises(PairingRefused):
            await watched.connection.pair_phone("15550001111")


async def test_an_unknown_number_gets_no_pairing_code(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        with pytest.raises(PairingRefused):
            await watched.connection.pair_phone("00015550001111")


async def test_receipts_come_by_themselves(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine(delivered_after_seconds=0.02, read_after_seconds=0.05)
    async with connected(engine, session) as watched:
        sent = await watched.connection.send(HELLO)
        await watched.wait_for(Receipt, count=2)

    receipts = watched.all(Receipt)
    assert [one.status for one in receipts] == [MessageStatus.DELIVERED, MessageStatus.READ]
    assert {one.whatsapp_ids for one in receipts} == {(sent.whatsapp_id,)}


async def test_receipts_for_a_closed_session_wait_for_it(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        sent = await watched.connection.send(HELLO)
    engine.receipt(session, [sent.whatsapp_id], MessageStatus.PLAYED)

    async with connected(engine, session) as watched:
        receipt = await watched.wait_for(Receipt)
    assert (receipt.status, receipt.chat) == (MessageStatus.PLAYED, HELLO.to)


async def test_a_burst_comes_complete_and_in_order(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        written = engine.burst(session, 1000)
        await watched.wait_for(MessageReceived, count=1000)

    assert [one.message for one in watched.all(MessageReceived)] == written
    assert watched.texts[::999] == ["message 1", "message 1000"]


async def test_groups_and_the_own_phone_write_as_at_whatsapp(
    stage: Stage, session: SessionId
) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        own = watched.all(Connected)[0].phone
        group = engine.write(session, "hi all", sender="15550002222", chat="12036302@g.us")
        mine = engine.write(session, "mine", sender=own, chat="15550002222")
    assert (group.is_group, group.chat, group.phone) == (True, "12036302@g.us", "15550002222")
    assert (mine.from_me, mine.phone) == (True, "15550002222")
    assert mine.chat == "15550002222@s.whatsapp.net"


async def test_nobody_writes_to_who_is_not_linked(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    with pytest.raises(SessionNotActive):
        engine.write(session, "hello")
    async with connected(engine, session):
        with pytest.raises(InvalidRecipient):
            engine.write(session, "hello", sender="nobody")


ENDINGS = [
    ("515_timeout", RestartTimedOut),
    ("401", LoggedOut),
    ("logged_out", LoggedOut),
    ("ban", TemporaryBan),
    ("client_outdated", ClientOutdated),
    ("conflict", StreamReplaced),
    ("corrupted", CredentialsCorrupted),
    ("engine_crash", EngineStopped),
]


@pytest.mark.parametrize(("kind", "ending"), ENDINGS, ids=[kind for kind, _ in ENDINGS])
async def test_a_fault_ends_the_connection_behind_what_came_before(
    stage: Stage, session: SessionId, kind: str, ending: type[Signal]
) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.write(session, "on the wire")
        engine.fault(session, kind)
        final = await watched.wait_for(ending)

        assert isinstance(final, FINAL)
        assert watched.kinds[-2:] == ["message_received", final.kind]
        with pytest.raises(NotConnected):
            await watched.connection.send(HELLO)


@pytest.mark.parametrize(("kind", "ending"), ENDINGS, ids=[kind for kind, _ in ENDINGS])
async def test_a_fault_of_a_closed_session_meets_its_next_connection(
    stage: Stage, session: SessionId, kind: str, ending: type[Signal]
) -> None:
    engine = await stage.engine()
    async with connected(engine, session):
        pass
    engine.fault(session, kind)

    assert [type(signal) for signal in await told(engine, session)] == [ending]


@pytest.mark.parametrize("kind", ["pairing_failed", "passkey_required"])
async def test_a_pairing_can_fail(stage: Stage, session: SessionId, kind: str) -> None:
    engine = await stage.engine()
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        engine.fault(session, kind)
        failed = await watched.wait_for(PairingFailed)
    assert failed.reason == kind


@pytest.mark.parametrize("kind", ["503", "stream_lost"])
async def test_messages_wait_for_a_connection_that_comes_back(
    stage: Stage, session: SessionId, kind: str
) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.fault(session, kind, seconds=0.1)
        engine.write(session, "meanwhile")
        with pytest.raises(NotConnected):
            await watched.connection.send(HELLO)
        await watched.wait_for(MessageReceived)

        assert watched.kinds[-3:] == ["disconnected", "connected", "message_received"]
        await watched.connection.send(HELLO)


async def test_a_lost_keepalive_is_restored_on_the_same_stream(
    stage: Stage, session: SessionId
) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.fault(session, "keepalive_lost", seconds=0.1)
        await watched.wait_for(KeepAliveRestored)

        assert watched.all(Disconnected)[0].reason == "keepalive_lost"
        assert len(watched.all(Connected)) == 1
        await watched.connection.send(HELLO)


async def test_a_restart_of_the_stream_is_not_seen(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        started = time.monotonic()
        engine.fault(session, "515", seconds=0.2)
        engine.write(session, "meanwhile")
        await watched.connection.send(HELLO)
        await watched.wait_for(MessageReceived)

        assert time.monotonic() - started >= 0.2
        assert watched.kinds[-2:] == ["connected", "message_received"]


@pytest.mark.parametrize("kind", ["515", "503", "stream_lost", "keepalive_lost"])
async def test_what_passes_needs_a_connection_to_hit(
    stage: Stage, session: SessionId, kind: str
) -> None:
    engine = await stage.engine()
    with pytest.raises(NotConnected):
        engine.fault(session, kind)
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        with pytest.raises(NotConnected):
            engine.fault(session, kind)


async def test_a_ban_lasts_over_connections(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.fault(session, "ban", seconds=0.4)
        ban = await watched.wait_for(TemporaryBan)
    assert await told(engine, session) == [ban]

    end_ms = ban.until_ms or 0
    await until(lambda: asyncio.sleep(0, time.time() * 1000), lambda now_ms: now_ms > end_ms > 0)
    async with connected(engine, session):
        pass


async def test_a_refused_connection_may_be_tried_again(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session):
        engine.fault(session, "connect_refused")
    assert [type(one) for one in await told(engine, session)] == [ConnectFailed]

    async with connected(engine, session):
        pass


async def test_an_engine_that_is_down_is_told_by_open(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    engine.fault(session, "engine_unavailable")
    with pytest.raises(EngineUnavailable):
        async with engine.open(session):
            pass
    async with connected(engine, session):
        pass


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("send_fail", SendFailed),
        ("send_throttled", SendThrottled),
        ("reach_out_locked", ReachOutLocked),
    ],
)
async def test_so_many_sends_are_refused_as_were_told_to(
    stage: Stage, session: SessionId, kind: str, refusal: type[SendFailed]
) -> None:
    engine = await stage.engine()
    engine.fault(session, kind, amount=2)
    async with connected(engine, session) as watched:
        for _ in range(2):
            with pytest.raises(refusal) as raised:
                await watched.connection.send(HELLO)
            assert raised.type is refusal
        await watched.connection.send(HELLO)
    assert len(engine.sent(session)) == 1


async def test_a_send_without_an_answer_is_uncertain(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.fault(session, "send_hang", seconds=0.1)
        with pytest.raises(SendUncertain):
            await watched.connection.send(HELLO)
    # The other side has it all the same: sending it again would be noticed.
    assert [one.text for one in engine.sent(session)] == ["hello"]


async def test_a_crash_leaves_the_send_in_flight_uncertain(
    stage: Stage, session: SessionId
) -> None:
    engine = await stage.engine()
    async with connected(engine, session) as watched:
        engine.fault(session, "send_hang", seconds=60)
        sending = asyncio.create_task(watched.connection.send(HELLO))
        await until(lambda: asyncio.sleep(0, engine.sent(session)), bool)
        engine.fault(session, "engine_crash")

        with pytest.raises(SendUncertain):
            await asyncio.wait_for(sending, WAIT_SECONDS)


async def test_an_unknown_fault_is_refused(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    with pytest.raises(ValueError, match="earthquake"):
        engine.fault(session, "earthquake")


async def test_a_session_has_one_open_connection(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session):
        with pytest.raises(RuntimeError, match="open connection"):
            async with engine.open(session):
                pass
        with pytest.raises(RuntimeError, match="open connection"):
            await engine.forget(session)


async def test_open_waits_for_the_engine_to_run(session: SessionId) -> None:
    engine = SimulatorEngine(SystemClock())
    opening = asyncio.create_task(told_first(engine, session))
    await asyncio.sleep(0)
    serving = Serving(engine)

    assert isinstance(await asyncio.wait_for(opening, WAIT_SECONDS), QrCode)
    await serving.end()


async def told_first(engine: SimulatorEngine, session: SessionId) -> Signal:
    """Return the first signal of a connection."""
    async with engine.open(session) as connection:
        return (await anext(connection.signals()))[0]


async def test_credentials_are_files_of_the_owner_only(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with connected(engine, session):
        (file,) = stage.directory.iterdir()
        assert file.name == f"{session}.json"
        assert file.stat().st_mode & 0o777 == 0o600
    await engine.forget(session)
    assert list(stage.directory.iterdir()) == []


async def test_credentials_that_cannot_be_read_are_corrupted(
    stage: Stage, session: SessionId
) -> None:
    engine = await stage.engine()
    async with connected(engine, session):
        pass
    stage.directory.joinpath(f"{session}.json").write_text('{"phone": ')
    engine = await stage.engine()

    assert engine.has_credentials(session)
    assert [type(one) for one in await told(engine, session)] == [CredentialsCorrupted]
    await engine.forget(session)
    async with connected(engine, session) as watched:
        assert watched.kinds[0] == "qr_code"


async def test_a_login_that_cannot_be_stored_is_not_told(stage: Stage, session: SessionId) -> None:
    engine = await stage.engine()
    async with opened(engine, session) as watched:
        await watched.wait_for(QrCode)
        stage.directory.rmdir()
        engine.scan(session)
        stopped = await watched.wait_for(EngineStopped)

    assert "can't be stored or removed" in stopped.detail
    assert watched.all(Paired) == []
