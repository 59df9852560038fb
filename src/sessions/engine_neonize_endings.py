"""How a connection ends, by the library's events and by its statuses of the QR phase.

The functions take a `Translator` first, as its own methods do; what they tell depends on nothing
that came before. Knows field names, not the library.
"""

import time
from typing import Any

from sessions import signals

_CODES = {1: 400, 2: 401, 3: 402, 4: 403, 6: 405, 5: 406, 7: 409, 8: 500, 9: 501, 10: 503}
"""The library's numbers of WhatsApp's `<failure reason=…>` codes, and those codes."""

_SHORTEST_CODE_SECONDS = 19
"""A code shows for 20 s at least, less what our clock may be late."""

_BANS = {1: 101, 2: 102, 3: 103, 4: 104, 5: 106}
"""The same for temporary bans."""


def login_end(status: str, *, shown_seconds: float) -> signals.Signal:
    """Return what a status of the QR phase other than "success" means: its end.

    `shown_seconds` is how long the last code could be seen.
    """
    match status:
        case "timeout" if shown_seconds < _SHORTEST_CODE_SECONDS:
            # The library says the same when the connection breaks, which uses up no code.
            return signals.ConnectFailed(detail="the connection was lost before a code was scanned")
        case "timeout":
            return signals.QrExhausted()
        case "passkey-request":
            detail = "the account asks for a passkey, which the library can't give"
            return signals.PairingFailed(reason="passkey_required", detail=detail)
        case "err-client-outdated":
            return signals.PairingFailed(reason="client_outdated")
        case _:
            return signals.PairingFailed(detail=status)


def logged_out(_: object, event: Any) -> signals.Signal:
    """The device was unlinked, by its owner or by WhatsApp."""
    code = _CODES.get(event.Reason)
    # 401 is what an unlinked device is told, 403 and 406 are WhatsApp's own decisions.
    return signals.LoggedOut(code=code, by_phone=code in {None, 401})


def stream_replaced(_: object, _event: Any) -> signals.Signal:
    """Another program uses the credentials."""
    return signals.StreamReplaced()


def temporary_ban(_: object, event: Any) -> signals.Signal:
    """The account is banned; `Expire` is in seconds from now."""
    until = round(time.time() * 1000) + event.Expire * 1000 if event.Expire > 0 else None
    return signals.TemporaryBan(code=_BANS.get(event.Code, 0), until_ms=until)


def connect_failure(_: object, event: Any) -> signals.Signal:
    """The login was refused for another reason."""
    return signals.ConnectFailed(code=_CODES.get(event.Reason), detail=event.Message)


def client_outdated(_: object, _event: Any) -> signals.Signal:
    """WhatsApp wants a newer version of the library."""
    return signals.ClientOutdated()


def stream_error(_: object, event: Any) -> signals.Signal:
    """WhatsApp ended the stream with a code that has no event of its own."""
    code = int(event.Code) if event.Code.isdecimal() else None
    return signals.ConnectFailed(code=code, detail=f"stream error {event.Code}".strip())
