"""Every event of the neonize library, as a signal or ignored on purpose.

A `Translator` belongs to one line and is called by one thread, in WhatsApp's order. It calls
nothing of the library; what it must look up it asks of its `Directory`. The history, which is many
signals, is `engine_neonize_history`'s.
"""

import logging
from collections.abc import Callable
from typing import Any

from neonize import events

from sessions import engine_neonize_endings, signals
from sessions.engine_neonize_directory import Directory
from sessions.engine_neonize_messages import milliseconds, read_content
from sessions.messages import (
    GROUP_SERVER,
    LID_SERVER,
    PHONE_SERVER,
    EngineMessage,
    MessageStatus,
)

_log = logging.getLogger(__name__)


class Translator:
    """Turns one line's events into signals; remembers only what decides between two words."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._online = False
        self._offline_told = False
        self._keepalive_lost = False
        self._pairing = False

    def translate(self, event: Any) -> signals.Signal | None:
        """Return the event's signal, None when it is ignored on purpose."""
        translation = TRANSLATED.get(type(event))
        try:
            return translation(self, event) if translation else None
        except ValueError:
            # Raised further, the library would print it and the message be gone without a trace.
            _log.exception("%s has an unexpected form", type(event).__name__)
            return _unreadable(event)

    def connected(self, _: Any) -> signals.Signal:
        self._online, self._pairing = True, False
        self._offline_told = self._keepalive_lost = False
        account = self._directory.account()
        return signals.Connected(
            jid=f"{account.phone}@{PHONE_SERVER}",
            phone=account.phone,
            lid=account.lid,
            push_name=account.push_name,
        )

    def disconnected(self, _: Any) -> signals.Signal | None:
        # The library tells each failed attempt to come back; right after pairing, WhatsApp itself
        # asks for a restart of the stream. Neither is news.
        if self._offline_told or self._pairing:
            return None
        reason = "stream_lost" if self._online else "connect_failed"
        self._online, self._offline_told = False, True
        return signals.Disconnected(reason=reason)

    def keepalive_timeout(self, _: Any) -> signals.Signal | None:
        if self._keepalive_lost or not self._online:
            return None
        self._keepalive_lost = True
        return signals.Disconnected(reason="keepalive_lost")

    def keepalive_restored(self, _: Any) -> signals.Signal | None:
        if not self._keepalive_lost:
            return None
        self._keepalive_lost = False
        return signals.KeepAliveRestored()

    def pair_status(self, event: Any) -> signals.Signal:
        if event.Status != event.SUCCESS:
            return signals.PairingFailed(detail=event.Error)
        self._pairing = True
        jid = f"{event.ID.User}@{event.ID.Server}"
        return signals.Paired(jid=jid, platform=event.Platform or None)

    def message(self, event: Any) -> signals.Signal | None:
        info, source = event.Info, event.Info.MessageSource
        if info.Category == "peer" or source.Chat.Server not in _CHATS:
            return None
        content = read_content(event.Message)
        if content is None:
            return None
        phone, lid = self._other_side(source)
        return signals.MessageReceived(
            message=EngineMessage(
                whatsapp_id=info.ID,
                chat=self._chat(source),
                sender=self._name(source.Sender, source.SenderAlt),
                phone=phone,
                lid=lid,
                from_me=source.IsFromMe,
                is_group=source.Chat.Server == GROUP_SERVER,
                push_name=info.Pushname or None,
                type=content.type,
                text=content.text,
                media=content.media,
                quoted_message_id=content.quoted,
                timestamp_ms=milliseconds(info.Timestamp),
            )
        )

    def undecryptable(self, event: Any) -> signals.Signal | None:
        source = event.Info.MessageSource
        if event.Info.Category == "peer" or source.Chat.Server not in _CHATS:
            return None
        return signals.MessageUndecryptable(whatsapp_id=event.Info.ID, chat=self._chat(source))

    def receipt(self, event: Any) -> signals.Signal | None:
        status = _RECEIPTS.get(event.Type)
        source = event.MessageSource
        if status is None or source.IsFromMe or source.Chat.Server not in _CHATS:
            return None
        return signals.Receipt(
            whatsapp_ids=tuple(event.MessageIDs),
            chat=self._chat(source),
            status=status,
            timestamp_ms=milliseconds(event.Timestamp),
        )

    def _chat(self, source: Any) -> str:
        if source.Chat.Server == GROUP_SERVER:
            return f"{source.Chat.User}@{GROUP_SERVER}"
        alternative = source.RecipientAlt if source.IsFromMe else source.SenderAlt
        return self._name(source.Chat, alternative)

    def _name(self, jid: Any, alternative: Any) -> str:
        phone, _ = self._names(jid, alternative)
        return f"{phone}@{PHONE_SERVER}" if phone else f"{jid.User}@{jid.Server}"

    def _other_side(self, source: Any) -> tuple[str | None, str | None]:
        if not source.IsFromMe:
            return self._names(source.Sender, source.SenderAlt)
        if source.Chat.Server == GROUP_SERVER:
            return None, None
        return self._names(source.Chat, source.RecipientAlt)

    def _names(self, jid: Any, alternative: Any) -> tuple[str | None, str | None]:
        """Return the phone number and the LID user of the one whom the two JIDs name."""
        known = {name.Server: name.User for name in (alternative, jid) if name.User}
        phone, lid = known.get(PHONE_SERVER), known.get(LID_SERVER)
        if phone is None and lid is not None:
            phone = self._directory.phone_of(lid)
        return phone, lid


