"""`wagate token revoke` against a running server, and what a revocation does there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest

from tests.auth import keyring
from tests.gateway.command_line import Ended, Server, serving, wagate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


def made(server: Server, *arguments: str) -> str:
    """Return what `wagate token` prints."""
    ended = wagate(server.directory, "token", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def revoke(server: Server, *arguments: str, **variables: str) -> Ended:
    """Run the command against the server."""
    return wagate(server.directory, "token", "revoke", "--url", server.url, *arguments, **variables)


def code(server: Server, token: str) -> str:
    """Return `ok`, or the code of the refusal."""
    answer = httpx.get(
        f"{server.url}/whatsapp", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


def id_of(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


def test_a_token_is_refused_and_its_owners_others_are_not(server: Server) -> None:
    lost, other = (made(server, "--sub", "anna", "--tenant", "acme") for _ in range(2))
    ended = revoke(server, "--token", lost)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (f"Refused from now on: the token {id_of(lost)} of the tenant acme.\n")
    assert (code(server, lost), code(server, other)) == ("token_revoked", "ok")


def test_a_token_may_come_from_stdin_where_no_list_of_processes_shows_it(server: Server) -> None:
    lost = made(server, "--sub", "ben")
    ended = wagate(
        server.directory,
        *("token", "revoke", "--url", server.url, "--token", "-"),
        stdin=f"{lost}\n",
    )
    assert ended.returncode == 0, ended.stderr
    assert code(server, lost) == "token_revoked"


def test_an_id_is_refused_within_its_tenant_only(server: Server) -> None:
    token = made(server, "--sub", "cara", "--tenant", "acme")
    assert revoke(server, "--token-id", id_of(token), "--tenant", "rival").returncode == 0
    assert code(server, token) == "ok"
    assert revoke(server, "--token-id", id_of(token), "--tenant", "acme").returncode == 0
    assert code(server, token) == "token_revoked"


def test_a_subjects_tokens_are_refused_and_one_made_right_afterwards_is_not(server: Server) -> None:
    older = made(server, "--sub", "dora")
    ended = revoke(server, "--sub", "dora")
    assert ended.returncode == 0, ended.stderr
    assert "tokens of dora in the tenant dora that were issued before 20" in ended.stdout
    assert code(server, older) == "token_revoked"
    assert code(server, made(server, "--sub", "dora")) == "ok"


def test_a_moment_decides_and_has_this_machines_zone_unless_told(server: Server) -> None:
    token = made(server, "--sub", "emil")
    hour_ago = (datetime.now().astimezone() - timedelta(hours=1)).replace(microsecond=0)
    local = hour_ago.replace(tzinfo=None).isoformat()
    ended = revoke(server, "--sub", "emil", "--not-before", local)
    assert hour_ago.astimezone(UTC).isoformat().removesuffix("+00:00") in ended.stdout
    assert code(server, token) == "ok"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert revoke(server, "--sub", "emil", "--not-before", soon).returncode == 0
    assert code(server, token) == "token_revoked"


def test_a_token_that_is_set_must_be_of_the_tenant_and_may_be_another_machines(
    server: Server,
) -> None:
    token = made(server, "--sub", "fred")
    boss = made(server, "--sub", "fred", "--scope", "admin")
    ended = revoke(server, "--sub", "gina", WAGATE_TOKEN=boss)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "WAGATE_TOKEN is of the tenant fred" in ended.stderr
    assert revoke(server, "--token", token, WAGATE_TOKEN=boss).returncode == 0
    assert (code(server, token), code(server, boss)) == ("token_revoked", "ok")
    ended = revoke(server, "--token", boss, WAGATE_TOKEN=token)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "revoked" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "returncode", "said"),
    [
        ([], 2, "--token-id"),
        (["--token", "a", "--sub", "b"], 2, "give one of them"),
        (["--token-id", "a"], 2, "--tenant"),
        (["--token", "a", "--not-before", "2026-01-01"], 2, "--sub only"),
        (["--token", "nonsense"], 1, "can't be read as a token"),
        (["--token", keyring.token(sub="x")], 1, "Revoke by its subject: --sub x"),
        (["--token", keyring.token(sub="x", jti="1"), "--tenant", "y"], 1, "of the tenant x"),
        (["--sub", "x", "--not-before", "yesterday"], 1, "read 'yesterday', expected a moment"),
        (["--sub", "x", "--not-before", "2999-01-01"], 1, "At most 5 minutes from now"),
        (["--sub", "x" * 200], 1, "128 printable characters"),
        (["--sub", "x", "--url", "http://gateway.example"], 1, "WAGATE_TOKEN"),
        (["--sub", "x", "--url", "http://127.0.0.1:1"], 1, "does not answer"),
    ],
)
def test_a_refusal_is_a_sentence(
    server: Server, arguments: list[str], returncode: int, said: str
) -> None:
    ended = revoke(server, *arguments)
    assert (ended.returncode, ended.stdout) == (returncode, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_options_of_token_do_not_get_lost_before_revoke(server: Server) -> None:
    ended = wagate(server.directory, "token", "--tenant", "acme", "revoke", "--sub", "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "give it behind" in ended.stderr


def test_what_is_revoked_stays_so_over_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        lost, other = (made(server, "--sub", "anna") for _ in range(2))
        older = made(server, "--sub", "tom")
        assert revoke(server, "--token", lost).returncode == 0
        assert revoke(server, "--sub", "tom").returncode == 0
    with serving(tmp_path) as server:
        assert [code(server, token) for token in (lost, other, older)] == [
            "token_revoked",
            "ok",
            "token_revoked",
        ]
