"""A chatbot back end hears of its sessions, each thing once and in order, whatever it answers."""

import base64
import io
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from starlette.responses import Response

from sessions.clock import SystemClock
from sessions.engine_simulator_script import FaultKind
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionName, TenantId
from sessions.messages import EngineMessage, Media
from sessions.session import NewSession
from sessions.status import Status
from tests.bridges.chatbot_backend import ChatbotBackEnd
from tests.bridges.chatbot_site import FRIEND, PHONE, Site, running_site
from tests.sessions.house import TENANT, until

THREE_DAYS_SECONDS = 3 * 24 * 60 * 60


@pytest.fixture
async def backend() -> AsyncIterator[ChatbotBackEnd]:
    """Run a back end."""
    async with ChatbotBackEnd().up() as running:
        yield running


@pytest.fixture
async def site(tmp_path: Path, backend: ChatbotBackEnd) -> AsyncIterator[Site]:
    """Run the gateway's parts beside it."""
    async with running_site(tmp_path, backend) as running:
        yield running


def text_of(data_url: str) -> str:
    """Read a QR code from its image, as a phone does."""
    found = zxingcpp.read_barcode(
        Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))
    )
    assert found is not None
    return found.text


async def test_a_chatbot_is_linked_talks_and_is_disconnected(site: Site) -> None:
    session = await site.linked()
    name = session.session_id
    shown = await site.backend.hears("qr")
    assert (shown["sessionId"], shown["data"]["chatbotId"]) == (name, "42") == ("chatbot_42", "42")
    assert shown["data"]["qr"] == shown["data"]["qrCode"]
    assert text_of(shown["data"]["qr"])
    assert {"expiresAt", "attempt", "maxAttempts"} <= shown["data"].keys()
    up = (await site.backend.hears("connected"))["data"]
    assert (up["chatbotId"], up["phoneNumber"], up["pushName"]) == ("42", f"+{PHONE}", "Alice")

    for number in range(30):
        site.is_written_to(session, f"question {number}")
    messages = await site.backend.gets(30)
    assert [one["message"] for one in messages] == [f"question {number}" for number in range(30)]
    first = messages[0]
    assert (first["from"], first["phone"]) == (f"{FRIEND}@s.whatsapp.net", FRIEND)
    assert (first["sessionId"], first["chatbotId"], first["type"]) == (name, "42", "text")
    logged = await site.house.events(name, EventType.SESSION_MESSAGE)
    assert [(one["id"], one["seq"]) for one in messages] == [(one.id, one.seq) for one in logged]
    posts = [post for post in site.backend.posts if post.path == "incoming"]
    assert [post.id for post in posts] == [one.id for one in logged]

    sent = await site.caller.post("/send", sessionId=name, to=first["from"], message="an answer")
    assert sent["status"] == "queued"
    assert sent["jobId"] == sent["messageId"]

    async def arrived() -> list[str]:
        return [text.text for text in site.house.engine.sent(session.id)]

    assert await until(arrived, bool) == ["an answer"]
    assert (await site.caller.post("/disconnect", sessionId=name))["connected"] is False
    down = (await site.backend.hears("disconnected"))["data"]
    assert (down["reason"], down["willReconnect"], down["chatbotId"]) == (
        "deactivated",
        False,
        "42",
    )
    assert len(site.backend.words("qr", "connected", "disconnected")) == 3
    # What was sent is no message that came in.
    assert len(site.backend.messages()) == 30


async def test_each_loss_is_told_once_and_says_whether_it_is_the_end(site: Site) -> None:
    session = await site.linked()
    site.house.engine.fault(session.id, FaultKind.STREAM_LOST, seconds=0.5)
    await site.backend.hears("connected", 2)
    site.house.engine.fault(session.id, FaultKind.LOGGED_OUT)
    await site.backend.hears("disconnected", 2)
    told = [word["data"] for word in site.backend.words("disconnected")]
    assert [one["willReconnect"] for one in told] == [True, False]
    assert [one["status"] for one in told] == ["RECONNECTING", "LOGGED_OUT"]
    assert all(one["message"] for one in told)

    # And again from the beginning, by the only call that the back end knows.
    await site.linked()
    await site.backend.hears("connected", 3)
    assert len(site.backend.words("disconnected")) == 2


