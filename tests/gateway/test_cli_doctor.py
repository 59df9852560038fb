"""`wagate doctor`: what a start needs, on the simulator; the engine's findings have own tests."""

import socket
from pathlib import Path

from gateway.data_directory import SECRET_FILE, DataDirectory
from tests.gateway.command_line import Ended, serving, wagate


def doctor(directory: Path, **variables: str) -> Ended:
    return wagate(directory, "doctor", WAGATE_ENGINE="simulator", **variables)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_a_fresh_machine_is_well_and_no_table_is_made(tmp_path: Path) -> None:
    ended = doctor(tmp_path, WAGATE_PORT=free_port())
    assert ended.returncode == 0, ended.stdout
    assert "fault" not in ended.stdout
    assert "can be written and is free" in ended.stdout
    assert "the next start brings its tables up to date" in ended.stdout


def test_a_running_server_is_no_fault(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ended = doctor(tmp_path, WAGATE_PORT=server.url.rpartition(":")[2])
        assert ended.returncode == 0, ended.stdout
        assert f"process {server.process.pid}" in ended.stdout
        assert "in use by the running server" in ended.stdout
        assert "up to date" in ended.stdout


def test_every_fault_is_found_and_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    DataDirectory(data).jwt_secret()
    (data / SECRET_FILE).chmod(0o644)
    (data / "wagate.db").write_text("no database " * 200)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = doctor(tmp_path, WAGATE_PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    failed = [line for line in ended.stdout.splitlines() if line.startswith("fault ")]
    assert [line.partition(":")[0].split(maxsplit=1)[1] for line in failed] == [
        "secret",
        "database",
        "port",
    ]
    assert "chmod 600" in ended.stdout


def test_the_engine_is_examined_where_its_credentials_are_kept(tmp_path: Path) -> None:
    ended = wagate(tmp_path, "doctor", WAGATE_PORT=free_port())
    assert "Go library" in ended.stdout
    assert str(tmp_path / "data" / "engine") in ended.stdout


def test_a_data_directory_that_is_none_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    ended = doctor(tmp_path, WAGATE_PORT=free_port())
    assert ended.returncode == 1
    assert "fault   data directory" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_what_is_beside_the_server_is_asked_and_no_start_depends_on_it(
    tmp_path: Path, redis_url: str, rabbitmq_url: str
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    away = doctor(
        tmp_path,
        WAGATE_PORT=free_port(),
        WAGATE_REDIS_URL=f"redis://{nobody}/0",
        WAGATE_RABBITMQ_URL=f"{rabbitmq_url.rpartition('/')[0]}/nobody-made-this",
        WAGATE_BACKEND_API_URL=f"http://{nobody}",
        WAGATE_BULLMQ_REDIS_URL=redis_url,
    )
    assert away.returncode == 0, away.stdout
    warnings = [line for line in away.stdout.splitlines() if line.startswith("warning ")]
    assert [line.partition(":")[0].split(maxsplit=1)[1] for line in warnings] == [
        "RabbitMQ",
        "Redis",
        "back end",
    ]
    assert "virtual host" in warnings[0]
    assert any(
        "BullMQ: It answers" in line for line in away.stdout.splitlines() if line.startswith("ok")
    )
    assert "guest" not in away.stdout
