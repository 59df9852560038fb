"""A webhook's schedule of three days, its end, and what is delivered by hand; days are leapt."""

import asyncio
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlmodel import select
from starlette.responses import Response

from auth.principal import Scope
from gateway.bridge_webhook import PAUSES_SECONDS
from gateway.webhook_retries import RetryRow
from sessions.bus import announce
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, SessionName, new_uuid
from tests.api.server import Server, issued
from tests.api.test_bad_input import problem
from tests.gateway.hooks import gets, hooked, made, seen
from tests.gateway.leaping_clock import LeapingClock
from tests.gateway.receiver import Receiver
from tests.sessions.house import until

DAY = 24 * 60 * 60


def refuse_messages(event: dict[str, Any]) -> Response | None:
    """Take everything but messages."""
    return Response(status_code=500) if event["type"] == "session:message" else None


def tried(receiver: Receiver) -> list[dict[str, Any]]:
    """Return the messages that were posted, taken or not."""
    return [post.event for post in receiver.posts if post.event["type"] == "session:message"]


async def attempts(server: Server, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the recorded attempts, the oldest first."""
    answer = await server.call("GET", f"/webhooks/{webhook['id']}/attempts?limit=1000")
    items: list[dict[str, Any]] = answer.json()["items"]
    return [item for item in items[::-1] if item["type"] == "session:message"]


async def recorded(server: Server, webhook: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Wait until so many attempts are recorded."""
    return await until(partial(attempts, server, webhook), lambda found: len(found) >= count)


async def look_again(server: Server) -> None:
    """Let the lines look at the clock: some event happens, of a session that nobody knows."""
    event = SessionEvent(
        id=new_uuid(), type=EventType.SESSION_STATUS, session=SessionId(new_uuid()),
        session_id=SessionName("nobody"), seq=1, timestamp=0, data={},
    )  # fmt: skip
    await announce(server.house.bus, event)
    await asyncio.sleep(0.02)


async def due(server: Server) -> list[int]:
    """Return when what was refused comes again, in Unix milliseconds."""
    async with server.house.store.read() as db:
        return list((await db.execute(select(RetryRow.not_before))).scalars())


async def pass_pause(server: Server, clock: LeapingClock) -> float:
    """Leap to just before the next attempt, and over it; return the seconds when it was due."""
    (at_ms,) = await due(server)
    clock.leap(at_ms / 1000 - clock.now().timestamp() - 1)
    await look_again(server)
    clock.leap(1)
    await look_again(server)
    return at_ms / 1000


def seconds(attempt: dict[str, Any]) -> float:
    """Return when an attempt was made."""
    return datetime.fromisoformat(attempt["at"]).timestamp()


async def test_the_schedule_is_kept_to_over_a_restart_until_the_event_is_given_up(
    tmp_path: Path, receiver: Receiver
) -> None:
    clock, receiver.judge = LeapingClock(), refuse_messages
    run = partial(hooked, tmp_path, clock=clock, pauses_seconds=PAUSES_SECONDS)
    webhook: dict[str, Any] = {}
    for part in (PAUSES_SECONDS[:3], PAUSES_SECONDS[3:]):
        async with run() as server:
            if not webhook:
                webhook = await made(server, receiver.url, events=["session:message"])
                session = await server.connected()
                server.house.engine.burst(SessionId(session["id"]), 2)
            found = await recorded(server, webhook, 1)
            for pause in part:
                before, known = seconds(found[-1]), len(found)
                due_at = await pass_pause(server, clock)
                found = await recorded(server, webhook, known + 1)
                assert 0.79 * pause <= due_at - before <= 1.21 * pause
                assert -0.1 <= seconds(found[known]) - due_at < 30
            if len(found) > len(PAUSES_SECONDS):
                found = await recorded(server, webhook, len(PAUSES_SECONDS) + 2)

    # The first event was given up after ten attempts; the next has its own.
    ids = [attempt["eventId"] for attempt in found]
    assert ids[:10] == ids[:1] * 10
    assert len(found) == 11
    assert found[10]["seq"] == found[0]["seq"] + 1


async def test_after_five_days_of_failures_it_is_disabled_and_others_are_told(
    tmp_path: Path, receiver: Receiver
) -> None:
    clock, receiver.judge = LeapingClock(), refuse_messages
    async with hooked(tmp_path, clock=clock) as server:
        dead = await made(server, receiver.url, events=["session:message"])
        await made(server, receiver.url, events=["webhook:disabled"])
        theirs = issued(tenant="others")
        other = {"url": receiver.url, "events": ["webhook:*"]}
        await server.call("POST", "/webhooks", json=other, token=theirs)
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 1)
        await recorded(server, dead, 1)
        clock.leap(4.9 * DAY)
        server.house.engine.burst(SessionId(session["id"]), 1)
        await until(partial(attempts, server, dead), lambda found: len(found) > 10)
        shown = await seen(server, dead)
        assert (shown["enabled"], shown["disabledReason"]) == (True, None)

        clock.leap(0.2 * DAY)
        server.house.engine.burst(SessionId(session["id"]), 1)
        shown = await until(partial(seen, server, dead), lambda found: not found["enabled"])
        assert "5 days" in shown["disabledReason"]
        (told,) = await gets(receiver, 1, "webhook:disabled")
        assert (told["webhookId"], told["reason"]) == (dead["id"], shown["disabledReason"])
        count = len(tried(receiver))
        server.house.engine.burst(SessionId(session["id"]), 5)
        await look_again(server)

        receiver.judge = lambda _: None
        assert len(tried(receiver)) == count
        again = await server.call("PUT", f"/webhooks/{dead['id']}", json={"enabled": True})
        assert again.json()["failingSince"] is None
        await gets(receiver, 5, "session:message")
        assert len(receiver.taken("webhook:disabled")) == 1


