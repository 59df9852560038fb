"""The data directory: made private, held by one process, and every refusal a sentence."""

import multiprocessing
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from auth.keys import check_secret
from gateway.data_directory import LOCK_FILE, SECRET_FILE, DataDirectory, DataDirectoryError

HOLD = """
import sys
from pathlib import Path
from gateway.data_directory import DataDirectory

with DataDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def secret_of(path: Path) -> str:
    return DataDirectory(path).jwt_secret()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_lock_and_secret_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    with DataDirectory(path) as directory:
        directory.jwt_secret()
        assert directory.path.is_absolute()
    assert mode(path) == 0o700
    assert sorted(file.name for file in path.iterdir()) == [SECRET_FILE, LOCK_FILE]
    assert {mode(file) for file in path.iterdir()} == {0o600}


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert DataDirectory(tmp_path).holder() == str(holder.pid)
        with (
            pytest.raises(DataDirectoryError, match=f"in use by process {holder.pid}"),
            DataDirectory(tmp_path),
        ):
            pass
        # Killed, so that nothing of it could let go in order.
        holder.kill()
        holder.wait(10)
        with DataDirectory(tmp_path):
            assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    assert DataDirectory(tmp_path).holder() is None


def test_a_process_started_by_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        child = subprocess.Popen(["sleep", "30"])
    try:
        assert DataDirectory(tmp_path).holder() is None
    finally:
        child.kill()
        child.wait(10)


def test_the_secret_is_made_once_even_by_processes_at_the_same_time(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        made = pool.map(secret_of, [tmp_path] * 8)
    assert len(set(made)) == 1
    check_secret(made[0])
    assert secret_of(tmp_path) == made[0]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe" * 40])
def test_a_damaged_secret_is_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(DataDirectoryError, match=str(tmp_path)):
        secret_of(tmp_path)
    assert (tmp_path / SECRET_FILE).read_bytes() == content


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(DataDirectoryError, match="can't be used"), DataDirectory(path):
            pass


def test_a_lock_file_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    data = tmp_path / "data"
    data.mkdir()
    (data / LOCK_FILE).symlink_to(target)
    with pytest.raises(DataDirectoryError), DataDirectory(data):
        pass
    assert target.read_text() == "kept"


@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_a_directory_that_cannot_be_written_is_explained(tmp_path: Path, fault: str) -> None:
    """In a child with file sizes limited, as a full disk limits them, or without root's powers."""
    tmp_path.chmod(0o777)
    (tmp_path / "data").mkdir(mode=0o555)
    script = textwrap.dedent(
        f"""
        import os, resource, signal
        from pathlib import Path
        from gateway.data_directory import DataDirectory, DataDirectoryError

        if {fault!r} == "full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        elif os.getuid() == 0:
            os.chdir({str(tmp_path)!r})
            os.setuid(65534)
        try:
            with DataDirectory(Path({str(tmp_path / "data")!r})):
                print("entered")
        except DataDirectoryError as error:
            print(error)
        """
    )
    if fault == "full":
        (tmp_path / "data").chmod(0o755)
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert "can't be used" in said
    assert "--data-directory" in said
    assert list((tmp_path / "data").iterdir()) == []
