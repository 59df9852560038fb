"""Socket.IO's own connection state recovery, as the stock client's packets show it.

It takes itself for recovered when the CONNECT packet has the same `pid` as the time before.
"""

import secrets
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from auth.principal import Scope
from gateway.offsets import SESSIONS_MAX
from sessions.status import Status
from tests.gateway.edge import QUICK, Edge, eventually, running_edge
from tests.gateway.raw_socket import RawSocket, raw_socket
from tests.sessions.house import TENANT

RECOVERIES = "wagate_recoveries_total"


async def test_who_does_not_ask_gets_no_further_argument(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with raw_socket(edge) as client:
        await client.subscribe("shop")
        await edge.append(session, 1)
        await client.hears("session:status")
    assert client.welcome.keys() == {"sid"}
    assert [len(event) for event in client.events] == [2] * len(client.events)


async def test_who_asks_is_told_its_position_with_each_event(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with raw_socket(edge, recover=True) as client:
        await client.subscribe("shop")
        await edge.append(session, 2)
        await client.hears("session:status", 2)
    assert client.pid
    offsets = [event[2] for event in client.events if event[0] == "session:status"]
    assert len(set(offsets)) == 2
    assert client.events[0][0] == "connected"
    assert len(client.events[0]) == 2


async def test_a_client_that_was_cut_off_goes_on_without_subscribing(edge: Edge) -> None:
    shop, office = await edge.house.session("shop"), await edge.house.session("office")
    before = await _following(edge, "shop", "office")
    await edge.append(shop, 3)
    await edge.append(office, 2)
    async with raw_socket(edge, recover=True, **before.state) as after:
        await after.hears("session:status", 5)
        await edge.append(shop, 1, first=4)
        await after.hears("session:status", 6)
    assert after.pid == before.pid
    assert after.seqs("shop") == [1, 2, 3, 4]
    assert after.seqs("office") == [1, 2]
    assert set(after.names()) == {"connected", "session:status"}
    assert edge.counted(RECOVERIES, kind="connection", recovered="true") == 1


async def test_cut_off_again_and_again_it_hears_everything_once(edge: Edge) -> None:
    session = await edge.house.session("shop")
    client = await _following(edge, "shop")
    heard: list[int] = []
    for first in range(1, 60, 6):
        await edge.append(session, 6, first=first)
        async with raw_socket(edge, recover=True, **client.state) as again:
            assert again.pid == client.pid
            await again.hears("session:status", 4)
            await again.cut()
        heard += again.seqs()
        client = again
    async with raw_socket(edge, recover=True, **client.state) as last:
        await last.hears("session:status", 60 - heard[-1])
    assert [*heard, *last.seqs()] == list(range(1, 61))


async def test_another_server_on_the_same_data_goes_on(tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(48)
    async with running_edge(tmp_path, secret=secret) as edge:
        session = await edge.house.session("shop")
        await edge.append(session, 2)
        before = await _following(edge, "shop")
        await edge.append(session, 3, first=3)
    async with (
        running_edge(tmp_path, secret=secret) as edge,
        raw_socket(edge, recover=True, **before.state) as after,
    ):
        await edge.append(session, 1, first=6)
        await after.hears("session:status", 4)
    assert after.pid == before.pid
    assert after.seqs() == [3, 4, 5, 6]


async def test_a_code_that_came_meanwhile_is_shown(edge: Edge) -> None:
    await edge.house.session("shop")
    before = await _following(edge, "shop")
    await edge.house.manager.activate(TENANT, "shop")
    await edge.house.reaches("shop", Status.QR_READY)
    current = await edge.house.manager.qr(TENANT, "shop")
    async with raw_socket(edge, recover=True, **before.state) as after:
        qr = (await after.hears("qr"))[1]
    assert qr["code"] == current.code
    assert qr["qr"].startswith("data:image/png;base64,")
    assert qr["expiresAt"]
    assert after.pid == before.pid


async def test_what_was_left_is_not_followed_again(edge: Edge) -> None:
    shop = await edge.house.session("shop")
    await edge.house.session("office")
    async with raw_socket(edge, recover=True) as before:
        await before.subscribe("shop")
        await before.subscribe("office")
        await before.ask("unsubscribe:session", {"sessionId": "shop"})
    await edge.append(shop, 1)
    async with raw_socket(edge, recover=True, **before.state) as after:
        answer = await after.ask("unsubscribe:session", {"sessionId": "shop"})
        still = await after.ask("unsubscribe:session", {"sessionId": "office"})
    assert after.pid == before.pid
    assert after.seqs() == []
    assert answer["ok"] is False
    assert still["ok"] is True


async def test_the_position_comes_before_the_answer_that_relies_on_it(edge: Edge) -> None:
    await edge.house.session("shop")
    async with raw_socket(edge, recover=True) as client:
        await client.subscribe("shop")
        assert client.names() == ["connected", "subscribed", "ack"]
        await client.ask("unsubscribe:session", {"sessionId": "shop"})
    assert client.names()[3:] == ["unsubscribed", "ack"]


async def test_who_followed_nothing_has_nothing_to_recover(edge: Edge) -> None:
    async with raw_socket(edge, recover=True) as before:
        pass
    async with raw_socket(edge, recover=True, **before.state) as after:
        pass
    assert after.pid
    assert after.pid != before.pid


@pytest.mark.parametrize(
    ("subject", "tenant", "scopes", "sessions"),
    [
        ("mallory", "acme", [Scope.SESSIONS_READ, Scope.MESSAGES_READ], None),
        ("frontend", "rival", [Scope.SESSIONS_READ, Scope.MESSAGES_READ], None),
        ("frontend", "acme", [Scope.SESSIONS_READ], None),
        ("frontend", "acme", [Scope.SESSIONS_READ, Scope.MESSAGES_READ], ["office"]),
    ],
)
async def test_a_token_that_may_not_follow_all_of_it_recovers_nothing(
    edge: Edge, subject: str, tenant: str, scopes: list[Scope], sessions: Collection[str] | None
) -> None:
    shop = await edge.house.session("shop")
    before = await _following(edge, "shop")
    await edge.append(shop, 1)
    token = edge.token(subject=subject, tenant=tenant, scopes=scopes, sessions=sessions)
    async with raw_socket(edge, token=token, recover=True, **before.state) as after:
        answer = await after.subscribe("nothing")
    assert after.pid != before.pid
    assert answer["ok"] is False
    assert after.seqs() == []


@pytest.mark.parametrize(
    "offset",
    [
        None,
        "",
        "-",
        "x",
        ",",
        "{good},",
        "{good},{good}",
        "{session}@",
        "{session}@other:1",
        "{session}@{log}:99",
        "{session}@{log}:-1",
        "{session}",
        "../etc@{log}:0",
        "00000000-0000-7000-8000-000000000000@{log}:0",
        "x" * 100_000,
        7,
        {"a": 1},
    ],
    ids=lambda offset: repr(offset)[:24],
)
async def test_an_offset_of_no_use_recovers_nothing(edge: Edge, offset: object) -> None:
    session = await edge.house.session("shop")
    before = await _following(edge, "shop")
    if isinstance(offset, str):
        log = session.cursor.partition(":")[0]
        good = str(before.offset)
        offset = offset.format(good=good, session=session.id, log=log)
    async with raw_socket(edge, recover=True, pid=before.pid, offset=offset) as after:
        answer = await after.subscribe("shop")
    assert after.pid != before.pid
    assert answer["ok"] is True
    assert edge.counted(RECOVERIES, kind="connection", recovered="false") == 1


@pytest.mark.parametrize("pid", ["", "x", ".", "a.b", "☃.☃", 7, None])
async def test_a_state_that_was_never_given_is_not_recovered(edge: Edge, pid: object) -> None:
    await edge.house.session("shop")
    before = await _following(edge, "shop")
    async with raw_socket(edge, recover=True, pid=pid, offset=before.offset) as after:
        assert after.pid
        assert after.pid != pid


async def test_too_much_missed_is_not_recovered_in_part(tmp_path: Path) -> None:
    async with running_edge(tmp_path, limits=replace(QUICK, replayed_events=10)) as edge:
        shop, office = await edge.house.session("shop"), await edge.house.session("office")
        before = await _following(edge, "shop", "office")
        await edge.append(shop, 6)
        await edge.append(office, 4)
        async with raw_socket(edge, recover=True, **before.state) as near:
            await near.hears("session:status", 10)
        await edge.append(office, 1, first=5)
        async with raw_socket(edge, recover=True, **before.state) as far:
            await far.subscribe("nothing")
    assert near.pid == before.pid
    assert far.pid != before.pid
    assert far.seqs() == []


async def test_what_was_missed_long_ago_is_not_recovered(edge: Edge) -> None:
    session = await edge.house.session("shop")
    before = await _following(edge, "shop")
    edge.clock.ahead = timedelta(seconds=QUICK.recovery_window_seconds + 1)
    async with raw_socket(edge, recover=True, **before.state) as quiet:
        pass
    await edge.append(session, 1)
    async with raw_socket(edge, recover=True, **before.state) as missed:
        pass
    assert quiet.pid == before.pid
    assert missed.pid != before.pid


async def test_a_session_that_was_deleted_meanwhile_is_not_recovered(edge: Edge) -> None:
    await edge.house.session("shop")
    before = await _following(edge, "shop")
    await edge.house.manager.delete(TENANT, "shop")
    await edge.house.session("shop")
    async with raw_socket(edge, recover=True, **before.state) as after:
        pass
    assert after.pid != before.pid


async def test_more_sessions_than_an_offset_holds_are_not_recovered(edge: Edge) -> None:
    names = [f"shop-{number}" for number in range(SESSIONS_MAX + 1)]
    for name in names:
        await edge.house.session(name)
    full = await _following(edge, *names[:-1])
    over = await _following(edge, *names)
    async with raw_socket(edge, recover=True, **full.state) as recovered:
        pass
    async with raw_socket(edge, recover=True, **over.state) as anew:
        pass
    assert recovered.pid == full.pid
    assert len(str(full.offset)) < 4096
    assert anew.pid != over.pid


async def test_both_ways_to_go_on_may_be_mixed(edge: Edge) -> None:
    session = await edge.house.session("shop")
    before = await _following(edge, "shop")
    events = await edge.append(session, 4)
    async with raw_socket(edge, recover=True, **before.state) as after:
        await after.hears("session:status", 4)
        again = await after.subscribe("shop")
        repeated = await after.subscribe("shop", after=events[1].cursor)
        await after.hears("session:status", 6)
        await edge.append(session, 1, first=5)
        await after.hears("session:status", 7)
    assert again["ok"] is True
    assert repeated["recovered"] is True
    assert after.seqs() == [1, 2, 3, 4, 3, 4, 5]
    async with raw_socket(edge, recover=True, **after.state) as last:
        await edge.append(session, 1, first=6)
        await last.hears("session:status")
    assert last.seqs() == [6]


async def _following(edge: Edge, *sessions: str) -> RawSocket:
    """Return a client that has followed these sessions, and was cut off."""
    async with raw_socket(edge, recover=True) as client:
        for session in sessions:
            assert (await client.subscribe(session))["ok"] is True
        await client.cut()
    await eventually(lambda: edge.realtime.connections == 0, "the server has noticed")
    return client
