"""What the library's error texts mean for a message: above all, whether it may be sent again."""

import pytest

from tests.sessions.engine_neonize.library import load


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("no LID found for 4915112345678@s.whatsapp.net from server", "not_on_whatsapp"),
        ("websocket not connected", "not_connected"),
        ("failed to send message node: websocket not connected", "not_connected"),
        ("client is nil", "not_connected"),
        ("the store doesn't contain a device JID", "not_connected"),
        ("websocket disconnected before info query returned response", "not_connected"),
        ("websocket disconnected before message send returned response", "send_uncertain"),
        ("timed out waiting for message send response", "send_uncertain"),
        ("context deadline exceeded", "send_uncertain"),
        ("server returned error 463", "reach_out_locked"),
        ("server returned error 479", "send_failed"),
        ("server returned error 429", "send_throttled"),
        ("server returned error 503", "send_throttled"),
        ("server returned error 500", "send_uncertain"),
        (
            "failed to get device list: info query returned status 429: rate-overlimit",
            "send_throttled",
        ),
        ("can't send presence without PushName set", "no_name"),
        ("something new", "send_failed"),
    ],
)
def test_what_an_error_means(text: str, meaning: str) -> None:
    assert load("sessions.engine_neonize_sending").meaning(text) == meaning
