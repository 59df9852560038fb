"""What every keeper of QR codes does, on each of them."""

from datetime import timedelta

from sessions.clock import SystemClock
from sessions.ids import SessionId, new_uuid
from sessions.qr_codes import CurrentQr
from tests.contracts.conftest import Codes
from tests.sessions.house import until


def showing(code: str, *, seconds: float = 60, attempt: int = 1) -> CurrentQr:
    """Return a code that can be scanned for so long."""
    return CurrentQr(
        code=code,
        pairing_code="ABCD-1234",
        attempt=attempt,
        max_attempts=3,
        expires_at=SystemClock().now() + timedelta(seconds=seconds),
    )


async def test_the_code_that_was_put_is_shown(codes: Codes, session: SessionId) -> None:
    qr = showing("2@one")
    await codes.owner.put(session, qr)

    assert await codes.other.get(session) == qr


async def test_there_is_none_before_the_first(codes: Codes, session: SessionId) -> None:
    assert await codes.other.get(session) is None


async def test_the_next_code_replaces_the_one_before(codes: Codes, session: SessionId) -> None:
    await codes.owner.put(session, showing("2@one", seconds=90))
    await codes.owner.put(session, showing("2@two", seconds=30, attempt=2))

    shown = await codes.other.get(session)
    assert shown is not None
    assert (shown.code, shown.attempt) == ("2@two", 2)


async def test_sessions_have_codes_of_their_own(codes: Codes, session: SessionId) -> None:
    another = SessionId(new_uuid())
    await codes.owner.put(session, showing("2@one"))
    await codes.owner.put(another, showing("2@two"))
    await codes.owner.remove(another)

    shown = await codes.other.get(session)
    assert shown is not None
    assert shown.code == "2@one"


async def test_a_code_is_gone_when_it_expires(codes: Codes, session: SessionId) -> None:
    await codes.owner.put(session, showing("2@one", seconds=0.3))
    assert await codes.other.get(session) is not None

    await until(lambda: codes.other.get(session), lambda shown: shown is None)


async def test_a_code_that_comes_too_late_is_not_shown(codes: Codes, session: SessionId) -> None:
    await codes.owner.put(session, showing("2@one"))
    await codes.owner.put(session, showing("2@two", seconds=-1))

    assert await codes.other.get(session) is None


async def test_a_removed_code_is_gone(codes: Codes, session: SessionId) -> None:
    await codes.owner.put(session, showing("2@one"))
    await codes.owner.remove(session)
    await codes.owner.remove(session)

    assert await codes.owner.get(session) is None
    assert await codes.other.get(session) is None
