"""Anything, in any order, at any moment: the invariants of the guarantees hold.

Hypothesis plays users, phones, WhatsApp, a weak bus, a bad disk and kills; every wait is virtual.
I1 what WhatsApp heard acknowledged is in the log once; I2 numbers have no holes; I3 whoever listens
hears the log from its cursor on, or is told; I6 each outgoing message has one honest end.
"""

import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sessions.engine_simulator_phone import ReceiptStatus
from sessions.engine_simulator_script import FaultKind
from sessions.errors import NotConnected, SessionExists, SessionNotActive, SessionsError
from sessions.ids import SessionName
from sessions.messages import MessageStatus, OutgoingText, Priority
from sessions.session import NewSession
from tests.sessions.house import TENANT
from tests.sessions.installation import Installation
from tests.sessions.rest import check_rest, come_to_rest, lead_home, scan
from tests.sessions.tracks import Track, while_unlinking

NAMES = st.sampled_from(["one", "two"])
PAUSES = st.one_of(
    st.integers(0, 150), st.sampled_from([0.01, 0.3, 3.0]), st.sampled_from([12.0, 40.0])
)
PICKS = st.integers(0, 7)
COMMANDS = st.sampled_from(["activate", "deactivate", "regenerate_qr", "reset_auth", "delete"])
FAULTS = st.one_of(
    st.sampled_from([FaultKind.SEND_HANG, FaultKind.ENGINE_CRASH, FaultKind.STREAM_LOST]),
    st.sampled_from(
        sorted(set(FaultKind) - {FaultKind.PAIRING_FAILED, FaultKind.PASSKEY_REQUIRED})
    ),
)
UNLINKING = {
    "reset_auth",
    "delete",
    FaultKind.LOGGED_OUT,
    FaultKind.UNAUTHORIZED,
    FaultKind.CORRUPTED,
}
RECEIPTS: st.SearchStrategy[ReceiptStatus] = st.sampled_from(
    [MessageStatus.DELIVERED, MessageStatus.READ, MessageStatus.PLAYED]
)
FRIEND = "447700900123@s.whatsapp.net"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Allow them: SQLite runs on the loop's own thread here, so that time can be virtual."""


