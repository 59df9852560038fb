"""A microservice's words and ours: read leniently, as each such service spells them its own way.

Names are looked for in the answer and in the object that it may be wrapped in, words in any case.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from sessions.clock import to_ms
from sessions.engine_microservice_image import is_picture
from sessions.messages import LID_SERVER, phone_digits
from sessions.microservice import JsonObject
from sessions.signals import (
    ClientOutdated,
    CredentialsCorrupted,
    LoggedOut,
    PairingFailed,
    QrExhausted,
    Signal,
    StreamReplaced,
    TemporaryBan,
)

_WRAPPERS = ("data", "result", "session")
_CODE_CHARACTERS = 4096
_CODE_SECONDS = 60


class State(Enum):
    """Where a session stands at the service."""

    CONNECTED = auto()
    SHOWING_QR = auto()
    WORKING = auto()
    """It is connecting, by itself."""
    DOWN = auto()
    """Nothing goes on there, or it does not know the session."""
    LOGGED_OUT = auto()
    FAILED = auto()
    REPLACED = auto()


_STATES: dict[State, str] = {
    State.CONNECTED: "CONNECTED OPEN READY ONLINE LOGGED_IN",
    State.SHOWING_QR: "QR_READY QR QRCODE QR_CODE QR_GENERATED QR_PENDING QR_WAITING SCAN_QR "
    "SCAN_QR_CODE WAITING_QR WAITING_FOR_QR WAITING_FOR_SCAN PENDING_QR",
    State.WORKING: "CONNECTING INITIALIZING INITIALISING INITIALIZED STARTING OPENING PAIRING "
    "LOADING AUTHENTICATED AUTHENTICATING RECONNECTING PENDING",
    State.LOGGED_OUT: "LOGGED_OUT LOGGEDOUT LOGOUT UNAUTHORIZED UNPAIRED",
    State.FAILED: "FAILED FAILURE ERROR AUTH_FAILURE BANNED",
    State.REPLACED: "CONFLICT REPLACED",
}
_STATE_OF = {word: state for state, words in _STATES.items() for word in words.split()}

_FINALS: dict[str, Signal] = {
    **dict.fromkeys(
        ("LOGGED_OUT", "LOGGEDOUT", "LOGOUT", "UNAUTHORIZED", "UNPAIRED", "401"),
        LoggedOut(by_phone=True),
    ),
    **dict.fromkeys(
        ("STREAM_REPLACED", "CONNECTION_REPLACED", "REPLACED", "CONFLICT", "440"), StreamReplaced()
    ),
    **dict.fromkeys(("TEMPORARY_BAN", "TEMP_BANNED", "BANNED"), TemporaryBan(code=0)),
    **dict.fromkeys(
        ("CREDENTIALS_CORRUPTED", "BAD_SESSION", "AUTH_FAILURE"), CredentialsCorrupted()
    ),
    **dict.fromkeys(
        ("QR_EXHAUSTED", "QR_TIMEOUT", "QR_MAX_ATTEMPTS", "MAX_QR_RETRIES"), QrExhausted()
    ),
    "CLIENT_OUTDATED": ClientOutdated(),
    "PAIRING_FAILED": PairingFailed(),
    "PASSKEY_REQUIRED": PairingFailed(reason="passkey_required"),
}


@dataclass(frozen=True)
class Account:
    """Who is logged in, as far as the service tells: phone and LID are digits."""

    phone: str
    lid: str | None = None
    push_name: str | None = None


def flat(body: Mapping[str, Any]) -> JsonObject:
    """Return an answer's members together with those of the object inside it, which win."""
    merged = dict(body)
    for name in _WRAPPERS:
        match body.get(name):
            case dict() as inner:
                merged |= {key: value for key, value in inner.items() if value is not None}
            case str() as text if name == "data":
                merged.setdefault("qr", text)
    return merged


