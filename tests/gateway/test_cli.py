"""The command line by its doors: arguments in; stdout, stderr and exit codes out."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auth.keys import shared_secret
from auth.principal import ORDINARY_SCOPES, Principal, Scope
from auth.tokens import TokenVerifier
from gateway.data_directory import DataDirectory
from tests.auth import keyring
from tests.gateway.command_line import WAGATE, Server, environment, serving, wagate, wagate_process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


def principal_of(token: str, secret: str) -> Principal:
    return asyncio.run(TokenVerifier(shared_secret(secret)).verify(token))


def test_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    ended = wagate(
        tmp_path,
        *("token", "--sub", "anna", "--tenant", "acme", "--scope", "messages:send"),
        *("--scope", "sessions:read", "--session", "demo", "--session", "other"),
        *("--expires", "30d"),
    )
    assert ended.returncode == 0
    token = ended.stdout.removesuffix("\n")
    principal = principal_of(token, DataDirectory(tmp_path / "data").jwt_secret())
    assert (principal.subject, principal.tenant) == ("anna", "acme")
    assert principal.scopes == {Scope.MESSAGES_SEND, Scope.SESSIONS_READ}
    assert principal.sessions == frozenset({"demo", "other"})
    remaining = principal.expires_at - datetime.now(UTC)
    assert timedelta(days=29) < remaining <= timedelta(days=30)


def test_token_has_every_scope_but_admin_unless_told(tmp_path: Path) -> None:
    token = wagate(tmp_path, "token", "--sub", "me", WAGATE_JWT_SECRET=keyring.SECRET).stdout
    assert principal_of(token.strip(), keyring.SECRET).scopes == ORDINARY_SCOPES
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--sub", "me", "--expires", "10y"], 1, "expected a number and s, m, h, d or w"),
        (["--sub", "me", "--expires", "999d"], 1, "366 days"),
        (["--sub", "me", "--expires", "0s"], 1, "366 days"),
        (["--sub", "me", "--expires", "999999w"], 1, "366 days"),
        (["--sub", " "], 1, "printable characters"),
        (["--sub", "me", "--scope", "everything"], 2, "everything"),
        ([], 2, "--sub"),
    ],
)
def test_token_refuses_with_a_sentence_and_an_empty_stdout(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    ended = wagate(tmp_path, "token", *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_token_can_not_be_made_without_the_private_key(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(keyring.public_pem(keyring.rsa_key()))
    (tmp_path / ".env").write_text("WAGATE_JWT_ALGORITHM=RS256\nWAGATE_JWT_PUBLIC_KEY=key.pem\n")
    ended = wagate(tmp_path, "token", "--sub", "me")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "RS256" in ended.stderr


def test_settings_are_printed_in_words_as_json_and_as_an_example(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"WAGATE_PORT=3001\nWAGATE_JWT_SECRET={keyring.SECRET}\nPORT=5\n"
    )
    text = wagate(tmp_path, "settings")
    assert "WAGATE_PORT = 3001  [.env:1; default: 3000]" in text.stdout
    assert "PORT is not read; WAGATE_PORT would be" in text.stderr
    rows = json.loads(wagate(tmp_path, "settings", "--json").stdout)
    assert {"WAGATE_PORT", "WAGATE_JWT_SECRET"} <= {row["variable"] for row in rows}
    example = wagate(tmp_path, "settings", "--example").stdout
    assert "\n#WAGATE_PORT=3000\n" in example
    assert keyring.SECRET not in text.stdout + json.dumps(rows) + example


@pytest.mark.parametrize(
    "command", [["serve"], ["settings"], ["token", "--sub", "me"], ["migrate"], ["qr", "demo"]]
)
def test_wrong_settings_stop_every_command_with_line_and_reason(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / ".env").write_text("\nWAGATE_PORT=abc\nWAGATE_HOTS=x\n")
    ended = wagate(tmp_path, *command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "WAGATE_PORT (.env:2): read 'abc', expected a valid integer" in ended.stderr
    assert "WAGATE_HOTS (.env:3): there is no such setting" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == [".env"]


def test_serve_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = wagate_process(tmp_path, "serve", "--engine", "simulator", "--port", port)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_and_migrate_refuse_a_data_directory_in_use(server: Server) -> None:
    data = str(server.directory / "data")
    for command in (["serve", "--engine", "simulator", "--port", "0"], ["migrate"]):
        ended = wagate_process(server.directory, *command, "--data-directory", data)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"in use by process {server.process.pid}" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_serve_prints_a_working_token_and_logs_none(server: Server) -> None:
    assert server.call("GET", "/whatsapp")["total"] >= 0
    deadline = time.monotonic() + 10
    # The line is written behind the answer.
    while not any(line.get("path") == "/whatsapp" for line in server.logs()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.token not in (server.directory / "log").read_text()


def test_the_token_of_another_terminal_works_on_the_running_server(server: Server) -> None:
    made = wagate(server.directory, "token", "--sub", "admin")
    assert made.stderr == ""
    other = Server(server.process, server.directory, "", server.url, made.stdout.strip())
    assert other.call("GET", "/whatsapp")["limit"] == 50


def test_migrate_makes_the_tables_and_a_start_may_then_be_forbidden_to(tmp_path: Path) -> None:
    forbidden = {"WAGATE_MIGRATE_AT_START": "false"}
    refused = wagate_process(tmp_path, "serve", "--engine", "simulator", "--port", "0", **forbidden)
    assert refused.returncode == 1
    assert "wagate migrate" in refused.stderr
    assert wagate_process(tmp_path, "migrate").returncode == 0
    with serving(tmp_path, **forbidden) as server:
        assert server.call("GET", "/whatsapp")["items"] == []


def test_migrate_explains_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wagate.db").write_text("no database " * 200)
    ended = wagate_process(tmp_path, "migrate")
    assert ended.returncode == 1
    assert "no SQLite database" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [["migrate"], ["serve", "--engine", "simulator"]])
def test_a_database_that_can_not_be_opened_is_explained(tmp_path: Path, command: list[str]) -> None:
    url = f"sqlite:///{tmp_path}/missing/wagate.db"
    ended = wagate_process(tmp_path, *command, "--database-url", url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "unable to open database file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_qr_creates_activates_draws_and_ends_when_the_phone_has_scanned(server: Server) -> None:
    with subprocess.Popen(
        [*WAGATE, "qr", "scan-me", "--create", "--activate", "--url", server.url],
        cwd=server.directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        drawn = ""
        while "Link a device, then scan this code." not in drawn:
            line = process.stdout.readline()
            assert line, f"it ended: {drawn}"
            drawn += line
        server.call("POST", "/simulator/scan-me/scan", {})
        rest, complaints = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "CONNECTED" in rest
    assert complaints == ""
    assert drawn.count("█") > 200
    assert "\x1b" not in drawn + rest
    again = wagate(server.directory, "qr", "scan-me", "--activate", "--url", server.url)
    assert (again.returncode, "█" in again.stdout) == (0, False)


def test_qr_ends_with_the_sessions_message_when_the_login_fails(server: Server) -> None:
    with subprocess.Popen(
        [*WAGATE, "qr", "fail-me", "--create", "--activate", "--url", server.url],
        cwd=server.directory,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 20
        while not _shows_qr(server, "fail-me"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        server.call("POST", "/simulator/fail-me/faults", {"kind": "passkey_required"})
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "FAILED" in output
    assert "passkey" in output


def _shows_qr(server: Server, name: str) -> bool:
    sessions = server.call("GET", "/whatsapp")["items"]
    return any(item["sessionId"] == name and item["status"] == "QR_READY" for item in sessions)


def test_qr_gives_up_after_its_timeout(server: Server) -> None:
    ended = wagate(
        server.directory,
        *("qr", "slow", "--create", "--activate", "--timeout", "2", "--url", server.url),
    )
    assert ended.returncode == 1
    assert "Not connected after 2 seconds" in ended.stderr


def test_qr_says_why_it_can_not_show_a_code(server: Server) -> None:
    server.call("POST", "/whatsapp", {"sessionId": "asleep"})
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    here = ["--url", server.url]
    for arguments, said in (
        (["asleep", *here], "add --activate"),
        (["unknown", *here], "no session unknown of the tenant admin"),
        (["asleep", *here, "--tenant", "other"], "no session asleep of the tenant other"),
        (["a b", *here], "no session a b"),
        (["asleep", *here, "--token", "garbage"], "token"),
        (["asleep", "--url", nobody], "does not answer"),
        (["asleep", "--url", "http://gateway.example"], "--token"),
    ):
        ended = wagate(server.directory, "qr", *arguments)
        assert ended.returncode == 1, arguments
        assert said in ended.stderr, arguments
        assert "Traceback" not in ended.stderr


def test_version_is_printed(tmp_path: Path) -> None:
    assert wagate(tmp_path, "version").stdout.count(".") == 2


def test_after_a_restore_every_log_has_a_new_identity(tmp_path: Path) -> None:
    database = tmp_path / "data" / "wagate.db"
    assert wagate(tmp_path, "migrate").returncode == 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        columns = "id, tenant, name, extra, is_active, status, reason, created_at, updated_at"
        connection.execute(
            f"INSERT INTO sessions ({columns}, log_id, last_seq, trimmed_seq, epoch) "  # noqa: S608
            "VALUES ('a', 't', 'n', '{}', 0, 'DISCONNECTED', 'created', 1, 1, 'old', 7, 0, 0)"
        )
        connection.commit()

    assert wagate(tmp_path, "restored").returncode == 0

    with contextlib.closing(sqlite3.connect(database)) as connection:
        ((log_id, last_seq),) = connection.execute("SELECT log_id, last_seq FROM sessions")
    assert log_id != "old"
    assert last_seq == 7
