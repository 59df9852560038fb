"""Whatever WhatsApp does to a line, the session's status says so, why, and what can be done."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sessions.events import EventType
from sessions.messages import MessageStatus
from sessions.status import Status, UserAction
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.loopback_whatsapp.views import AccountState
from tests.sessions.engine_neonize.domain import NAME, PATIENT, Domain, running_domain
from tests.sessions.engine_neonize.watching import ALICE, BOB, Bench, running
from tests.sessions.house import TENANT, until


@pytest.fixture
async def domain(bench: Bench, tmp_path: Path) -> AsyncIterator[Domain]:
    """Run a manager that tries again soon."""
    async with running_domain(bench, tmp_path) as domain:
        yield domain


def refused(reason: int, *, times: int = 1) -> dict[str, Any]:
    """Return the fault of logins that are refused with a code."""
    return {"kind": "login_failure", "reason": reason, "times": times, "phone": ALICE}


LOST = {"kind": "drop", "phone": ALICE}
GONE = (Status.LOGGED_OUT, "logged_out", UserAction.RELOGIN)
ENDS: dict[str, tuple[list[dict[str, Any]], tuple[Status, str, UserAction]]] = {
    "removed on the phone": ([{"kind": "kick", "phone": ALICE}], GONE),
    "401": ([refused(401), LOST], GONE),
    "403": ([refused(403), LOST], GONE),
    "406": ([refused(406), LOST], GONE),
    "402": (
        [{"kind": "temporary_ban", "phone": ALICE, "code": 104}, LOST],
        (Status.FAILED, "temporary_ban", UserAction.WAIT),
    ),
    "405": ([refused(405), LOST], (Status.FAILED, "client_outdated", UserAction.UPGRADE)),
    "400, again and again": (
        [refused(400, times=10), LOST],
        (Status.FAILED, "connect_failed", UserAction.RELOGIN),
    ),
    "409, again and again": (
        [refused(409, times=10), LOST],
        (Status.FAILED, "connect_failed", UserAction.RELOGIN),
    ),
}


@pytest.mark.parametrize("end", list(ENDS))
async def test_what_ends_a_session_is_its_status(domain: Domain, end: str) -> None:
    faults, expected = ENDS[end]
    await domain.connect()
    for fault in faults:
        await domain.whatsapp.fault(**fault)

    session = await domain.is_in(expected[0])

    assert (session.status, session.reason, session.user_action) == expected
    assert await domain.whatsapp.connections() == 0
    (lost, *_) = await domain.told(EventType.SESSION_DISCONNECTED)
    assert lost.data["message"]


PASSING = {
    "a broken connection": [LOST],
    "500": [refused(500), LOST],
    "503": [refused(503), LOST],
    "409 once": [refused(409), LOST],
    "stream error 515": [{"kind": "stream_error", "phone": ALICE, "code": 515}],
    "stream error 503": [{"kind": "stream_error", "phone": ALICE, "code": 503}],
    "an unknown stream error": [{"kind": "stream_error", "phone": ALICE, "code": 516}],
}


@pytest.mark.parametrize("fault", list(PASSING))
async def test_what_passes_needs_nobody(domain: Domain, fault: str) -> None:
    await domain.connect()
    logins = (await domain.whatsapp.account(ALICE)).companions[0].logins
    for one in PASSING[fault]:
        await domain.whatsapp.fault(**one)

    await domain.whatsapp.wait_until(ALICE, has_logged_in(logins + 1), 30)
    await domain.is_in(Status.CONNECTED)

    await domain.becomes(await domain.send("after it"), MessageStatus.DELIVERED)
    assert await domain.events(EventType.SESSION_AUTH_CORRUPTED) == []


async def test_a_message_on_its_way_as_the_line_ends_is_unknown_and_the_session_goes_on(
    domain: Domain,
) -> None:
    await domain.connect()
    await domain.whatsapp.fault("slow_acks", seconds=60)
    message = await domain.send("did it go?")
    await domain.whatsapp.wait_until_received(BOB, "did it go?")
    await domain.whatsapp.fault("stream_error", phone=ALICE, code=516)

    await domain.becomes(message, MessageStatus.UNKNOWN)

    await domain.whatsapp.fault("clear")
    await domain.is_in(Status.CONNECTED)
    await domain.becomes(await domain.send("this one goes"), MessageStatus.DELIVERED)


async def test_what_is_over_within_two_seconds_is_not_told(domain: Domain) -> None:
    await domain.connect()
    logins = (await domain.whatsapp.account(ALICE)).companions[0].logins
    await domain.whatsapp.drop(ALICE)
    await domain.whatsapp.wait_until(ALICE, has_logged_in(logins + 1), 30)
    await domain.becomes(await domain.send("back"), MessageStatus.DELIVERED)

    assert await domain.events(EventType.SESSION_DISCONNECTED) == []


async def test_a_long_loss_is_told_and_so_is_its_end(domain: Domain) -> None:
    await domain.connect()
    await domain.whatsapp.fault("refuse_connections", seconds=4)
    await domain.whatsapp.drop(ALICE)

    session = await domain.is_in(Status.RECONNECTING)
    assert (session.reason, session.user_action) == ("stream_lost", UserAction.WAIT)

    await domain.is_in(Status.CONNECTED)
    (lost,) = await domain.told(EventType.SESSION_DISCONNECTED)
    assert (lost.data["reason"], lost.data["willReconnect"]) == ("stream_lost", True)
    await domain.told(EventType.SESSION_CONNECTED, count=2)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_whatsapp_that_does_not_answer_is_told_and_so_is_its_return(
    whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    async with (
        running(tmp_path / "engine", whatsapp, settle_seconds=0.2) as bench,
        running_domain(bench, tmp_path) as domain,
    ):
        await domain.connect()
        # The silence is that of one connection: the one after the session's last move.
        await whatsapp.wait_until(ALICE, has_logged_in(2))
        await whatsapp.silence(120, ALICE)

        # The library asks every 20 to 30 s, and waits 10 s for an answer.
        session = await domain.is_in(Status.RECONNECTING)
        assert (session.reason, session.user_action) == ("keepalive_lost", UserAction.WAIT)

        await whatsapp.fault("clear")
        await domain.is_in(Status.CONNECTED)
        await domain.becomes(await domain.send("there you are"), MessageStatus.DELIVERED)
        assert (await whatsapp.account(ALICE)).companions[0].logins == 2


async def test_another_program_with_these_credentials_is_a_conflict(domain: Domain) -> None:
    await domain.connect()
    for taken in range(PATIENT.replaced_limit):
        await domain.whatsapp.wait_until(ALICE, has_logged_in(taken + 1), 30)
        await domain.whatsapp.wait_until_online(ALICE)
        replaced = [{"tag": "conflict", "attrs": {"type": "replaced"}}]
        await domain.whatsapp.send_stanza(ALICE, "stream:error", replaced)
        await domain.whatsapp.wait_until_offline(ALICE)

    session = await domain.is_in(Status.CONFLICT)

    assert (session.reason, session.user_action) == ("stream_replaced", UserAction.RELOGIN)


async def test_a_message_that_can_not_be_read_is_told_and_comes_in_the_end(
    domain: Domain,
) -> None:
    await domain.connect()
    await domain.whatsapp.fault("spoil_messages", phone=BOB)
    whatsapp_id = await domain.whatsapp.send_text(sender=BOB, to=ALICE, text="a secret")

    (error,) = await domain.told(EventType.SESSION_ERROR)
    (message,) = await domain.told(EventType.SESSION_MESSAGE)

    assert error.data["error"]["code"] == "message_undecryptable"
    assert (error.data["whatsappId"], error.data["userAction"]) == (whatsapp_id, "open_phone")
    assert message.data["message"]["message"] == "a secret"


@pytest.mark.parametrize(
    ("code", "problem"), [(463, "reach_out_locked"), (479, "send_failed"), (403, "send_failed")]
)
async def test_a_message_that_whatsapp_refuses_has_failed_and_says_why(
    domain: Domain, code: int, problem: str
) -> None:
    await domain.connect()
    await domain.whatsapp.reject_next_message(code, phone=ALICE)

    message = await domain.becomes(await domain.send("to a stranger"), MessageStatus.FAILED)

    assert message.error is not None
    assert message.error.code == problem
    await domain.becomes(await domain.send("to a friend"), MessageStatus.DELIVERED)
    assert [one.text for one in await domain.whatsapp.received(BOB)] == ["to a friend"]


@pytest.mark.parametrize("code", [429, 503])
async def test_a_message_that_whatsapp_takes_later_is_sent_once(domain: Domain, code: int) -> None:
    await domain.connect()
    await domain.whatsapp.reject_next_message(code, phone=ALICE)

    await domain.becomes(await domain.send("a little later"), MessageStatus.DELIVERED)

    assert [one.text for one in await domain.whatsapp.received(BOB)] == ["a little later"]


async def test_a_message_that_whatsapp_stumbled_over_is_unknown(domain: Domain) -> None:
    await domain.connect()
    await domain.whatsapp.reject_next_message(500, phone=ALICE)

    await domain.becomes(await domain.send("did it go?"), MessageStatus.UNKNOWN)


@pytest.mark.parametrize(
    ("reason", "expected", "action"),
    [
        (405, "client_outdated", UserAction.UPGRADE),
        (403, "pairing_failed", UserAction.RELOGIN),
        (409, "pairing_failed", UserAction.RELOGIN),
    ],
)
async def test_a_refusal_before_any_code_is_told(
    domain: Domain, reason: int, expected: str, action: UserAction
) -> None:
    await domain.whatsapp.fault("pairing_failure", reason=reason)
    await domain.activate()

    session = await domain.is_in(Status.FAILED)

    assert (session.reason, session.user_action) == (expected, action)
    assert await domain.whatsapp.connections() == 0


@pytest.mark.parametrize("trouble", ["503", "a broken connection"])
async def test_a_connection_that_is_lost_before_the_scan_uses_up_no_attempt(
    domain: Domain, trouble: str
) -> None:
    if trouble == "503":
        await domain.whatsapp.fault("pairing_failure", reason=503)
    await domain.activate()
    await domain.is_in(Status.QR_READY)
    if trouble == "a broken connection":
        shown = (await domain.manager.qr(TENANT, NAME)).code
        await domain.whatsapp.drop()
        await until(domain.code, lambda code: code not in {None, shown})

    assert (await domain.manager.qr(TENANT, NAME)).attempt == 0
    await domain.scan()
    await domain.is_in(Status.CONNECTED)


def has_logged_in(times: int) -> Callable[[AccountState], bool]:
    """Return the test whether the account's device has logged in so often."""
    return lambda account: account.companions[0].logins >= times
