"""Nothing of the library is forgotten: every event and every error has its word or its reason."""

import inspect
from typing import Any

import pytest

from sessions.engine_neonize_directory import Account
from sessions.engine_neonize_endings import login_end
from sessions.messages import Media, MessageStatus
from sessions.signals import (
    Connected,
    ConnectFailed,
    Disconnected,
    KeepAliveRestored,
    LoggedOut,
    MessageReceived,
    MessageUndecryptable,
    PairingFailed,
    Receipt,
    TemporaryBan,
)
from tests.sessions.engine_neonize.library import load

LID, PHONE = "9321009007744", "447700900123"


class Names:
    """The directory of a client that knows one contact."""

    def __init__(self) -> None:
        self.account_ = Account("15550001111", "911", "Alice")

    def account(self) -> Account:
        return self.account_

    def phone_of(self, lid: str) -> str | None:
        return {LID: PHONE}.get(lid)


@pytest.fixture
def translator() -> Any:
    return load("sessions.engine_neonize_events").Translator(Names())


@pytest.fixture
def events() -> Any:
    return load("neonize.events")


def test_every_event_is_translated_or_ignored_with_a_reason(events: Any) -> None:
    translation = load("sessions.engine_neonize_events")
    translated, ignored = set(translation.TRANSLATED), set(translation.IGNORED)

    apart = set(translation.HANDLED_APART)

    assert translated | ignored | apart == set(events.EVENT_TO_INT)
    assert len(translated) + len(ignored) + len(apart) == len(events.EVENT_TO_INT)
    assert all(len(reason) > 10 for reason in translation.IGNORED.values())


def test_every_error_is_handled_or_can_not_come_with_a_reason() -> None:
    errors = load("neonize.exc")
    handling = load("sessions.engine_neonize_errors")
    known = {one for _, one in inspect.getmembers(errors, inspect.isclass)}

    assert set(handling.HANDLED) | set(handling.UNREACHED) == known
    assert not set(handling.HANDLED) & set(handling.UNREACHED)
    assert all(len(reason) > 10 for reason in handling.UNREACHED.values())


def test_a_lost_keepalive_is_told_once_and_so_is_its_return(events: Any, translator: Any) -> None:
    translator.translate(events.ConnectedEv(status=True))
    timeout = events.KeepAliveTimeoutEv(ErrorCount=1, LastSuccess=0)

    told = [
        translator.translate(event)
        for event in (timeout, timeout, events.KeepAliveRestoredEv(), events.KeepAliveRestoredEv())
    ]

    assert told == [Disconnected(reason="keepalive_lost"), None, KeepAliveRestored(), None]


def test_attempts_to_come_back_are_not_told(events: Any, translator: Any) -> None:
    lost, back = events.DisconnectedEv(status=True), events.ConnectedEv(status=True)

    told = [translator.translate(event) for event in (back, lost, lost, lost, back, lost)]

    kinds = [signal.kind if signal else None for signal in told]
    assert kinds == ["connected", "disconnected", None, None, "connected", "disconnected"]


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        ("timeout", "qr_exhausted", None),
        ("passkey-request", "pairing_failed", "passkey_required"),
        ("err-client-outdated", "pairing_failed", "client_outdated"),
        ("err-unexpected-state", "pairing_failed", "pairing_failed"),
    ],
)
def test_how_the_showing_of_codes_ends(status: str, kind: str, reason: str | None) -> None:
    signal = login_end(status, shown_seconds=20.1)

    assert (signal.kind, getattr(signal, "reason", None)) == (kind, reason)


@pytest.mark.parametrize("shown_seconds", [0.0, 3.5, 18.5])
def test_a_connection_that_breaks_uses_up_no_code(shown_seconds: float) -> None:
    assert isinstance(login_end("timeout", shown_seconds=shown_seconds), ConnectFailed)


def test_connected_names_the_account(events: Any, translator: Any) -> None:
    assert translator.translate(events.ConnectedEv(status=True)) == Connected(
        jid="15550001111@s.whatsapp.net", phone="15550001111", lid="911", push_name="Alice"
    )


@pytest.mark.parametrize(
    ("reason", "code", "by_phone"), [(2, 401, True), (4, 403, False), (5, 406, False)]
)
def test_a_logout_tells_who_did_it(
    events: Any, translator: Any, reason: int, code: int, by_phone: bool
) -> None:
    signal = translator.translate(events.LoggedOutEv(OnConnect=True, Reason=reason))

    assert signal == LoggedOut(code=code, by_phone=by_phone)


def test_a_ban_without_an_end_has_none(events: Any, translator: Any) -> None:
    signal = translator.translate(events.TemporaryBanEv(Code=5, Expire=0))

    assert signal == TemporaryBan(code=106, until_ms=None)


def test_an_unknown_stream_error_tells_its_code(events: Any, translator: Any) -> None:
    signal = translator.translate(events.StreamErrorEv(Code="516"))

    assert isinstance(signal, ConnectFailed)
    assert signal.code == 516


def test_a_failed_pairing_tells_why(events: Any, translator: Any) -> None:
    event = events.PairStatusEv(Status=1, Error="signature mismatch")

    assert translator.translate(event) == PairingFailed(detail="signature mismatch")


@pytest.mark.parametrize(
    ("type_", "status"),
    [(1, MessageStatus.DELIVERED), (4, MessageStatus.READ), (6, MessageStatus.PLAYED)],
)
def test_receipts_of_others_are_told(
    events: Any, translator: Any, type_: int, status: MessageStatus
) -> None:
    event = events.ReceiptEv(MessageIDs=["A", "B"], Timestamp=1_700_000_000, Type=type_)
    event.MessageSource.CopyFrom(source(events))

    assert translator.translate(event) == Receipt(
        whatsapp_ids=("A", "B"),
        chat=f"{PHONE}@s.whatsapp.net",
        status=status,
        timestamp_ms=1_700_000_000_000,
    )