async def test_a_login_that_nobody_finished_is_told_once(
    tmp_path: Path, backend: ChatbotBackEnd
) -> None:
    async with running_site(tmp_path, backend, qr_seconds=(0.1,)) as site:
        await site.caller.post("/init", chatbotId=42)
        await site.house.reaches("chatbot_42", Status.FAILED)
        down = (await backend.hears("disconnected"))["data"]
        assert (down["reason"], down["willReconnect"]) == ("qr_exhausted", False)
        attempts = {word["data"]["attempt"] for word in backend.words("qr")}
        assert attempts == {0, 1, 2, 3}
        assert len(backend.words("disconnected")) == 1


async def test_a_back_end_that_was_away_gets_everything_in_order(tmp_path: Path) -> None:
    backend = ChatbotBackEnd()
    async with backend.up():
        pass
    async with running_site(tmp_path, backend) as site:
        session = await site.linked()
        for number in range(5):
            site.is_written_to(session, f"question {number}")

        async def faults() -> list[str]:
            return site.bridge.degraded()

        (fault,) = await until(faults, bool)
        assert fault.startswith("The chatbot back end can't be told: ")
        assert (await site.status()).last_error
        answers = iter([404, 503, 302, 401, 500])
        backend.judge = lambda _: (
            None if (status := next(answers, 0)) == 0 else Response(status_code=status)
        )
        async with backend.up():
            messages = await backend.gets(5)
            assert [one["message"] for one in messages] == [f"question {n}" for n in range(5)]
            assert len(backend.words("connected")) == 1
            tried = [post.id for post in backend.posts]
            taken = [post.id for post in backend.posts if post.taken]
            assert len(taken) == len(set(taken)) == 6
            # Refused ones came again with their ids, before those behind them.
            assert list(dict.fromkeys(tried)) == taken
            assert await until(faults, lambda found: not found) == []


async def test_what_is_refused_for_its_form_is_parked_and_can_be_had_later(site: Site) -> None:
    session = await site.linked()
    site.backend.judge = lambda body: (
        Response(status_code=422) if body.get("message") == "odd" else None
    )
    for text in ("before", "odd", "after"):
        site.is_written_to(session, text)
    messages = await site.backend.gets(2)
    assert [one["message"] for one in messages] == ["before", "after"]
    refused = [post for post in site.backend.posts if not post.taken]
    assert len(refused) == 8
    assert len({post.id for post in refused}) == 1
    assert (await site.status()).parked == 1

    site.backend.judge = lambda _: None
    assert (await site.pump.redeliver("chatbot")).delivered == 1
    assert site.backend.messages()[-1]["message"] == "odd"
    assert site.backend.posts[-1].id == refused[0].id


class LateClock(SystemClock):
    """The machine's clock, which can be put forward."""

    ahead_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_seconds


async def test_what_is_not_taken_for_three_days_is_parked(
    tmp_path: Path, backend: ChatbotBackEnd
) -> None:
    clock = LateClock()
    async with running_site(tmp_path, backend, clock=clock) as site:
        session = await site.linked()
        await backend.hears("connected")
        backend.judge = lambda body: (
            Response(status_code=404) if body.get("message") == "lost" else None
        )
        site.is_written_to(session, "lost")
        site.is_written_to(session, "kept")
        await backend.until(
            lambda: sum(not post.taken for post in backend.posts) > 20, "it comes again and again"
        )
        assert (await site.status()).parked == 0
        clock.ahead_seconds = THREE_DAYS_SECONDS + 1
        assert [one["message"] for one in await backend.gets(1)] == ["kept"]
        assert (await site.status()).parked == 1


