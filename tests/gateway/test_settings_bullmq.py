"""Where a back end's queues are."""

import os
from pathlib import Path

import pytest

from gateway.policy import queue_names
from gateway.settings import SettingsError, load_settings
from gateway.settings_report import as_text, report


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine has set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("WAGATE_"):
            monkeypatch.delenv(name)


def test_without_a_redis_there_are_none() -> None:
    assert queue_names(load_settings()) is None


def test_with_one_they_are_named_as_the_contract_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAGATE_BULLMQ_REDIS_URL", "redis://:secret-word@redis:6379/1")

    settings = load_settings()

    names = queue_names(settings)
    assert names is not None
    assert (names.prefix, names.send, names.incoming) == (
        "bull",
        "whatsapp-qr-send",
        "incoming-messages",
    )
    assert names.url == "redis://:secret-word@redis:6379/1"
    assert "secret-word" not in as_text(report(settings)) + repr(names)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WAGATE_BULLMQ_REDIS_URL", "http://redis", "expected redis://"),
        ("WAGATE_BULLMQ_SEND_QUEUE", "bull:send", "without colons"),
        ("WAGATE_BULLMQ_INCOMING_QUEUE", "two words", "without colons"),
    ],
)
def test_what_can_be_no_queue_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert len(refused.value.problems) == 1
    assert expected in refused.value.problems[0]
