"""How commands are read, whatever their shape."""

import json
from typing import Any

import pytest

from gateway.bridge_rabbitmq_orders import Unreadable, read_command


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    "members",
    [
        {"numberId": 7},
        {"data": {"numberId": "7"}},
        {"sessionId": "session_7_+447700900123"},
        {"data": {"sessionId": "session_7_+447700900123"}},
    ],
)
def test_a_number_is_read_from_wherever_it_stands(members: dict[str, Any]) -> None:
    command = read_command(body(action="close", **members))
    assert command is not None
    assert command.number_id == 7


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({}, "numberId: "),
        ({"sessionId": "support"}, "numberId: "),
        ({"numberId": 7, "phoneNumber": "none"}, "phoneNumber: a phone number with country code"),
    ],
)
def test_what_is_missing_or_wrong_is_named(members: dict[str, Any], fault: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        read_command(body(action="close", **members))
    assert str(refusal.value).startswith(fault)