@pytest.mark.parametrize("type_", [2, 3, 5, 7, 8, 9, 10, 11])
def test_other_receipts_are_not_told(events: Any, translator: Any, type_: int) -> None:
    event = events.ReceiptEv(MessageIDs=["A"], Timestamp=1, Type=type_)
    event.MessageSource.CopyFrom(source(events))

    assert translator.translate(event) is None


def test_reading_on_the_own_phone_is_no_receipt(events: Any, translator: Any) -> None:
    event = events.ReceiptEv(MessageIDs=["A"], Timestamp=1, Type=4)
    event.MessageSource.CopyFrom(source(events, IsFromMe=True))

    assert translator.translate(event) is None


def test_an_undecryptable_message_is_told(events: Any, translator: Any) -> None:
    event = events.UndecryptableMessageEv()
    event.Info.ID = "A"
    event.Info.MessageSource.CopyFrom(source(events))

    assert translator.translate(event) == MessageUndecryptable(
        whatsapp_id="A", chat=f"{PHONE}@s.whatsapp.net"
    )


CONTENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"conversation": "hi"}, {"type": "text", "text": "hi"}),
    (
        {"extendedTextMessage": {"text": "yes", "contextInfo": {"stanzaID": "Q"}}},
        {"type": "text", "text": "yes", "quoted_message_id": "Q"},
    ),
    (
        {"imageMessage": {"caption": "sea", "mimetype": "image/jpeg", "fileLength": 99}},
        {"type": "image", "text": "sea", "media": Media(mimetype="image/jpeg", size=99)},
    ),
    (
        {
            "documentWithCaptionMessage": {
                "message": {
                    "documentMessage": {"fileName": "a.pdf", "fileLength": 7, "caption": "read"}
                }
            }
        },
        {"type": "document", "text": "read", "media": Media(size=7, filename="a.pdf")},
    ),
    ({"audioMessage": {"mimetype": "audio/ogg"}}, {"type": "audio", "text": None}),
    ({"videoMessage": {"caption": "v"}}, {"type": "video", "text": "v"}),
    ({"stickerMessage": {"mimetype": "image/webp"}}, {"type": "sticker", "text": None}),
    (
        {"reactionMessage": {"text": "+1", "key": {"ID": "Q"}}},
        {"type": "reaction", "text": "+1", "quoted_message_id": "Q"},
    ),
    ({"contactMessage": {"displayName": "Eve"}}, {"type": "contact", "text": "Eve"}),
    ({"locationMessage": {"name": "Berlin"}}, {"type": "location", "text": "Berlin"}),
    ({"pollCreationMessageV3": {"name": "when?"}}, {"type": "poll", "text": "when?"}),
    (
        {"protocolMessage": {"type": 0, "key": {"ID": "Q"}}},
        {"type": "revoked", "text": None, "quoted_message_id": "Q"},
    ),
    (
        {
            "protocolMessage": {
                "type": 14,
                "key": {"ID": "Q"},
                "editedMessage": {"conversation": "better"},
            }
        },
        {"type": "unknown", "text": "better", "quoted_message_id": "Q"},
    ),
    (
        {"ephemeralMessage": {"message": {"conversation": "gone soon"}}},
        {"type": "text", "text": "gone soon"},
    ),
    ({"paymentInviteMessage": {"serviceType": 1}}, {"type": "unknown", "text": None}),
]


@pytest.mark.parametrize(("content", "expected"), CONTENTS)
def test_what_a_message_shows(
    events: Any, translator: Any, content: dict[str, Any], expected: dict[str, Any]
) -> None:
    signal = translator.translate(message(events, content))

    assert isinstance(signal, MessageReceived)
    assert {name: getattr(signal.message, name) for name in expected} == expected


@pytest.mark.parametrize(
    "content",
    [
        {"senderKeyDistributionMessage": {"groupID": "1@g.us"}},
        {"messageContextInfo": {}},
        {"protocolMessage": {"type": 5}},
        {},
    ],
)
def test_traffic_of_devices_and_keys_is_not_told(
    events: Any, translator: Any, content: dict[str, Any]
) -> None:
    assert translator.translate(message(events, content)) is None


def test_a_peer_message_of_the_own_phone_is_not_told(events: Any, translator: Any) -> None:
    event = message(events, {"conversation": "internal"})
    event.Info.Category = "peer"

    assert translator.translate(event) is None


@pytest.mark.parametrize("server", ["broadcast", "newsletter"])
def test_what_is_no_chat_is_not_told(events: Any, translator: Any, server: str) -> None:
    event = message(events, {"conversation": "status"})
    event.Info.MessageSource.Chat.Server = server

    assert translator.translate(event) is None


def message(events: Any, content: dict[str, Any]) -> Any:
    event = events.MessageEv()
    json_format = load("google.protobuf.json_format")
    json_format.ParseDict(content, event.Message)
    event.Info.ID, event.Info.Timestamp = "A", 1_700_000_000
    event.Info.MessageSource.CopyFrom(source(events))
    return event


def source(events: Any, **fields: Any) -> Any:
    """Return Bob's LID, whose phone number only the directory knows."""
    source = events.MessageEv().Info.MessageSource
    for jid in (source.Chat, source.Sender):
        jid.User, jid.Server = LID, "lid"
    for name, value in fields.items():
        setattr(source, name, value)
    return source
