"""The many ways in which microservices say the same."""

import base64
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from api.rendering import data_url, png
from sessions.engine_microservice_image import UnreadablePicture, read_code
from sessions.engine_microservice_words import (
    Account,
    State,
    account_of,
    codes_of,
    expiry_ms,
    final_of,
    flat,
    message_id_of,
    moment_ms,
    state_of,
)
from sessions.signals import LoggedOut, QrExhausted, StreamReplaced, TemporaryBan

CODE = "2@" + ",".join(("Ab3/" * 37, *("q9+Z" * 11 for _ in range(3)), "1"))
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NOW_MS = 1_767_603_600_000


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"success": True, "status": "CONNECTED", "connected": True}, State.CONNECTED),
        ({"success": True, "data": {"status": "connected"}}, State.CONNECTED),
        ({"status": "success", "data": {"state": "open"}}, State.CONNECTED),
        ({"isConnected": True}, State.CONNECTED),
        ({"status": "QR_READY", "connected": False}, State.SHOWING_QR),
        ({"state": "scan-qr-code"}, State.SHOWING_QR),
        ({"connected": False, "qrCode": data_url(CODE)}, State.SHOWING_QR),
        ({"success": True, "session": {"status": "initializing"}}, State.WORKING),
        ({"status": "RECONNECTING"}, State.WORKING),
        ({"status": "DISCONNECTED"}, State.DOWN),
        ({"status": "whatever else"}, State.DOWN),
        ({"status": 7, "connected": "yes"}, State.DOWN),
        ({}, State.DOWN),
        ({"status": "LOGGED_OUT"}, State.LOGGED_OUT),
        ({"status": "FAILED"}, State.FAILED),
        ({"status": "CONFLICT"}, State.REPLACED),
    ],
)
def test_a_status_is_understood(body: dict[str, Any], state: State) -> None:
    assert state_of(flat(body)) is state


@pytest.mark.parametrize(
    ("body", "final"),
    [
        ({"reason": "logged_out", "willReconnect": False}, LoggedOut(by_phone=True)),
        ({"reason": "LOGOUT"}, LoggedOut(by_phone=True)),
        ({"statusCode": 401}, LoggedOut(by_phone=True)),
        ({"data": {"loggedOut": True}}, LoggedOut(by_phone=True)),
        ({"status": "LOGGED_OUT", "reason": "who knows"}, LoggedOut(by_phone=True)),
        ({"reason": "conflict"}, StreamReplaced()),
        ({"reason": 440}, StreamReplaced()),
        ({"reason": "temporary_ban"}, TemporaryBan(code=0)),
        ({"reason": "qr_exhausted", "status": "FAILED"}, QrExhausted()),
        ({"reason": "logged_out", "willReconnect": True}, None),
        ({"reason": "stream_lost"}, None),
        ({"reason": "deactivated", "status": "DISCONNECTED"}, None),
        ({}, None),
    ],
)
def test_the_reason_of_an_end_is_understood(body: dict[str, Any], final: object) -> None:
    assert final_of(flat(body)) == final


@pytest.mark.parametrize(
    "body",
    [
        {"code": CODE},
        {"qr": CODE},
        {"data": CODE},
        {"qrCode": data_url(CODE), "qr": CODE},
        {"data": {"qrcode": CODE}},
        {"qr": "pending", "code": CODE},
    ],
)
def test_the_code_itself_comes_before_its_picture(body: dict[str, Any]) -> None:
    assert next(iter(codes_of(flat(body)))) == CODE


def test_a_web_address_is_no_code() -> None:
    assert list(codes_of({"qr": "https://service.example/qr/7.png", "code": 409})) == []


@pytest.mark.parametrize(
    ("body", "account"),
    [
        (
            {"phoneNumber": "+15550001111", "lid": "77@lid", "pushName": "Alice"},
            Account("15550001111", "77", "Alice"),
        ),
        ({"data": {"phone": "1 555 000 1111"}}, Account("15550001111")),
        ({"jid": "15550001111:7@s.whatsapp.net"}, Account("15550001111")),
        ({"wid": {"user": "15550001111", "server": "c.us"}}, Account("15550001111")),
        ({"me": {"id": "15550001111:7@s.whatsapp.net"}}, Account("15550001111")),
        ({"jid": "98765432109876@lid"}, None),
        ({"phoneNumber": None}, None),
        ({"phoneNumber": "unknown"}, None),
    ],
)
def test_who_is_logged_in_is_understood(body: dict[str, Any], account: Account | None) -> None:
    assert account_of(flat(body)) == account


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW_MS, NOW_MS),
        (NOW_MS // 1000, NOW_MS),
        ("2026-01-05T09:00:00.000Z", NOW_MS),
        ("2026-01-05T09:00:00", None),
        ("soon", None),
        (True, None),
        (None, None),
        (float("inf"), None),
    ],
)
def test_a_moment_is_understood(value: object, expected: int | None) -> None:
    assert moment_ms(value) == expected
    assert expiry_ms({"expiresAt": value}, NOW) == (expected or NOW_MS + 60_000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [({"messageId": "3EB0"}, "3EB0"), ({"data": {"id": 7}}, "7"), ({"success": True}, None)],
)
def test_the_id_of_a_message_is_found(body: dict[str, Any], expected: str | None) -> None:
    assert message_id_of(flat(body)) == expected


def encoded(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def test_a_picture_is_read_however_it_was_made() -> None:
    drawn = Image.open(io.BytesIO(png(CODE)))
    transparent = Image.new("RGBA", drawn.size, (0, 0, 0, 0))
    transparent.paste("black", mask=drawn.convert("L").point(lambda light: 255 - light))

    assert read_code(data_url(CODE)) == CODE
    assert read_code(data_url(CODE).partition(",")[2]) == CODE
    assert read_code(encoded(drawn.convert("RGB").reduce(2), "PNG")) == CODE
    assert read_code(encoded(drawn.convert("RGB"), "JPEG")) == CODE
    assert read_code(encoded(transparent, "PNG")) == CODE


@pytest.mark.parametrize(
    "picture",
    [
        "data:image/png;base64,%%%",
        "data:image/png;base64,",
        "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(),
        data_url(CODE)[:200],
        encoded(Image.new("RGB", (64, 64), "white"), "PNG"),
        encoded(Image.new("1", (5000, 4)), "PNG"),
    ],
    ids=["no base64", "empty", "svg", "cut off", "no code", "too wide"],
)
def test_what_is_no_picture_of_a_code_is_refused(picture: str) -> None:
    with pytest.raises(UnreadablePicture, match=r"expected|no QR code"):
        read_code(picture)
