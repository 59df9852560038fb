"""The settings of a chatbot back end: by the names it is set up with, and nothing secret shown."""

import os
from pathlib import Path

import pytest

from gateway.redaction import redacted
from gateway.settings import SettingsError, load_settings
from gateway.settings_report import as_text, report

KEY = "k3y-of-the-chatbot-back-end"
NAMES = ("BACKEND_API_KEY", "BACKEND_API_URL")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine has set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("WAGATE_") or name in NAMES:
            monkeypatch.delenv(name)


def written(**variables: str) -> None:
    """Write a settings file."""
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def test_both_are_off_unless_they_are_set() -> None:
    settings = load_settings()
    assert (settings.backend_api_key, settings.backend_api_url) == (None, None)


@pytest.mark.parametrize("prefix", ["", "WAGATE_"])
def test_a_back_end_is_set_up_by_its_own_names(prefix: str) -> None:
    written(
        **{f"{prefix}BACKEND_API_KEY": KEY, f"{prefix}BACKEND_API_URL": "http://backend:3001/api/"}
    )
    settings = load_settings()
    assert settings.backend_api_key is not None
    assert settings.backend_api_key.get_secret_value() == KEY
    assert settings.backend_api_url == "http://backend:3001/api"
    assert KEY not in as_text(report(settings))
    assert KEY not in repr(settings)


@pytest.mark.parametrize("key", ["x" * 15, "with a blank in it", "é" * 20, "x" * 257])
def test_a_key_that_is_too_weak_or_no_header_is_refused_unseen(key: str) -> None:
    written(BACKEND_API_KEY=f'"{key}"')
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    (problem,) = refusal.value.problems
    assert problem.startswith("BACKEND_API_KEY (.env")
    assert "16 to 256" in problem
    assert key not in problem


@pytest.mark.parametrize("url", ["backend:3001", "ftp://backend", "http://user:secret@backend"])
def test_a_url_that_can_not_be_posted_to_is_refused(url: str) -> None:
    written(BACKEND_API_URL=url)
    with pytest.raises(SettingsError, match=r"BACKEND_API_URL .*expected a URL") as refusal:
        load_settings()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        f"X-API-Key: {KEY}",
        f"{{'x-api-key': '{KEY}'}}",
        f"BACKEND_API_KEY={KEY}",
        f"Authorization: Bearer {KEY}",
    ],
)
def test_no_key_reaches_a_log(text: str) -> None:
    assert KEY not in redacted(text)
