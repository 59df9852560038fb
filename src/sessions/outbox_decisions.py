"""What a person may decide about a message that waits, or whose fate nobody knows."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from sessions.clock import to_ms
from sessions.errors import NotCancellable, NotUnknown
from sessions.messages import MessageStatus, Problem
from sessions.models import MessageRow
from sessions.outbox import move
from sessions.store import Unit

_GIVEN_UP = Problem(
    code="given_up", message="Its fate was unknown, and it was decided to count it as not sent."
)
_RESEND_LIFETIME = timedelta(hours=24)

Decision = Callable[[Unit, MessageRow], Awaitable[None]]


async def cancel(unit: Unit, row: MessageRow) -> None:
    """Cancel a message that nothing has been done about yet; again changes nothing.

    Raises:
        NotCancellable: it is being sent, or was.
    """
    if row.status == MessageStatus.CANCELLED:
        return
    if row.direction != "out" or row.status != MessageStatus.QUEUED:
        raise NotCancellable
    await move(unit, row, MessageStatus.CANCELLED, epoch=None)


async def resend(unit: Unit, row: MessageRow) -> None:
    """Queue a message again whose fate is unknown: its sender accepts that it may come twice.

    Raises:
        NotUnknown: its fate is known.
    """
    if row.status != MessageStatus.UNKNOWN:
        raise NotUnknown
    row.expires_at = to_ms(unit.clock.now() + _RESEND_LIFETIME)
    await move(unit, row, MessageStatus.QUEUED, epoch=None)


async def give_up(unit: Unit, row: MessageRow) -> None:
    """Call a message failed whose fate is unknown.

    Raises:
        NotUnknown: its fate is known.
    """
    if row.status != MessageStatus.UNKNOWN:
        raise NotUnknown
    await move(unit, row, MessageStatus.FAILED, error=_GIVEN_UP, epoch=None)