def _unreadable(event: Any) -> signals.Signal | None:
    if not isinstance(event, events.MessageEv):
        return None
    chat = event.Info.MessageSource.Chat
    return signals.MessageUndecryptable(
        whatsapp_id=event.Info.ID, chat=f"{chat.User}@{chat.Server}"
    )


_CHATS = frozenset({PHONE_SERVER, LID_SERVER, GROUP_SERVER})
"""Servers of chats; status updates, broadcast lists and newsletters are none."""

_RECEIPTS: dict[int, Any] = {
    events.ReceiptEv.DELIVERED: MessageStatus.DELIVERED,
    events.ReceiptEv.READ: MessageStatus.READ,
    events.ReceiptEv.PLAYED: MessageStatus.PLAYED,
}

TRANSLATED: dict[type, Callable[[Translator, Any], signals.Signal | None]] = {
    events.PairStatusEv: Translator.pair_status,
    events.ConnectedEv: Translator.connected,
    events.DisconnectedEv: Translator.disconnected,
    events.KeepAliveTimeoutEv: Translator.keepalive_timeout,
    events.KeepAliveRestoredEv: Translator.keepalive_restored,
    events.LoggedOutEv: engine_neonize_endings.logged_out,
    events.StreamReplacedEv: engine_neonize_endings.stream_replaced,
    events.TemporaryBanEv: engine_neonize_endings.temporary_ban,
    events.ConnectFailureEv: engine_neonize_endings.connect_failure,
    events.ClientOutdatedEv: engine_neonize_endings.client_outdated,
    events.StreamErrorEv: engine_neonize_endings.stream_error,
    events.MessageEv: Translator.message,
    events.UndecryptableMessageEv: Translator.undecryptable,
    events.ReceiptEv: Translator.receipt,
}

HANDLED_APART = frozenset({events.HistorySyncEv})
"""Becomes many signals, which are handed over beside the news."""

_PRESENCE = "who is online or typing: not offered yet, and told by WhatsApp on demand only"
_GROUPS = "groups, contacts and settings are not offered yet"
_NEWSLETTERS = "newsletters are not chats of the account"
_CALLS = "calls are not offered"
_SYNCING = "progress of a synchronisation that nobody waits for"

IGNORED: dict[type, str] = {
    events.Device: "internal: the library keeps its own device by it",
    events.QREv: "comes only after the login; codes come by the QR callback",
    events.RotateADVSecretEv: "the library handles it; a later pairing uses the new secret",
    events.IdentityChangeEv: "a contact has a new phone; the library renews its keys by itself",
    events.OfflineSyncPreviewEv: _SYNCING,
    events.OfflineSyncCompletedEv: _SYNCING,
    events.ChatPresenceEv: _PRESENCE,
    events.PresenceEv: _PRESENCE,
    events.JoinedGroupEv: _GROUPS,
    events.GroupInfoEv: _GROUPS,
    events.PictureEv: _GROUPS,
    events.PrivacySettingsEv: _GROUPS,
    events.BlocklistEv: _GROUPS,
    events.BlocklistChangeEv: _GROUPS,
    events.NewsLetterMessageMetaEv: _NEWSLETTERS,
    events.NewsletterJoinEv: _NEWSLETTERS,
    events.NewsletterLeaveEv: _NEWSLETTERS,
    events.NewsletterMuteChangeEv: _NEWSLETTERS,
    events.NewsletterLiveUpdateEV: _NEWSLETTERS,
    events.CallOfferEv: _CALLS,
    events.CallAcceptEv: _CALLS,
    events.CallPreAcceptEv: _CALLS,
    events.CallTransportEv: _CALLS,
    events.CallOfferNoticeEv: _CALLS,
    events.CallRelayLatencyEV: _CALLS,
    events.CallTerminateEv: _CALLS,
    events.UnknownCallEventEV: _CALLS,
}
"""Event classes that become no signal, each with the reason."""