def state_of(body: JsonObject) -> State:
    """Return where a session stands; what nobody understands counts as nothing going on."""
    words = [_word(body.get(name)) for name in ("status", "state", "connectionStatus")]
    found = next((_STATE_OF[word] for word in words if word in _STATE_OF), None)
    if body.get("connected") is True or body.get("isConnected") is True:
        return State.CONNECTED
    if found is None and any(codes_of(body)):
        return State.SHOWING_QR
    return found or State.DOWN


def final_of(body: JsonObject) -> Signal | None:
    """Return the end that an answer or a word of the service tells of; None: it tells none."""
    if body.get("willReconnect") is True:
        return None
    if body.get("loggedOut") is True:
        return LoggedOut(by_phone=True)
    words = [_word(body.get(name)) for name in ("reason", "code", "statusCode", "status", "error")]
    return next((_FINALS[word] for word in words if word in _FINALS), None)


def codes_of(body: JsonObject) -> Iterable[str]:
    """Return what may be the QR code, what needs no reading of a picture first."""
    names = ("code", "qr", "qrCode", "qr_code", "qrcode", "qrString", "qrImage", "image")
    found = [body.get(name) for name in names]
    texts = [text for text in found if isinstance(text, str) and text]
    raw = [text for text in texts if not is_picture(text) and _is_raw(text)]
    return [*raw, *filter(is_picture, texts)]


def expiry_ms(body: JsonObject, now: datetime) -> int:
    """Return when a code ends, in Unix milliseconds; unless it is told, after a minute."""
    for name in ("expiresAt", "expires_at", "expiry"):
        if (moment := moment_ms(body.get(name))) is not None:
            return moment
    return to_ms(now) + 1000 * _CODE_SECONDS


def moment_ms(value: object) -> int | None:
    """Return a moment in Unix milliseconds, given so, in seconds or as ISO 8601; else None."""
    match value:
        case bool():
            return None
        case int() | float() if 0 < value < 1e14:
            return round(value if value > 1e11 else value * 1000)
        case str():
            return _iso_ms(value)
    return None


def account_of(body: JsonObject) -> Account | None:
    """Return who is logged in; None when no phone number is told."""
    names = ("phoneNumber", "phone_number", "phone", "number", "jid", "wid", "me", "user")
    phones = (_digits(body.get(name)) for name in names)
    phone = next((phone for phone in phones if phone), None)
    if phone is None:
        return None
    given = (body.get(name) for name in ("pushName", "pushname", "push_name"))
    push_name = next((name for name in given if isinstance(name, str) and name), None)
    return Account(phone, lid_of(body), push_name)


def lid_of(body: JsonObject) -> str | None:
    """Return the digits of a LID, if one is told."""
    lid = body.get("lid")
    if not isinstance(lid, str):
        return None
    user = lid.partition("@")[0].partition(":")[0]
    return user if user.isascii() and user.isdecimal() else None


def message_id_of(body: JsonObject) -> str | None:
    """Return the id that the service gave a message."""
    found = (body.get(name) for name in ("messageId", "message_id", "id", "jobId"))
    return next((str(id_) for id_ in found if isinstance(id_, str | int) and id_ != ""), None)


def sentence_of(body: JsonObject) -> str:
    """Return what the service says about a refusal, shortened."""
    found = (body.get(name) for name in ("message", "detail", "error"))
    return next((text for text in found if isinstance(text, str)), "")[:200]


def _word(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip().upper().replace("-", "_").replace(" ", "_")


def _is_raw(text: str) -> bool:
    # Some answer with a web address of the picture, or a word of progress, under the same names.
    return len(text) <= _CODE_CHARACTERS and ("," in text or text.startswith("https://wa.me/"))


def _digits(value: object) -> str | None:
    match value:
        case {"user": str() as user} | {"id": str() as user} | {"_serialized": str() as user}:
            return _digits(user)
        case str() if not value.endswith("@" + LID_SERVER):
            return phone_digits(value.partition("@")[0].partition(":")[0])
        case int() if not isinstance(value, bool):
            return phone_digits(str(value))
    return None


def _iso_ms(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone it could be anybody's.
    return None if moment.tzinfo is None else to_ms(moment)
