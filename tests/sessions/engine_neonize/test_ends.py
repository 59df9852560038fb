"""How a connection ends: by the phone, by WhatsApp, by us."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sessions.errors import NotConnected
from sessions.messages import OutgoingText
from sessions.signals import (
    FINAL,
    ClientOutdated,
    Connected,
    ConnectFailed,
    CredentialsCorrupted,
    Disconnected,
    LoggedOut,
    QrCode,
    StreamReplaced,
    TemporaryBan,
)
from tests.sessions.engine_neonize.watching import ALICE, BOB, Bench, new_session


async def test_a_broken_connection_comes_back(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        await bench.whatsapp.drop(ALICE)
        await watched.wait_for(Connected, count=2)

        assert watched.all(Disconnected)[0].reason == "stream_lost"
        assert watched.kinds[-2:] == ["disconnected", "connected"]
        await watched.connection.send(OutgoingText(to=f"{BOB}@s.whatsapp.net", text="back"))
        await bench.whatsapp.wait_until_received(BOB, "back")


async def test_removing_the_device_on_the_phone_logs_out(bench: Bench) -> None:
    session = new_session()
    async with bench.pair(ALICE, session) as watched:
        await bench.whatsapp.kick(ALICE)

        assert (await watched.wait_for(LoggedOut)).by_phone
    assert not await bench.is_linked(session)

    async with bench.open(session) as watched:
        await watched.wait_for(QrCode)


async def test_logging_out_unlinks_the_device(bench: Bench) -> None:
    session = new_session()
    async with bench.pair(ALICE, session) as watched:
        await watched.connection.logout()

        assert (await bench.whatsapp.account(ALICE)).companions == []
        with pytest.raises(NotConnected):
            await watched.connection.logout()
    assert not await bench.is_linked(session)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (401, LoggedOut),
        (403, LoggedOut),
        (402, TemporaryBan),
        (405, ClientOutdated),
        (409, ConnectFailed),
    ],
)
async def test_a_refused_login_ends_the_connection(
    bench: Bench, reason: int, kind: type[object]
) -> None:
    session = await bench.linked(ALICE)
    await bench.whatsapp.fail_next_login(reason, phone=ALICE)

    async with bench.engine.open(session) as connection:
        async with asyncio.timeout(20):
            batches = [batch async for batch in connection.signals()]

    assert isinstance(batches[-1][-1], kind)
    assert isinstance(batches[-1][-1], FINAL)


async def test_a_ban_tells_until_when(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    await bench.whatsapp.fault("temporary_ban", phone=ALICE, code=104, expire_seconds=3600)

    async with bench.open(session) as watched:
        ban = await watched.wait_for(TemporaryBan)

    assert ban.code == 104
    assert ban.until_ms is not None


async def test_an_overloaded_whatsapp_is_asked_again(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    await bench.whatsapp.fail_next_login(503, phone=ALICE)

    async with bench.open(session) as watched:
        await watched.wait_for(Connected)

        assert watched.all(Disconnected)[0].reason == "connect_failed"


async def test_an_unreachable_whatsapp_ends_the_connection(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    await bench.whatsapp.fault("refuse_connections", seconds=60)

    async with bench.open(session) as watched:
        await watched.wait_for(ConnectFailed)
    async with bench.open(new_session()) as watched:
        await watched.wait_for(ConnectFailed)

    await bench.whatsapp.fault("clear")
    async with bench.open(session) as watched:
        await watched.wait_for(Connected)


async def test_another_login_with_the_same_credentials_replaces_the_line(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    copy = new_session()
    bench.store.joinpath(f"{copy}.db").write_bytes(
        bench.store.joinpath(f"{session}.db").read_bytes()
    )
    async with bench.open(session) as watched:
        await watched.wait_for(Connected)
        async with bench.open(copy) as other:
            await other.wait_for(Connected)
            await watched.wait_for(StreamReplaced)


@pytest.mark.parametrize("damage", ["no database", "cut", "no account"])
async def test_unusable_credentials_are_set_aside(bench: Bench, damage: str) -> None:
    session = await bench.linked(ALICE)
    store = bench.store / f"{session}.db"
    _damage(store, damage)

    async with bench.open(session) as watched:
        await watched.wait_for(CredentialsCorrupted)
    assert len(list(bench.store.glob(f"{session}.db.unusable-*"))) == 1

    async with bench.open(session) as watched:
        await watched.wait_for(QrCode)


async def test_forgetting_leaves_no_file(bench: Bench) -> None:
    session = new_session()
    async with bench.pair(ALICE, session):
        assert list(bench.store.glob(f"*{session}*"))

    await bench.engine.forget(session)
    await bench.engine.forget(session)

    assert not list(bench.store.glob(f"*{session}*"))
    assert not await bench.is_linked(session)


async def test_credentials_are_readable_by_the_owner_only(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()):
        modes = {file.name: file.stat().st_mode & 0o777 for file in bench.store.iterdir()}

        assert bench.store.stat().st_mode & 0o777 == 0o700
        assert set(modes.values()) == {0o600}, modes


def _damage(store: Path, damage: str) -> None:
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if damage == "no account":
            database.execute("UPDATE whatsmeow_device SET jid = 'nobody'")
            database.commit()
    if damage == "no database":
        store.write_bytes(b"not a database" * 1000)
    if damage == "cut":
        store.write_bytes(store.read_bytes()[:40_000])
