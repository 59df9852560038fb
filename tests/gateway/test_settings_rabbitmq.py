"""The names under which existing workers are set up."""

import os
from pathlib import Path

import pytest

from gateway.policy import rabbitmq_topology, session_policy
from gateway.settings import SettingsError, load_settings
from gateway.settings_report import as_text, report

OTHERS = {
    "WORKER_ID": "w-1",
    "WORKER_NAME": "first",
    "RABBITMQ_URL": "amqp://user:secret-word@broker:5672/vhost",
    "QUEUE_MESSAGE_SEND": "a.send",
    "QUEUE_MESSAGE_RECEIVE": "a.receive",
    "QUEUE_NUMBER_HEALTH": "a.health",
    "QUEUE_SESSION_UPDATE": "a.update",
    "SESSION_DIR": "/var/lib/sessions",
    "MAX_RETRY_ATTEMPTS": "4",
    "MESSAGE_TIMEOUT": "30000",
    "HEALTH_CHECK_INTERVAL": "15000",
    "LOG_LEVEL": "warn",
    "LOG_PRETTY": "true",
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine has set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("WAGATE_") or name in OTHERS:
            monkeypatch.delenv(name)


def test_the_names_of_existing_workers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    names = rabbitmq_topology(settings)
    assert (names.message_send, names.message_receive) == ("a.send", "a.receive")
    assert (names.number_health, names.session_update) == ("a.health", "a.update")
    assert names.own_commands == "whatsapp.gateway.session.update.w-1"
    assert (settings.worker_name, settings.status_seconds) == ("first", 15)
    assert settings.data_directory == Path("/var/lib/sessions")
    assert session_policy(settings).send_timeout_seconds == 30
    assert session_policy(settings).send_attempts == 4
    assert (settings.log_level, settings.log_format) == ("warning", "text")
    assert "secret-word" not in as_text(report(settings))


def test_our_own_names_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "error")
    monkeypatch.setenv("WAGATE_LOG_LEVEL", "debug")
    monkeypatch.setenv("WORKER_ID", "theirs")
    monkeypatch.setenv("WAGATE_WORKER_ID", "ours")

    settings = load_settings()

    assert (settings.log_level, settings.worker_id) == ("debug", "ours")


def test_without_any_the_contract_names_are_used() -> None:
    settings = load_settings()

    assert settings.rabbitmq_url is None
    names = rabbitmq_topology(settings)
    assert names.exchange == "whatsapp.exchange"
    assert names.bindings == (
        ("whatsapp.session.update", "session.update"),
        ("whatsapp.message.send", "message.send"),
        ("whatsapp.message.receive", "message.receive"),
        ("whatsapp.number.health", "number.health"),
        ("whatsapp.worker.events", "worker.events"),
        ("whatsapp.gateway.session.update", "session.update"),
    )
    assert "whatsapp.session.update" not in names.consumed


@pytest.mark.parametrize("url", ["http://broker", "amqp://", "broker:5672"])
def test_an_address_that_is_none_of_rabbitmq_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", url)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert "expected amqp://" in refused.value.problems[0]