async def test_a_pause_that_is_asked_for_is_kept_to(site: Site) -> None:
    session = await site.linked()
    await site.backend.hears("connected")
    clock, asked = SystemClock(), iter([Response(status_code=503, headers={"retry-after": "1"})])
    site.backend.judge = lambda _: next(asked, None)
    started: datetime = clock.now()
    site.is_written_to(session, "patience")
    await site.backend.gets(1)
    assert (clock.now() - started).total_seconds() >= 1


async def test_only_sessions_of_its_tenant_are_told_with_or_without_a_chatbot(site: Site) -> None:
    manager, engine, other = site.house.manager, site.house.engine, TenantId("other")
    mine = SessionName("support")
    for tenant, name in ((other, SessionName("chatbot_42")), (TENANT, mine)):
        made = await manager.create(tenant, NewSession(session_id=name))
        await manager.activate(tenant, name)

        async def showing(session: str = made.id, owner: TenantId = tenant) -> Status:
            return (await manager.get(owner, session)).status

        await until(showing, lambda status: status is Status.QR_READY)
        engine.scan(made.id)
        await until(showing, lambda status: status is Status.CONNECTED)
        engine.write(made.id, f"to {tenant}", sender=FRIEND)
    (message,) = await site.backend.gets(1)
    assert (message["message"], message["sessionId"]) == (f"to {TENANT}", "support")
    assert "chatbotId" not in message
    assert {post.body["sessionId"] for post in site.backend.posts} == {"support"}


async def test_what_has_no_text_has_an_empty_one(site: Site) -> None:
    session = await site.linked()
    jid = f"{FRIEND}@s.whatsapp.net"
    photo = EngineMessage(
        whatsapp_id="3EB0AA",
        chat="120363000000000001@g.us",
        sender=jid,
        phone=FRIEND,
        is_group=True,
        type="image",
        media=Media(mimetype="image/jpeg"),
        timestamp_ms=1_767_225_600_000,
    )
    site.house.engine.receive(session.id, photo)
    # From its own phone: nobody whom a chatbot should answer.
    site.house.engine.write(session.id, "mine", sender=PHONE)
    site.is_written_to(session, "hello")
    shown, text = await site.backend.gets(2)
    expected: dict[str, Any] = {
        "message": "",
        "type": "image",
        "from": jid,
        "chatId": photo.chat,
        "isGroup": True,
        "messageId": "3EB0AA",
        "timestamp": 1_767_225_600_000,
    }
    assert {name: shown[name] for name in expected} == expected
    assert text["message"] == "hello"


async def test_a_session_that_is_deleted_while_it_is_up_is_told_once(site: Site) -> None:
    session = await site.linked()
    await site.backend.hears("connected")
    site.is_written_to(session, "hello")
    await site.backend.gets(1)
    await site.house.manager.delete(TENANT, session.session_id)
    down = await site.backend.hears("disconnected")
    assert (down["data"]["chatbotId"], down["data"]["willReconnect"]) == ("42", False)
    await site.linked("43")
    await site.backend.hears("connected", 2)
    assert len(site.backend.words("disconnected")) == 1


async def test_what_was_forgotten_before_it_was_told_is_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    session = await site.linked()
    gap = SessionEvent(
        id="0199f3a2-7c41-7b6e-9a35-1f0c2d4e6b80",
        type=EventType.EVENTS_GAP,
        session=session.id,
        session_id=session.session_id,
        seq=7,
        timestamp=1,
        data={"from": 3, "to": 7},
    )
    await site.bridge.deliver(gap)
    (line,) = [one for one in caplog.records if one.levelname == "ERROR"]
    said = vars(line)
    assert (said["session"], said["error"]) == (
        session.id,
        "events 3 to 7 were forgotten before it was told",
    )