@pytest.fixture
def silence() -> Iterator[None]:
    """Write no log: thousands of expected faults would each leave a stack trace."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Sessions(RuleBasedStateMachine):
    """Two sessions' lives."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Installation()
        self.texts = 0

    @initialize(connected=st.sampled_from([True, True, False]))
    def begin(self, connected: bool) -> None:
        """Start, mostly with both sessions connected."""
        self.site.start()
        if connected:
            for name in ("one", "two"):
                self.link(name, 1.0)

    @rule(name=NAMES, pause=PAUSES)
    def follow_the_instructions(self, name: str, pause: float) -> None:
        """A user does what the session's status asks for."""
        if self.site.up and name in self.site.names:
            lead_home(self.site, name)
        else:
            self.site.spawn(self._begin(name))
        self._pass(pause)

    @rule(name=NAMES, pause=PAUSES)
    def link(self, name: str, pause: float) -> None:
        """A user goes all the way to a connected session, unless something gets in between."""
        self.site.spawn(self._begin(name))
        self._pass(1.0)
        scan(self.site, name)
        self._pass(pause)

    @rule(name=NAMES, command=COMMANDS, pause=PAUSES)
    def command(self, name: str, command: str, pause: float) -> None:
        """Somebody does something else with a session."""
        if track := self.site.names.get(name):
            work: Coroutine[Any, Any, Any] = getattr(self.site.manager, command)(TENANT, name)
            self.site.spawn(while_unlinking(track, work) if command in UNLINKING else work)
        self._pass(pause)

    @rule(name=NAMES, count=st.sampled_from([1, 2, 5, 60]), pause=PAUSES)
    def write(self, name: str, count: int, pause: float) -> None:
        """Someone writes to the session's account."""
        if track := self.site.names.get(name):
            with contextlib.suppress(SessionNotActive):
                track.posted += self.site.engine.burst(track.session, count)
        self._pass(pause)

    @rule(name=NAMES, last=st.integers(1, 200), pause=PAUSES)
    def deliver_again(self, name: str, last: int, pause: float) -> None:
        """WhatsApp delivers the latest messages once more."""
        if track := self.site.names.get(name):
            with contextlib.suppress(SessionNotActive):
                for message in track.posted[track.doubtful :][-last:]:
                    self.site.engine.receive(track.session, message)
        self._pass(pause)

    @rule(
        name=NAMES,
        key=st.sampled_from([None, None, "a", "b"]),
        priority=st.sampled_from(Priority),
        count=st.sampled_from([1, 1, 3]),
        pause=PAUSES,
    )
    def send(
        self, name: str, key: str | None, priority: Priority, count: int, pause: float
    ) -> None:
        """Somebody sends texts; with a key, repeats are the same message."""
        if track := self.site.names.get(name):
            for _ in range(count):
                self.texts += 1
                text = f"text {self.texts}" if key is None else f"text of key {key}"
                self.site.spawn(self._send(track, text, key, priority))
        self._pass(pause)

    @rule(name=NAMES, pick=PICKS, pause=PAUSES)
    def cancel(self, name: str, pick: int, pause: float) -> None:
        """Somebody cancels what is queued, or was a moment ago."""
        waiting = self._outgoing(name, "sending", pick) or self._outgoing(name, "queued", pick)
        if message := waiting:
            self.site.spawn(self.site.manager.cancel(TENANT, name, message))
        self._pass(pause)

    @rule(name=NAMES, pick=PICKS, again=st.booleans(), pause=PAUSES)
    def decide(self, name: str, pick: int, again: bool, pause: float) -> None:
        """Somebody decides about a message whose fate is unknown."""
        if message := self._outgoing(name, "unknown", pick):
            self.site.names[name].resends[message] += again
            decision = self.site.manager.resolve(
                TENANT, name, message, "resend" if again else "failed"
            )
            self.site.spawn(decision)
        self._pass(pause)

    @rule(name=NAMES, last=st.integers(1, 4), status=RECEIPTS, pause=PAUSES)
    def confirm(self, name: str, last: int, status: ReceiptStatus, pause: float) -> None:
        """The other side confirms messages: late, twice, out of order, before we know their ids."""
        if track := self.site.names.get(name):
            ids = [sent.whatsapp_id for sent in self.site.engine.sent(track.session)[-last:]]
            with contextlib.suppress(SessionNotActive):
                self.site.engine.receipt(track.session, ids, status)
        self._pass(pause)

    @rule(name=NAMES, kind=FAULTS, seconds=st.sampled_from([0.5, 5.0, 30.0]), pause=PAUSES)
    def fail(self, name: str, kind: FaultKind, seconds: float, pause: float) -> None:
        """Something goes wrong at WhatsApp or in the engine."""
        if track := self.site.names.get(name):
            with contextlib.suppress(NotConnected):
                self.site.engine.fault(track.session, kind, seconds=seconds)
                if kind in UNLINKING:
                    # It may strike now, or only at the next connection.
                    track.unlinking += 1
        self._pass(pause)

    @rule(seconds=st.sampled_from([0.0, 0.02, 1.0, 15.0]), pause=PAUSES)
    def slow_the_answers(self, seconds: float, pause: float) -> None:
        """WhatsApp's answers to sends take so long from now on."""
        self.site.witness.answer_seconds = seconds
        self._pass(pause)

    @rule(
        lost=st.sampled_from([0, 1, 3, 10]),
        delay=st.sampled_from([0.0, 0.0, 0.2, 8.0]),
        pause=PAUSES,
    )
    def weaken_the_bus(self, lost: int, delay: float, pause: float) -> None:
        """The bus loses events, or is slow from now on."""
        if self.site.up:
            self.site.bus.losing, self.site.bus.delay_seconds = lost, delay
        self._pass(pause)

    @rule(name=NAMES, spared=st.integers(0, 30), seconds=st.sampled_from([0.2, 4.0]), pause=PAUSES)
    def spoil_the_disk(self, name: str, spared: int, seconds: float, pause: float) -> None:
        """The database fails for a while, from the so-manieth statement on, amid commands."""
        self.site.spoil(spared, seconds)
        for priority in Priority:
            self.send(name, None, priority, count=1, pause=2)
        self._pass(pause)

    @rule(dead=PAUSES, pause=PAUSES)
    def kill(self, dead: float, pause: float) -> None:
        """The gateway dies, and is started again."""
        self.site.kill()
        self._pass(dead)
        self.site.start()
        self._pass(pause)

    @rule(pause=PAUSES)
    def restart_in_order(self, pause: float) -> None:
        """The gateway is stopped in order and started again."""
        self.site.stop()
        self.site.look()
        self.site.start()
        self._pass(pause)

    @rule(pick=PICKS, away=PAUSES, pause=PAUSES)
    def come_again(self, pick: int, away: float, pause: float) -> None:
        """A listener loses its connection and comes back by its cursor."""
        if listeners := self.site.listeners:
            listener = listeners[pick % len(listeners)]
            self.site.loop.finish(self.site.door.hang_up(listener.sid))
            self.site.run(away)
        self._pass(pause)

    @rule(pause=PAUSES)
    def read(self, pause: float) -> None:
        """Who reads pages reads on."""
        self.site.read()
        self._pass(pause)

    @invariant()
    def holds(self) -> None:
        """What is true at every moment."""
        self.site.check()

    def teardown(self) -> None:
        """Let everything come to rest, and hold it to the rest of the promises."""
        try:
            if self.site.up:
                come_to_rest(self.site)
                self.site.check()
                check_rest(self.site)
        finally:
            self.site.close()

    async def _begin(self, name: str) -> None:
        with contextlib.suppress(SessionExists):
            await self.site.manager.create(TENANT, NewSession(session_id=SessionName(name)))
        await self.site.manager.activate(TENANT, name)

    async def _send(self, track: Track, text: str, key: str | None, priority: Priority) -> None:
        outgoing = OutgoingText(to=FRIEND, text=text)
        try:
            message = await self.site.manager.send(
                TENANT, track.session, outgoing, idempotency_key=key, priority=priority
            )
        except SessionsError:
            if key is None:
                track.refused.add(text)
            raise
        track.accepted.add(message.id)

    def _outgoing(self, name: str, status: str, pick: int) -> str | None:
        track = self.site.names.get(name)
        if track is None:
            return None
        query = "SELECT id FROM messages WHERE session = ? AND status = ? ORDER BY position"
        rows = self.site.witness.rows(query, track.session, status)
        return str(rows[pick % len(rows)][0]) if rows else None

    def _pass(self, pause: float) -> None:
        self.site.look()
        self.site.listen()
        self.site.run(pause)
        self.site.look()


def _play(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("silence")
def test_whatever_happens_nothing_is_lost_repeated_or_left_unsaid() -> None:
    _play(examples=40, steps=25)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("silence")
def test_whatever_happens_for_long_nothing_is_lost_repeated_or_left_unsaid() -> None:
    _play(examples=100, steps=60)
