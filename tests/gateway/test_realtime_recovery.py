"""Resuming by cursor: everything missed, in order, once; or the reason, never a part."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sessions.events import topic
from sessions.ids import Cursor, LogId, new_log_id
from sessions.models import SessionRow
from sessions.session import Session
from sessions.store import Unit
from tests.gateway.edge import QUICK, Client, Edge, eventually, running_edge
from tests.gateway.raw_socket import raw_socket
from tests.sessions.house import TENANT


async def test_what_was_missed_comes_before_what_is_live(edge: Edge) -> None:
    session = await edge.house.session("shop")
    first, *_ = await edge.append(session, 5)
    async with edge.client() as client:
        answer = await client.subscribe("shop", after=first.cursor)
        await edge.append(session, 2, first=6)
        await client.hears("session:status", 6)
    assert answer["recovered"] is True
    assert "recoveryReason" not in answer
    assert client.seqs() == [2, 3, 4, 5, 6, 7]
    assert client.names()[:3] == ["connected", "subscribed", "session:status"]


async def test_the_answer_precedes_everything_it_announces(edge: Edge) -> None:
    session = await edge.house.session("shop")
    first, *_ = await edge.append(session, 3)
    async with edge.client() as client:
        order: list[str] = []
        await client.hears("connected")
        request = {"sessionId": "shop", "after": first.cursor}
        await client.io.emit(
            "subscribe:session",
            request,
            namespace="/ws",
            callback=lambda _: order.extend(["answer", *client.names()]),
        )
        await client.hears("session:status", 2)
    assert order == ["answer", "connected"]


async def test_a_cursor_at_the_head_recovers_nothing_and_says_it_is_whole(edge: Edge) -> None:
    session = await edge.house.session("shop")
    *_, last = await edge.append(session, 3)
    async with edge.client() as client:
        answer = await client.subscribe("shop", after=last.cursor)
        await edge.append(session, 1, first=4)
        await client.hears("session:status")
    assert answer["recovered"] is True
    assert answer["cursor"] == last.cursor
    assert client.seqs() == [4]


async def test_without_a_cursor_only_what_is_new_arrives(edge: Edge) -> None:
    session = await edge.house.session("shop")
    await edge.append(session, 3)
    async with edge.client() as client:
        await client.subscribe("shop", after=None)
        await edge.append(session, 1, first=4)
        await client.hears("session:status")
    assert client.seqs() == [4]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("", "malformed"),
        ("garbage", "malformed"),
        ("{log}:-1", "malformed"),
        ("{log}:999999", "future"),
        ("another:2", "wrong_log"),
    ],
)
async def test_a_cursor_of_no_use_recovers_nothing_and_says_why(
    edge: Edge, after: str, reason: str
) -> None:
    session = await edge.house.session("shop")
    *_, last = await edge.append(session, 3)
    log = Cursor.parse(session.cursor).log_id
    async with edge.client() as client:
        answer = await client.subscribe("shop", after=after.format(log=log))
        await edge.append(session, 1, first=4)
        await client.hears("session:status")
    assert answer["ok"] is True
    assert (answer["recovered"], answer["recoveryReason"]) == (False, reason)
    assert answer["cursor"] == last.cursor
    assert client.seqs() == [4]


async def test_too_much_to_replay_is_not_replayed_in_part(tmp_path: Path) -> None:
    async with running_edge(tmp_path, limits=replace(QUICK, replayed_events=10)) as edge:
        session = await edge.house.session("shop")
        first, *_ = await edge.append(session, 12)
        async with edge.client() as client:
            far = await client.subscribe("shop", after=first.cursor)
            near = await client.subscribe("shop", after=_before(first.cursor, 2))
            await client.hears("session:status", 10)
    assert (far["recovered"], far["recoveryReason"]) == (False, "too_far")
    assert near["recovered"] is True
    assert client.seqs() == list(range(3, 13))


async def test_a_thousand_events_are_replayed_page_by_page(edge: Edge) -> None:
    session = await edge.house.session("shop")
    start = session.cursor
    await edge.append(session, 1000)
    async with edge.client() as client:
        answer = await client.subscribe("shop", after=start)
        await client.hears("session:status", 1000)
    assert answer["recovered"] is True
    assert client.seqs() == list(range(1, 1001))


async def test_thousands_of_events_are_replayed_while_more_come(edge: Edge) -> None:
    session = await edge.house.session("shop")
    start = session.cursor
    for first in range(1, 9_000, 900):
        await edge.append(session, 900, first=first)
    async with edge.client() as client:
        asking = asyncio.create_task(client.subscribe("shop", after=start))
        for first in range(9_001, 9_801, 20):
            await edge.append(session, 20, first=first)
            await asyncio.sleep(0)
        answer = await asking
        await eventually(lambda: len(client.seqs()) >= 9_800, "all of them", seconds=40)
    assert answer["recovered"] is True
    assert client.seqs() == list(range(1, 9_801))


async def test_members_of_a_room_whose_log_is_replaced_must_start_anew(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client, raw_socket(edge, recover=True) as recovering:
        await client.subscribe("shop")
        await recovering.subscribe("shop")
        *_, last = await edge.append(session, 2)
        await client.hears("session:status", 2)
        await _replace_log(edge, session)
        reason = await client.hears("disconnect")
        await recovering.reads_to_the_end()
    assert reason != "io server disconnect"
    assert recovering.seqs() == [1, 2]
    assert edge.counted("wagate_client_disconnects_total", reason="lost_position") == 2
    async with raw_socket(edge, recover=True, **recovering.state) as again:
        answer = await again.subscribe("shop", after=last.cursor)
        await edge.append(session, 1)
        await again.hears("session:status")
    assert again.pid != recovering.pid
    assert (answer["recovered"], answer["recoveryReason"]) == (False, "wrong_log")
    assert again.seqs() == [3]


async def test_a_client_whose_connection_the_server_ends_is_not_told_to_stay_away(
    edge: Edge,
) -> None:
    session = await edge.house.session("shop")
    async with raw_socket(edge) as client:
        await client.subscribe("shop")
        await _replace_log(edge, session)
        await client.reads_to_the_end()
    # python-socketio does not come back after an Engine.IO close packet, nor after a disconnect.
    assert [text for text in client.others if text.startswith(("1", "41"))] == []


async def test_clients_that_come_and_go_under_load_miss_and_repeat_nothing(edge: Edge) -> None:
    session = await edge.house.session("shop")

    async def write() -> None:
        for first in range(1, 300, 3):
            await edge.append(session, 3, first=first)
            await asyncio.sleep(0)

    async def follow() -> list[int]:
        seen: list[int] = []
        cursor = session.cursor
        while not seen or seen[-1] < 300:
            async with edge.client() as client:
                answer = await client.subscribe("shop", after=cursor)
                assert answer["recovered"] is True
                target = min(len(seen) + 60, 300)
                await client.hears("session:status", target - len(seen))
                seen.extend(client.seqs())
                cursor = str(Cursor(LogId(cursor.partition(":")[0]), seen[-1]))
        return seen

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        followers = [tasks.create_task(follow()) for _ in range(6)]
    assert [follower.result() for follower in followers] == [list(range(1, 301))] * 6


async def test_what_the_bus_loses_is_read_from_the_log(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        await edge.append(session, 2)
        await client.hears("session:status", 2)
        edge.bus.losing = True
        await edge.append(session, 4, first=3)
        edge.bus.losing = False
        await edge.append(session, 1, first=7)
        await client.hears("session:status", 7)
    assert client.seqs() == list(range(1, 8))


async def test_a_lost_tail_is_found_by_the_poll(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        edge.bus.losing = True
        await edge.append(session, 3)
        await client.hears("session:status", 3)
        assert edge.bus.lost == 3
    assert client.seqs() == [1, 2, 3]


async def test_what_the_bus_says_twice_is_said_once(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        events = await edge.append(session, 3)
        for event in (*events, *reversed(events)):
            await edge.bus.publish(topic(session.id), event.model_dump_json().encode())
        await edge.append(session, 1, first=4)
        await client.hears("session:status", 4)
    assert client.seqs() == [1, 2, 3, 4]


async def test_rubbish_on_the_bus_stops_nothing(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        for payload in (b"", b"{}", b"\xff", b'{"type":"session:invented"}'):
            await edge.bus.publish(topic(session.id), payload)
        await edge.append(session, 1)
        await client.hears("session:status")
    assert client.seqs() == [1]


async def test_a_deletion_lost_on_the_bus_is_noticed(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        edge.bus.losing = True
        await edge.house.manager.delete(TENANT, "shop")
        left = await client.hears("unsubscribed")
    assert left == {"sessionId": "shop", "reason": "deleted"}


async def test_members_of_a_log_that_was_replaced_connect_again_and_are_told(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        *_, last = await edge.append(session, 2)
        await client.hears("session:status", 2)
        await edge.house.manager.delete(TENANT, "shop")
        again = await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.subscribe("shop", after=last.cursor)
    assert answer["recovered"] is False
    assert answer["recoveryReason"] == "wrong_log"
    assert answer["cursor"] == again.cursor


async def _replace_log(edge: Edge, session: Session) -> None:
    """Do what the restoration of an older database does: the log is another one from now on."""

    async def work(unit: Unit) -> None:
        row = await unit.db.get(SessionRow, session.id)
        assert row is not None
        row.log_id = new_log_id()

    await edge.house.store.write(work)


def _before(cursor: str | None, seq: int) -> str:
    return f"{str(cursor).partition(':')[0]}:{seq}"


def test_the_client_of_these_tests_sees_numbers_in_the_order_of_arrival() -> None:
    client = Client(io=None)
    client.heard = [("a", {"seq": 2}), ("subscribed", {}), ("b", {"seq": 1})]
    assert client.seqs() == [2, 1]
