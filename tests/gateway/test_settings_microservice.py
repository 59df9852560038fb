"""What the engine microservice needs before a server starts."""

import os
from pathlib import Path

import pytest

from gateway.settings import SettingsError, load_settings
from gateway.settings_report import as_text, report

URL, KEY = "http://127.0.0.1:4000", "k3y-of-the-microservice"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine has set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("WAGATE_", "WHATSAPP_QR_")):
            monkeypatch.delenv(name)


def test_address_and_key_are_read_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHATSAPP_QR_SERVICE_URL", f"{URL}/")
    monkeypatch.setenv("WAGATE_WHATSAPP_QR_SERVICE_KEY", KEY)
    settings = load_settings({"engine": "microservice"})

    assert settings.whatsapp_qr_service_url == URL
    assert settings.whatsapp_qr_service_key is not None
    assert settings.whatsapp_qr_service_key.get_secret_value() == KEY
    assert KEY not in as_text(report(settings))


def test_without_them_the_engine_is_refused_by_name() -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings({"engine": "microservice"})
    assert len(refusal.value.problems) == 2
    for problem, name in zip(refusal.value.problems, ("URL", "KEY"), strict=True):
        assert problem.startswith("--engine")
        assert f"WAGATE_WHATSAPP_QR_SERVICE_{name}" in problem
    assert load_settings({"engine": "simulator"}).whatsapp_qr_service_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("KEY", "short"), ("KEY", "with a blank in it"), ("URL", "service:4000"), ("URL", "ftp://x")],
)
def test_what_can_not_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"WHATSAPP_QR_SERVICE_{name}", value)
    with pytest.raises(SettingsError, match=f"WHATSAPP_QR_SERVICE_{name}.*expected") as refusal:
        load_settings()
    assert (value in str(refusal.value)) is (name == "URL")
