"""Turns a connection's signals into records and events, a batch in one transaction."""

from collections.abc import Sequence
from typing import Any

from sessions import event_log, inbox, outbox, usage
from sessions.clock import to_ms
from sessions.endings import Ending, error_515
from sessions.events import EventType
from sessions.ids import SessionId, SessionName
from sessions.messages import LID_SERVER, MessageStatus, Sent, bare
from sessions.models import SessionRow
from sessions.session_table import change_status, claim, load
from sessions.signals import (
    Connected,
    Disconnected,
    HistoryReceived,
    KeepAliveRestored,
    MessageReceived,
    MessageUndecryptable,
    Paired,
    QrCode,
    Receipt,
    Signal,
)
from sessions.status import NEEDS_USER, REASONS, TRANSITIONS, Status, UserAction, action_for
from sessions.store import Unit

_EARLY_RECEIPTS = 1_000


class Recorder:
    """Writes for one session as its owner; every method is (part of) a unit of work.

    A unit may run again after a failed commit: nothing here is remembered but what may be
    remembered twice.
    """

    def __init__(self, session: SessionId, name: SessionName) -> None:
        self.session = session
        self.name = name
        self.epoch = 0
        """Which of the session's owners this is; 0 while it is none."""
        self._account: str | None = None
        self.comebacks = 0
        """How often the line was recorded as up: a loss from before the last of them is over."""
        self._early: dict[str, MessageStatus] = {}
        """Receipts that overtook the record of their message's acceptance."""

    async def claim(self, unit: Unit) -> bool:
        """Own the session for a new connection; tell whether a device is linked, as far as known.

        What an earlier owner left in flight becomes `unknown`.
        """
        self.epoch = 0
        epoch = await claim(unit, self.session)
        await outbox.own_up(unit, self.session, epoch=epoch)
        row = await load(unit.db, self.session)
        self._account = row.jid
        if row.status in NEEDS_USER:
            # The pause that WhatsApp had asked for is over.
            await change_status(unit, self.session, Status.CONNECTING, "activating", epoch=epoch)
        # Only now: a claim that failed is rolled back, and would look like another owner's.
        self.epoch = epoch
        return self._account is not None

    async def record(self, unit: Unit, signals: Sequence[Signal]) -> None:
        """Write down what a batch says; final signals are `conclude`'s."""
        received = 0
        for signal in signals:
            await self._record_line(unit, signal)
            received += await self._record_message(unit, signal)
        await usage.count(unit, self.session, received=received)

    async def _record_line(self, unit: Unit, signal: Signal) -> None:
        match signal:
            case Connected():
                await self._connected(unit, signal)
            case KeepAliveRestored():
                await self._up(unit)
            case Paired():
                await self._paired(unit, signal)
            case QrCode():
                await self._qr_ready(unit)

    async def _record_message(self, unit: Unit, signal: Signal) -> bool:
        """Tell whether it is a message that came in."""
        account, epoch = self._account, self.epoch
        match signal:
            case MessageReceived(message=message):
                return await inbox.record(
                    unit, self.session, self.name, message, account=account, epoch=epoch
                )
            case HistoryReceived(messages=messages):
                await inbox.import_history(unit, self.session, messages, account=account)
            case MessageUndecryptable():
                await self._undecryptable(unit, signal)
            case Receipt():
                await self._receipt(unit, signal)
        return False

    async def lost(self, unit: Unit, loss: Disconnected, comebacks: int) -> None:
        """Report a lost connection that the engine is trying to get back, unless it is back.

        `comebacks` is what was counted when it was lost: the word that it is up again may have been
        written while this one waited for its turn.
        """
        if comebacks != self.comebacks:
            return
        if (await load(unit.db, self.session)).status == Status.QR_READY:
            return  # Nothing was up: what it shows is a code.
        await self._disconnected(unit, loss.reason, REASONS[loss.reason].message, again=True)
        await self._change(unit, Status.RECONNECTING, loss.reason)

    async def enter_code(self, unit: Unit) -> None:
        """Say that the person has a code to type, beside the QR code, if that is still so."""
        if (await load(unit.db, self.session)).status != Status.QR_READY:
            return
        await self._change(unit, Status.QR_READY, "enter_code")

    async def error(self, unit: Unit, code: str | int, message: str, *, action: UserAction) -> None:
        """Report an error that changes no status."""
        body = {"error": {"code": code, "message": message}, "userAction": action}
        await self._append(unit, EventType.SESSION_ERROR, body)

    async def unrecordable(self, unit: Unit, kind: str) -> None:
        """Say that something came which the gateway could not record: no silent gap."""
        message = f"Something came from WhatsApp that could not be recorded ({kind}). Report it."
        await self.error(unit, "not_recorded", message, action=UserAction.NONE)

    async def sent(self, unit: Unit, message: str, sent: Sent) -> None:
        """Record WhatsApp's acceptance, and the receipt that came before it."""
        await outbox.record_sent(unit, message, sent, account=self._account, epoch=self.epoch)
        early = self._early.get(sent.whatsapp_id)
        if early is not None:
            await outbox.record_receipt(
                unit, self.session, sent.whatsapp_id, early, epoch=self.epoch
            )

    async def conclude(self, unit: Unit, ending: Ending) -> None:
        """Write down how a connection ended, with every event that says so."""
        await outbox.own_up(unit, self.session, epoch=self.epoch)
        row = await load(unit.db, self.session)
        again = ending.status is None
        if row.status in {Status.CONNECTED, Status.RECONNECTING}:
            await self._disconnected(unit, ending.reason, ending.message, again=again)
        if ending.credentials_gone or ending.auth_corrupted:
            row.jid = row.lid = row.push_name = None
        await self._change(unit, _status_of(ending, row), ending.reason, ending.detail)
        if ending.auth_corrupted:
            problem = {"code": ending.reason, "message": ending.message}
            await self._append(unit, EventType.SESSION_AUTH_CORRUPTED, {"error": problem})
        if ending.error_code == 515:
            await self._append(unit, EventType.SESSION_ERROR_515, error_515(ending))
        if ending.error_code is not None:
            said = f"515: {ending.message}" if ending.error_code == 515 else ending.message
            action = action_for(_status_of(ending, row), ending.reason)
            await self.error(unit, ending.error_code, said, action=action)

    async def show(self, unit: Unit, ending: Ending) -> None:
        """Show how a connection ended, where more could not be written; the next claim makes up."""
        row = await load(unit.db, self.session)
        await change_status(
            unit,
            self.session,
            _status_of(ending, row),
            ending.reason,
            detail=ending.detail,
            epoch=self.epoch or None,
        )

    async def _undecryptable(self, unit: Unit, signal: MessageUndecryptable) -> None:
        """Say once that a message is there which can't be read; it may still come, readable."""
        message = (
            f"A message in {signal.chat} can't be decrypted. WhatsApp was asked for it again; "
            "if it does not come, read it on the phone."
        )
        body = {
            "error": {"code": "message_undecryptable", "message": message},
            "userAction": UserAction.OPEN_PHONE,
            "whatsappId": signal.whatsapp_id,
        }
        await event_log.append(
            unit,
            self.session,
            EventType.SESSION_ERROR,
            body,
            dedupe_key=f"undecryptable|{signal.chat}|{signal.whatsapp_id}",
            epoch=self.epoch,
        )

    async def _receipt(self, unit: Unit, receipt: Receipt) -> None:
        for whatsapp_id in receipt.whatsapp_ids:
            known = await outbox.record_receipt(
                unit, self.session, whatsapp_id, receipt.status, epoch=self.epoch
            )
            if not known:
                self._early[whatsapp_id] = receipt.status
        while len(self._early) > _EARLY_RECEIPTS:
            del self._early[next(iter(self._early))]

    async def _connected(self, unit: Unit, signal: Connected) -> None:
        row = await load(unit.db, self.session)
        row.jid, row.lid = bare(signal.jid), _lid_jid(signal.lid) or row.lid
        row.push_name = signal.push_name or row.push_name
        self._account = row.jid
        row.phone_number = row.phone_number or f"+{signal.phone}"
        await unit.db.flush()
        # What waits was written for another account: it must not come from this one.
        await outbox.cancel_foreign(unit, self.session, account=row.jid, epoch=self.epoch)
        await self._up(unit)

    async def _up(self, unit: Unit) -> None:
        """Record that messages flow, with `session:connected` if they did not before."""
        self.comebacks += 1
        row = await load(unit.db, self.session)
        if row.status == Status.CONNECTED:
            return
        row = await self._change(unit, Status.CONNECTED, "connected")
        row.connected_at = to_ms(unit.clock.now())
        data = {
            "phoneNumber": f"+{(row.jid or '').partition('@')[0]}",
            "jid": row.jid,
            "lid": row.lid,
            "pushName": row.push_name,
        }
        await self._append(unit, EventType.SESSION_CONNECTED, data)

    async def _paired(self, unit: Unit, signal: Paired) -> None:
        row = await load(unit.db, self.session)
        row.jid, row.lid = bare(signal.jid), _lid_jid(signal.lid)
        await unit.db.flush()
        await self._change(unit, Status.CONNECTING, "pairing")

    async def _qr_ready(self, unit: Unit) -> None:
        row = await load(unit.db, self.session)
        if row.status == Status.QR_READY:
            return
        # Whoever has to scan is linked no more, however the credentials were lost.
        row.jid = row.lid = row.push_name = self._account = None
        await unit.db.flush()
        await self._change(unit, Status.QR_READY, "scan_qr")

    async def _disconnected(self, unit: Unit, reason: str, message: str, *, again: bool) -> None:
        row = await load(unit.db, self.session)
        if row.status != Status.CONNECTED and again:
            return
        data = {"reason": reason, "message": message, "willReconnect": again}
        await self._append(unit, EventType.SESSION_DISCONNECTED, data)

    async def _change(
        self, unit: Unit, status: Status, reason: str, detail: str | None = None
    ) -> SessionRow:
        return await change_status(
            unit, self.session, status, reason, detail=detail, epoch=self.epoch
        )

    async def _append(self, unit: Unit, type_: EventType, data: dict[str, Any]) -> None:
        await event_log.append(unit, self.session, type_, data, epoch=self.epoch)


def _lid_jid(lid: str | None) -> str | None:
    return lid if lid is None or "@" in lid else f"{lid}@{LID_SERVER}"


def _status_of(ending: Ending, row: SessionRow) -> Status:
    if ending.status is not None:
        return ending.status
    # Only what was up can come up again; the rest begins anew.
    is_back = row.jid is not None and Status.RECONNECTING in TRANSITIONS[Status(row.status)]
    return Status.RECONNECTING if is_back else Status.CONNECTING
