"""What a test has done to each session, and what must have become of it when all is quiet."""

from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from sessions.ids import SessionId
from sessions.messages import RECEIPT_RANK, EngineMessage, MessageStatus
from tests.sessions.witness import Witness

_SENT = {"sent", "delivered", "read", "played"}
_ENDED = _SENT | {"failed", "expired", "cancelled", "unknown"}


@dataclass
class Track:
    """One session's history as the test made it."""

    session: SessionId
    posted: list[EngineMessage] = field(default_factory=list)
    """What others wrote to it, in order."""
    doubtful: int = 0
    """So many of the first of these may be gone: their device was unlinked."""
    unlinking: int = 0
    """Commands and faults under way that unlink the device."""
    accepted: set[str] = field(default_factory=set)
    """Ids of outgoing messages of which the gateway said that they are kept."""
    refused: set[str] = field(default_factory=set)
    """Texts of which it said that they are not."""
    resends: Counter[str] = field(default_factory=Counter)
    """By message id: how often somebody asked for an uncertain message to be sent again."""

    def unlinked(self) -> None:
        """Note that what WhatsApp kept for the device may be gone."""
        self.doubtful = len(self.posted)


def check_inbound(track: Track, witness: Witness) -> None:
    """Hold a quiet, connected session to I1: everything that was written is there, once, in order.

    Raises:
        AssertionError: it is not.
    """
    query = (
        "SELECT whatsapp_id FROM messages WHERE session = ? AND direction = 'in' ORDER BY position"
    )
    kept = [row[0] for row in witness.rows(query, track.session)]
    assert len(kept) == len(set(kept)), "I1: a message is there twice"
    certain = [message.whatsapp_id for message in track.posted[track.doubtful :]]
    wanted = set(certain)
    assert [found for found in kept if found in wanted] == certain, "I1: lost or out of order"


def check_outbound(track: Track, witness: Witness) -> None:
    """Hold a quiet, connected session to I6: each message has come to an end, and an honest one.

    Raises:
        AssertionError: one has not.
    """
    rows = witness.rows(
        "SELECT id, text, status FROM messages WHERE session = ? AND direction = 'out' "
        "ORDER BY urgent DESC, position",
        track.session,
    )
    assert track.accepted <= {row[0] for row in rows}, "I6: an accepted message is gone"
    arrived = witness.arrived[track.session]
    for message, text, status in rows:
        _check_one(track, witness, str(message), str(status), arrived.count(str(text)))
    assert not track.refused & set(arrived), "I6: a refused message was sent"
    if not track.resends:
        _check_order(witness, track.session, arrived)


def _check_one(track: Track, witness: Witness, message: str, status: str, arrivals: int) -> None:
    steps = [
        str(row[0])
        for row in witness.rows(
            "SELECT status FROM message_statuses WHERE message = ? ORDER BY position", message
        )
    ]
    told = f"{steps}, arrived {arrivals} times"
    assert status in _ENDED, f"I6: no end: {told}"
    assert arrivals <= 1 + track.resends[message], f"I6: sent more than once: {told}"
    assert arrivals or status not in _SENT, f"I6: said to be sent: {told}"
    honest = not arrivals or status in _SENT or "unknown" in steps
    assert honest, f"I6: sent, and said not to be: {told}"
    ranks = [RECEIPT_RANK[MessageStatus(step)] for step in steps if step in _SENT]
    if not track.resends[message]:
        assert ranks == sorted(set(ranks)), f"a receipt moved a message down: {told}"


def _check_order(witness: Witness, session: SessionId, arrived: list[str]) -> None:
    for urgent in (0, 1):
        query = "SELECT text FROM messages WHERE session = ? AND urgent = ? ORDER BY position"
        lane = [str(row[0]) for row in witness.rows(query, session, urgent)]
        in_lane = [text for text in arrived if text in set(lane)]
        assert in_lane == sorted(in_lane, key=lane.index), "I6: sent out of order"


async def while_unlinking(track: Track, command: Coroutine[Any, Any, Any]) -> None:
    """Carry out a command that unlinks the session's device."""
    track.unlinking += 1
    track.unlinked()
    try:
        await command
    finally:
        track.unlinking -= 1
        track.unlinked()
