"""What an engine in front of a QR microservice does beyond what every engine does."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sessions.engine_microservice_standing import Paces
from sessions.errors import (
    EngineUnavailable,
    NotConnected,
    SendFailed,
    SendThrottled,
    SendUncertain,
    SessionsError,
)
from sessions.ids import SessionId
from sessions.messages import OutgoingText
from sessions.signals import (
    Connected,
    Disconnected,
    EngineStopped,
    LoggedOut,
    MessageReceived,
    QrCode,
    QrExhausted,
    Signal,
    StreamReplaced,
)
from tests.bridges.qr_microservice import Phone
from tests.contracts.microservice_world import MicroserviceWorld
from tests.contracts.worlds import ALICE, BOB, opened
from tests.sessions.engine_neonize.watching import Watched, eventually, new_session

QUICK = Paces(online_seconds=0.2, login_seconds=0.1, commit_seconds=0.3, send_seconds=0.5)
HELLO = OutgoingText(to=f"{BOB}@s.whatsapp.net", text="hello")
ALICES, BOBS = Phone(ALICE, "Alice"), Phone(BOB, "Bob")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[MicroserviceWorld]:
    """An engine that looks often, and its service."""
    async with MicroserviceWorld.set_up(tmp_path / "engine", paces=QUICK) as world:
        await world.start()
        yield world
        await world.end()


@pytest.fixture
def session() -> SessionId:
    """A session that nobody used yet."""
    return new_session()


@asynccontextmanager
async def linked(world: MicroserviceWorld, session: SessionId) -> AsyncIterator[Watched]:
    """Open a session and scan its code."""
    async with opened(world.engine, session) as watched:
        await world.scan(session, (await watched.wait_for(QrCode)).code)
        await watched.wait_for(Connected)
        yield watched


async def looked(world: MicroserviceWorld, times: int = 2) -> None:
    """Wait until the engine has looked again, and what it saw has had its effect."""
    wanted = world.service.calls.count("status") + times
    await eventually(lambda: world.service.calls.count("status") >= wanted, "it looks again")


async def test_what_was_not_posted_is_found_by_asking(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        code = (await watched.wait_for(QrCode)).code
        world.service.scan(session, code, ALICES, silently=True)
        assert (await watched.wait_for(Connected)).phone == ALICE

        await world.service.lose(session, seconds=1, silently=True)

        await watched.wait_for(Connected, count=2)
        assert watched.kinds[-2:] == ["disconnected", "connected"]
        world.service.end(session, "LOGGED_OUT", "logged_out", silently=True)
        await watched.wait_for(LoggedOut)
    assert not world.engine.has_credentials(session)


async def test_the_next_code_is_shown_when_the_first_has_ended(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        first = await watched.wait_for(QrCode)
        world.service.show_code(session)
        second = await watched.wait_for(QrCode, count=2)
        assert first.code != second.code == world.service.held(session).code
        await looked(world)
        assert len(watched.all(QrCode)) == 2


@pytest.mark.parametrize(
    ("end", "signal"),
    [
        (("FAILED", "qr_exhausted"), QrExhausted),
        (("FAILED", "no reason that is known"), QrExhausted),
        (("DISCONNECTED", ""), QrExhausted),
        (("CONFLICT", ""), StreamReplaced),
    ],
)
@pytest.mark.parametrize("silently", [False, True])
async def test_a_login_that_comes_to_nothing_ends(
    world: MicroserviceWorld,
    session: SessionId,
    end: tuple[str, str],
    signal: type[Signal],
    silently: bool,
) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
        world.service.end(session, *end, silently=silently)
        await watched.wait_for(signal)


async def test_a_word_about_an_earlier_login_ends_nothing(
    world: MicroserviceWorld, session: SessionId
) -> None:
    old = {"reason": "logged_out", "willReconnect": False}
    async with opened(world.engine, session) as watched:
        code = (await watched.wait_for(QrCode)).code
        world.service.post(world.service.held(session), "webhook", event="connected", data={})
        world.service.post(world.service.held(session), "webhook", event="disconnected", data=old)
        await looked(world)
        await world.scan(session, code)
        await watched.wait_for(Connected)
        world.service.post(world.service.held(session), "webhook", event="disconnected", data=old)
        world.service.post(
            world.service.held(session), "webhook", event="qr", data={"code": "2@a,b,c,d"}
        )
        await looked(world)

        await watched.connection.send(HELLO)
        assert watched.all(LoggedOut) == []
        assert len(watched.all(QrCode)) == 1


async def test_a_phone_that_the_service_has_lost_is_asked_for_again(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    world.service.held(session).phone = None
    world.service.show_code(session)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
        assert watched.kinds == ["qr_code"]
        assert not world.engine.has_credentials(session)


async def test_a_service_that_starts_anew_is_told_of_the_session_again(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session) as watched:
        world.service.held(session).status = "DISCONNECTED"

        await watched.wait_for(Connected, count=2)
        assert watched.all(Disconnected)


async def test_a_message_is_taken_when_it_is_committed(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    posts = world.service.held(session).posts
    async with world.engine.open(session) as connection:
        signals = connection.signals()
        await world.write(session, "hold on")
        while not isinstance((await anext(signals))[-1], MessageReceived):
            pass
        await eventually(lambda: world.service.refused > 0, "it is told to come again")
        assert [word for word, _ in posts] == ["incoming"]

        following = asyncio.ensure_future(anext(signals))
        await eventually(lambda: not posts or following.done(), "it is taken, or comes once more")
        following.cancel()
        await asyncio.wait({following})


async def test_what_nobody_takes_does_not_pile_up(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    async with world.engine.open(session) as connection:
        await world.write(session, "one")
        await eventually(lambda: world.service.refused > 3, "it came again and again")
        seen: list[Signal] = []
        signals = connection.signals()
        while not any(isinstance(one, MessageReceived) for one in seen):
            seen += await anext(signals)
        assert len([one for one in seen if isinstance(one, MessageReceived)]) == 1


async def test_a_send_without_an_answer_is_uncertain_and_not_repeated(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session) as watched:
        world.service.hang.clear()
        with pytest.raises(SendUncertain):
            await watched.connection.send(HELLO)
        world.service.hang.set()
        await looked(world)
    assert [text for _, text in await world.received(session)] == ["hello"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, NotConnected),
        (404, NotConnected),
        (409, NotConnected),
        (422, SendFailed),
        (429, SendThrottled),
        (500, SendUncertain),
        (502, SendUncertain),
        (503, NotConnected),
    ],
)
async def test_a_refused_send_says_whether_it_was_certain(
    world: MicroserviceWorld, session: SessionId, status: int, error: type[SessionsError]
) -> None:
    async with linked(world, session) as watched:
        await looked(world)
        world.service.refuse_with = status
        with pytest.raises(SessionsError) as refusal:
            await watched.connection.send(HELLO)
        assert type(refusal.value) is error


async def test_a_service_in_trouble_is_a_lost_connection(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session) as watched:
        world.service.refuse_with = 502
        lost = await watched.wait_for(Disconnected)
        assert lost.reason == "keepalive_lost"
        with pytest.raises(NotConnected):
            await watched.connection.send(HELLO)

        world.service.refuse_with = None
        await watched.wait_for(Connected, count=2)
        await watched.connection.send(HELLO)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_service_that_will_not_lets_no_session_open(
    world: MicroserviceWorld, session: SessionId, status: int
) -> None:
    world.service.refuse_with = status
    with pytest.raises(EngineUnavailable):
        async with world.engine.open(session):
            pass
    world.service.refuse_with = None
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)


async def test_a_login_that_is_left_is_taken_back_and_a_linked_session_is_not(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
    assert world.service.calls.count("disconnect") == 1
    assert world.service.held(session).code is None

    async with linked(world, session):
        pass
    assert world.service.calls.count("disconnect") == 1
    assert world.service.held(session).status == "CONNECTED"


async def test_what_the_service_does_not_give_up_is_not_forgotten(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    world.service.refuse_with = 500
    with pytest.raises(EngineUnavailable):
        await world.engine.forget(session)
    assert world.engine.has_credentials(session)

    world.service.refuse_with = None
    await world.engine.forget(session)
    assert world.service.held(session).phone is None


async def test_a_message_for_a_session_that_is_not_open_is_to_come_again(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    await world.write(session, "while nobody was there")
    held = world.service.held(session)
    await eventually(lambda: world.service.refused > 0, "it is told to come again")
    assert held.posts
    async with opened(world.engine, session) as watched:
        message = (await watched.wait_for(MessageReceived)).message
        assert message.text == "while nobody was there"
        await eventually(lambda: not held.posts, "the service was told that it is taken")


def other_than_png(_: str) -> str:
    """Return a picture that is none."""
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nnothing").decode()


def raw(code: str) -> str:
    """Return the code as it is."""
    return code


@pytest.mark.parametrize(("picture", "shown"), [(raw, True), (other_than_png, False)])
async def test_only_what_can_be_read_is_shown(
    world: MicroserviceWorld,
    session: SessionId,
    caplog: pytest.LogCaptureFixture,
    picture: Callable[[str], str],
    shown: bool,
) -> None:
    world.service.picture = picture
    async with opened(world.engine, session) as watched:
        await looked(world)
        await eventually(
            lambda: bool(watched.all(QrCode)) or "no readable code" in caplog.text, "it was seen"
        )
        codes = [signal.code for signal in watched.all(QrCode)]
        assert codes == ([world.service.held(session).code] if shown else [])
    assert str(world.service.held(session).code) not in caplog.text


async def test_a_service_that_hides_its_phones_number_is_of_no_use(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        code = (await watched.wait_for(QrCode)).code
        world.service.scan(session, code, Phone("", ""), silently=True)
        ended = await watched.wait_for(EngineStopped)
        assert "phoneNumber" in ended.detail


async def test_batches_keep_a_final_signal_to_itself(
    world: MicroserviceWorld, session: SessionId
) -> None:
    async with linked(world, session):
        pass
    batches: list[Sequence[Signal]] = []
    async with world.engine.open(session) as connection:
        await world.write(session, "last words")
        world.service.end(session, "LOGGED_OUT", "logged_out")
        async with asyncio.timeout(10):
            async for batch in connection.signals():
                batches.append(batch)
    assert [type(one) for one in batches[-1]] == [LoggedOut]
    assert not world.service.held(session).posts
