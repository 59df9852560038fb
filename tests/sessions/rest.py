"""Letting an installation come to rest, and what must be true of it then."""

import contextlib

from sessions.errors import QrNotAvailable
from sessions.ids import Cursor
from sessions.status import NEEDS_USER, Status
from tests.sessions.house import TENANT
from tests.sessions.installation import Installation
from tests.sessions.listeners import Listener
from tests.sessions.tracks import Track, check_inbound, check_outbound, while_unlinking

ROUNDS_TO_REST = 60
_EVERYTHING = 1_000_000
PHONES = {"one": "15550001111", "two": "15550002222"}


def come_to_rest(site: Installation) -> None:
    """End every fault, do what users would do, and wait until nothing moves any more.

    Raises:
        AssertionError: a session can't be led back to CONNECTED.
    """
    site.disk.failing = False
    site.bus.losing, site.bus.delay_seconds = 0, 0.0
    site.witness.answer_seconds = 0.0
    # Commands under way come to their ends first: a session may be CONNECTED until the last step
    # of the reset that unlinks it.
    site.run(60.0)
    for _ in range(ROUNDS_TO_REST):
        site.look()
        away = [name for name in site.names if not lead_home(site, name)]
        if not away:
            break
        site.run(10.0)
    else:
        query = "SELECT status, reason, is_active FROM sessions"
        raise AssertionError(f"no rest: {site.witness.rows(query)}")
    # Longer than a send that hangs, and than two looks into the outbox.
    site.run(100.0)
    site.look()
    site.listen()
    site.run(1.0)
    # The very last events are lost on the bus: only looking into the log finds them.
    site.bus.losing = _EVERYTHING
    for track in site.names.values():
        track.posted += site.engine.burst(track.session, 3)
    site.run(1.0)
    site.read()
    site.run(12.0)


def scan(site: Installation, name: str) -> None:
    """Scan what a session shows, if it shows something."""
    if track := site.names.get(name):
        with contextlib.suppress(QrNotAvailable):
            site.engine.scan(track.session, phone=PHONES[name])


def lead_home(site: Installation, name: str) -> bool:
    """Do what a user would do next; return whether the session is connected."""
    track = site.names[name]
    query = "SELECT status, is_active FROM sessions WHERE id = ?"
    status, active = site.witness.rows(query, track.session)[0]
    if status == Status.CONNECTED:
        return True
    if status == Status.QR_READY:
        scan(site, name)
    elif status in NEEDS_USER:
        site.spawn(_begin_again(site, track))
    elif not active:
        site.spawn(site.manager.activate(TENANT, track.session))
    return False


async def _begin_again(site: Installation, track: Track) -> None:
    await while_unlinking(track, site.manager.reset_auth(TENANT, track.session))
    await site.manager.activate(TENANT, track.session)


def check_rest(site: Installation) -> None:
    """Hold everything to what is true at rest.

    Raises:
        AssertionError: it is not.
    """
    for track in site.names.values():
        check_inbound(track, site.witness)
        check_outbound(track, site.witness)
    for listener in site.listeners:
        _check_listener(site, listener)


def _check_listener(site: Installation, listener: Listener) -> None:
    query = "SELECT seq, id FROM events WHERE session = ? ORDER BY seq"
    log = {int(str(seq)): id_ for seq, id_ in site.witness.rows(query, listener.key.session)}
    if not log:
        assert not listener.connected, "I3: listens to a session that is gone"
        return
    assert listener.connected, "I3: can't connect"
    assert listener.cursor is not None
    assert Cursor.parse(listener.cursor).seq == max(log), "I3: lags at rest"
    assert listener.heard.items() <= (listener.heard | log).items(), "I3: heard something else"
