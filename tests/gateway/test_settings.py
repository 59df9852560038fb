"""Settings: where values come from, and how each way to get them wrong is explained."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.connections import RealtimeLimits
from gateway.policy import realtime_limits, session_policy
from gateway.settings import Settings, SettingsError, load_settings, variables
from gateway.settings_report import as_json, as_text, example, report
from sessions.services import Policy
from tests.auth import keyring

REPOSITORY = Path(__file__).parents[2]
CANARY = "canary-p4ssw0rd"


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test in an empty directory, with no variable of ours."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields:
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


def problems(env: str | bytes = b"", **overrides: object) -> list[str]:
    """Return what is wrong with a .env of this content."""
    if env:
        Path(".env").write_bytes(env.encode() if isinstance(env, str) else env)
    with pytest.raises(SettingsError) as refused:
        load_settings(overrides)
    return refused.value.problems


def test_without_any_setting_the_server_is_private_and_complete() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 3000, "neonize")
    assert settings.allowed_origins == ()
    assert settings.database == "sqlite+aiosqlite:///data/wagate.db"
    assert settings.server_url == "http://127.0.0.1:3000"
    assert settings.notes == ()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("WAGATE_HOST=10.0.0.1\nWAGATE_PORT=3001\nWAGATE_LOG_LEVEL=error\n")
    monkeypatch.setenv("WAGATE_HOST", "10.0.0.2")
    monkeypatch.setenv("WAGATE_PORT", "3002")
    settings = load_settings({"host": "10.0.0.3", "port": None})
    assert (settings.host, settings.port, settings.log_level) == ("10.0.0.3", 3002, "error")
    assert [settings.origin(name) for name in ("host", "port", "log_level", "engine")] == [
        "command line",
        "environment",
        ".env:3",
        "default",
    ]


def test_an_empty_value_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAGATE_PORT", "")
    Path(".env").write_text("WAGATE_REDIS_URL=\nWAGATE_JWT_SECRET=''\n")
    settings = load_settings()
    assert (settings.port, settings.redis_url, settings.jwt_secret) == (3000, None, None)


def test_every_usual_form_of_a_line_is_read() -> None:
    Path(".env").write_text(
        "# a comment\n\n"
        "export WAGATE_PORT=3001\n"
        'WAGATE_HOST="127.0.0.2"   # with a comment\r\n'
        "WAGATE_LOG_LEVEL = 'debug'\n"
        "WAGATE_ALLOWED_ORIGINS=https://App.example/, http://localhost:5173\n"
        "POSTGRES_PASSWORD=of-another-program\n"
    )
    settings = load_settings()
    assert (settings.port, settings.host, settings.log_level) == (3001, "127.0.0.2", "debug")
    assert settings.allowed_origins == ("https://app.example", "http://localhost:5173")
    assert settings.server_url == "http://127.0.0.2:3001"


def test_the_contracts_name_for_qr_attempts_is_read_and_ours_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QR_MAX_ATTEMPTS", "5")
    assert load_settings().qr_max_attempts == 5
    monkeypatch.setenv("WAGATE_QR_MAX_ATTEMPTS", "7")
    assert load_settings().qr_max_attempts == 7
    monkeypatch.setenv("WAGATE_QR_MAX_ATTEMPTS", "-1")
    assert problems() == [
        "WAGATE_QR_MAX_ATTEMPTS (environment): read '-1', expected greater than or equal to 0"
    ]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("WAGATE_PORT=3000\nthis is no assignment\n", 2, "expected a line NAME=value"),
        ("\n\n  WAGATE_PORT\n", 3, "expected a line NAME=value"),
        ("WAGATE_PORT: 3000\n", 1, "expected a line NAME=value"),
        ("WAGATE PORT=3000\n", 1, "expected a line NAME=value"),
        ("=3000\n", 1, "expected a line NAME=value"),
        ('#x\nWAGATE_HOST="127.0.0.1\n', 2, "expected a line NAME=value"),
        ('WAGATE_HOST="127.0.0.1\nWAGATE_LOG_LEVEL="debug"\n', 1, "expected a line NAME=value"),
        ('WAGATE_HOST="127.0.0.1\nWAGATE_JWT_ISSUER="\n', 1, "not balanced"),
        ("WAGATE_HOST=127.0.0.1'\n", 1, "not balanced"),
        ("WAGATE_HOST=“127.0.0.1”\n", 1, "typographic"),
        ("WAGATE_HOST=127.0.0.1\u200b\n", 1, "invisible"),
        ("\u200bWAGATE_HOST=127.0.0.1\n", 1, "expected a line NAME=value"),
        ("WAGATE_PORT=1\nwagate_port=2\n", 2, "set again (first on line 1)"),
        (b"\xef\xbb\xbfWAGATE_PORT=3001\n", 1, "byte order mark"),
        ("WAGATE_PORT=3001\n".encode("utf-16"), 1, "UTF-16"),
        ("WAGATE_PORT=3001\n".encode("utf-16-le"), 1, "UTF-16"),
        (b"WAGATE_PORT=1\nWAGATE_HOST=\xe4\n", 2, "no UTF-8"),
    ],
)
def test_a_broken_file_is_explained_by_line(content: str | bytes, line: int, said: str) -> None:
    found = problems(content)
    assert found[0].startswith(f".env:{line}: ")
    assert said in found[0]


@pytest.mark.parametrize(
    "content",
    [
        f'WAGATE_JWT_SECRET="{CANARY}',
        f"WAGATE_JWT_SECRET=“{CANARY}”",
        f"WAGATE_JWT_SECRET: {CANARY}",
        f"WAGATE_JWT_SECRET {CANARY}",
        f"{CANARY}",
        f"WAGATE_JWT_SECRET={CANARY}",
        f"WAGATE_JWT_SECRET={CANARY}\nWAGATE_JWT_SECRET={CANARY}",
        f"WAGATE_JWT_PUBLIC_KEY={CANARY}",
        f"WAGATE_DATABASE_URL=mysql://user:{CANARY}@db.example/wagate",
        f"WAGATE_DATABASE_URL=user:{CANARY}@db.example/wagate",
        f"WAGATE_DATABASE_URL=mysql://db.example/wagate?password={CANARY}",
        f"WAGATE_REDIS_URL=http://:{CANARY}@cache.example",
        f"WAGATE_JWT_ALGORITHM=RS256\nWAGATE_JWT_JWKS_URL=https://u:{CANARY}@id.example/jwks",
    ],
)
def test_no_problem_shows_a_secret(content: str) -> None:
    assert CANARY not in "\n".join(problems(content))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("WAGATE_PORT=abc", "WAGATE_PORT (.env:1): read 'abc', expected a valid integer"),
        ("WAGATE_PORT=70000", "expected less than or equal to 65535"),
        ("WAGATE_ENGINE=neonise", "expected 'neonize', 'microservice' or 'simulator'"),
        ("WAGATE_LOG_LEVEL=loud", "expected 'debug', 'info', 'warning' or 'error'"),
        ("WAGATE_MIGRATE_AT_START=maybe", "expected a valid boolean"),
        ("WAGATE_ALLOWED_ORIGINS=app.example", "expected origins such as https://app.example"),
        ("WAGATE_ALLOWED_ORIGINS=https://a.example/path", "expected origins such as"),
        ("WAGATE_DATABASE_URL=mysql://h/d", "expected postgresql://"),
        ("WAGATE_DATABASE_URL=sqlite:///", "expected postgresql://"),
        ("WAGATE_REDIS_URL=localhost:6379", "expected redis://"),
        ("WAGATE_URL=localhost:3000", "expected a URL such as"),
        ("WAGATE_JWT_DEFAULT_SCOPES=sessions:read,admin", "expected scopes without admin"),
        ("WAGATE_JWT_DEFAULT_SCOPES=sessions:erase", "WAGATE_JWT_DEFAULT_SCOPES"),
        ("WAGATE_JWT_SECRET=short", "expected a random secret of 32 bytes"),
        (f"WAGATE_JWT_SECRET={'changeme' * 5}", "can be guessed"),
        ("WAGATE_JWT_PUBLIC_KEY=missing.pem", "can be read (No such file or directory)"),
        ("WAGATE_JWT_JWKS_URL=https://id.example/jwks", "expected none with HS256"),
        ("WAGATE_JWT_ALGORITHM=none", "expected 'HS256', 'RS256', 'ES256' or 'EdDSA'"),
        ("WAGATE_JWT_ALGORITHM=RS256", "WAGATE_JWT_PUBLIC_KEY or WAGATE_JWT_JWKS_URL"),
        ("WAGATE_SHUTDOWN_TIMEOUT_SECONDS=0", "expected greater than 0"),
        ("WAGATE_SHUTDOWN_TIMEOUT_SECONDS=nan", "WAGATE_SHUTDOWN_TIMEOUT_SECONDS"),
        ("WAGATE_MESSAGE_EXPIRY_HOURS=inf", "WAGATE_MESSAGE_EXPIRY_HOURS"),
    ],
)
def test_a_wrong_value_is_explained(line: str, said: str) -> None:
    (problem,) = problems(line)
    assert said in problem
    assert problem.startswith(line.partition("=")[0])


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAGATE_PORT", "abc")
    monkeypatch.setenv("WAGATE_PROT", "3000")
    found = problems("WAGATE_ENGINE=x\nWAGATE_HOTS=y\n", log_level="loud")
    assert len(found) == 5
    assert any(problem.startswith("--log-level (command line)") for problem in found)


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_misspelt_name_stops_the_start_with_the_nearest_one(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("WAGATE_DATABSE_URL", "sqlite:///x")
        (problem,) = problems()
    else:
        (problem,) = problems("WAGATE_DATABSE_URL=sqlite:///x")
    assert "did you mean WAGATE_DATABASE_URL?" in problem
    assert problem.startswith("WAGATE_DATABSE_URL (")


def test_a_name_that_lacks_only_the_prefix_is_told_but_stops_nothing() -> None:
    Path(".env").write_text("JWT_SECRET=x\n")
    settings = load_settings()
    assert settings.notes == (".env:1: JWT_SECRET is not read; WAGATE_JWT_SECRET would be.",)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "WAGATE_SERVICE_HOST": "10.0.0.1",
        "WAGATE_SERVICE_PORT_HTTP": "3000",
        "WAGATE_PORT_3000_TCP_ADDR": "10.0.0.1",
        "WAGATE_POSTGRESQL_PORT": "tcp://10.0.0.2:5432",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 3000
    monkeypatch.setenv("WAGATE_PORT", "tcp://10.0.0.1:3000")
    (problem,) = problems()
    assert "enableServiceLinks" in problem


def test_keys_must_fit_the_algorithm(tmp_path: Path) -> None:
    pem = keyring.public_pem(keyring.rsa_key())
    (tmp_path / "key.pem").write_text(pem)
    by_path = load_settings({"jwt_algorithm": "RS256", "jwt_public_key": "key.pem"})
    assert by_path.jwt_public_key == pem
    Path(".env").write_text(f'WAGATE_JWT_ALGORITHM=RS256\nWAGATE_JWT_PUBLIC_KEY="{pem}"\n')
    assert load_settings().jwt_public_key == pem
    one_line = pem.replace("\n", "\\n")
    Path(".env").write_text(f"WAGATE_JWT_ALGORITHM=RS256\nWAGATE_JWT_PUBLIC_KEY={one_line}\n")
    assert load_settings().jwt_public_key == pem
    Path(".env").unlink()
    (problem,) = problems(jwt_algorithm="ES256", jwt_public_key="key.pem")
    assert "expected a public key for ES256" in problem
    (problem,) = problems(jwt_algorithm="RS256", jwt_jwks_url="http://id.example/jwks")
    assert "https://" in problem
    found = problems(
        jwt_algorithm="RS256",
        jwt_public_key="key.pem",
        jwt_jwks_url="https://id.example/jwks",
        jwt_secret=keyring.SECRET,
    )
    assert len(found) == 2


def test_the_report_names_every_setting_and_hides_secrets() -> None:
    Path(".env").write_text(f"WAGATE_JWT_SECRET={keyring.SECRET}\nWAGATE_TOKEN={CANARY}\n")
    settings = load_settings(
        {
            "database_url": f"postgres://user:{CANARY}@db.example/wagate",
            "redis_url": f"redis://:{CANARY}@cache.example/0",
            "port": 3001,
        }
    )
    for text in (as_text(report(settings)), as_json(report(settings)), repr(settings)):
        assert CANARY not in text
        assert keyring.SECRET not in text
    rows = {row["variable"]: row for row in json.loads(as_json(report(settings)))}
    assert set(rows) == {variables(field)[0] for field in Settings.model_fields}
    assert all(row["meaning"] for row in rows.values())
    assert rows["WAGATE_PORT"] | {"meaning": ""} == {
        "variable": "WAGATE_PORT",
        "value": "3001",
        "default": "3000",
        "origin": "command line",
        "meaning": "",
    }
    assert rows["WAGATE_JWT_SECRET"]["origin"] == ".env:1"
    assert rows["WAGATE_DATABASE_URL"]["value"] == (
        "postgresql+asyncpg://user:***@db.example/wagate"
    )


def test_the_example_file_is_up_to_date() -> None:
    assert (REPOSITORY / ".env.example").read_text() == example(), (
        "run: wagate settings --example > .env.example"
    )


def test_the_example_changes_nothing_even_when_every_line_is_switched_on() -> None:
    text = re.sub(r"(?m)^#(WAGATE_)", r"\1", example())
    Path(".env").write_text(text)
    settings = load_settings()
    assert settings.model_dump() == load_settings(env_file=Path("none")).model_dump()
    assert len(re.findall(r"(?m)^WAGATE_", text)) == len(Settings.model_fields)


def test_what_an_operator_chooses_reaches_sessions_and_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = {
        "QUEUE_LIMIT_MESSAGES": "50",
        "SEND_GAP_SECONDS": "1.5",
        "SEND_JITTER_SECONDS": "2.5",
        "SENDS_PER_MINUTE": "20",
        "SEND_ATTEMPTS": "3",
        "EVENT_RETENTION_DAYS": "0.5",
        "EVENT_LIMIT": "500",
        "CONNECTIONS_PER_SUBJECT": "6",
        "SUBSCRIPTIONS_PER_CONNECTION": "7",
        "COMMANDS_PER_SECOND": "2",
        "HANDSHAKE_TIMEOUT_SECONDS": "9",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(f"WAGATE_{name}", value)
    policy = session_policy(load_settings())
    assert (policy.queue_limit, policy.send_attempts, policy.sends_per_minute) == (50, 3, 20)
    assert (policy.send_gap_seconds, policy.send_jitter_seconds) == (1.5, 2.5)
    assert (policy.event_retention, policy.event_limit) == (timedelta(hours=12), 500)
    limits = realtime_limits(load_settings())
    assert (limits.connections_per_subject, limits.subscriptions) == (6, 7)
    assert limits.handshake_seconds == 9
    assert (limits.commands_per_second, limits.commands_burst) == (2, 4)


def test_without_any_setting_sessions_and_connections_keep_to_their_own_defaults() -> None:
    assert session_policy(load_settings()) == Policy()
    assert realtime_limits(load_settings()) == RealtimeLimits()


def test_nothing_else_reads_the_environment() -> None:
    pattern = re.compile(r"\bos\.(environ|getenv)|from os import .*(environ|getenv)|envvar=")
    readers = {
        str(file.relative_to(REPOSITORY / "src"))
        for file in (REPOSITORY / "src").rglob("*.py")
        if pattern.search(file.read_text())
    }
    assert readers == {"gateway/settings.py"}