async def test_one_event_is_delivered_again_by_its_id(tmp_path: Path, receiver: Receiver) -> None:
    receiver.judge = refuse_messages
    async with hooked(tmp_path) as server:
        webhook = await made(server, receiver.url, events=["session:message"])
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 1)
        path = f"/webhooks/{webhook['id']}"
        found = (await recorded(server, webhook, 10))[0]

        async def parked() -> int:
            bridges = (
                await server.call("GET", "/bridges", token=issued(scopes=[Scope.ADMIN]))
            ).json()
            return int(bridges["items"][0]["parked"])

        await until(parked, lambda count: count == 1)
        again = partial(server.call, "POST", f"{path}/events/{found['eventId']}/redeliver")
        failed = (await again()).json()
        assert (failed["status"], failed["eventId"], failed["seq"]) == (
            500,
            found["eventId"],
            found["seq"],
        )
        assert await parked() == 1
        receiver.judge = lambda _: None
        assert (await again()).json()["status"] == 200
        assert receiver.taken()[-1]["id"] == found["eventId"]
        assert await parked() == 0

        # Not what the filter keeps out, what is another tenant's, or nothing at all.
        log = (await server.call("GET", "/whatsapp/one/events")).json()["items"]
        kept_out = next(event for event in log if event["type"] == "session:connected")
        theirs = issued(tenant="others")
        other = (
            await server.call("POST", "/webhooks", json={"url": receiver.url}, token=theirs)
        ).json()
        for webhook_id, event_id, token in (
            (webhook["id"], kept_out["id"], ""),
            (webhook["id"], new_uuid(), ""),
            (webhook["id"], "nothing", ""),
            (other["id"], found["eventId"], theirs),
        ):
            one = f"/webhooks/{webhook_id}/events/{event_id}/redeliver"
            problem(await server.call("POST", one, token=token), 404, "event_not_found")


async def test_the_event_that_holds_up_others_is_delivered_by_hand_and_they_follow(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.judge = refuse_messages
    async with hooked(tmp_path, pauses_seconds=(3600,) * 9) as server:
        webhook = await made(server, receiver.url, events=["session:message"])
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 3)
        first = (await recorded(server, webhook, 1))[0]["eventId"]
        receiver.judge = lambda _: None

        path = f"/webhooks/{webhook['id']}/events/{first}/redeliver"
        assert (await server.call("POST", path)).json()["status"] == 200

        taken = await gets(receiver, 3, "session:message")
        texts = [event["message"]["message"] for event in taken]
        assert texts == ["message 1", "message 2", "message 3"]
        # The first was refused once, and not posted again after it was taken by hand.
        assert [event["id"] for event in tried(receiver)].count(first) == 2


async def test_asking_for_what_was_given_up_lets_the_rest_go_on_at_once(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.judge = refuse_messages
    async with hooked(tmp_path, pauses_seconds=(3600,) * 9) as server:
        webhook = await made(server, receiver.url, events=["session:message"])
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 2)
        await recorded(server, webhook, 1)
        receiver.judge = lambda _: None

        answer = await server.call("POST", f"/webhooks/{webhook['id']}/redeliver")
        assert answer.json() == {"delivered": 0, "lost": 0, "stillParked": 0}
        await gets(receiver, 2, "session:message")
