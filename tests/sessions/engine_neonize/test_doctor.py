"""What `wagate doctor` says of the engine, and that a worker never fetches a library."""

import os
import subprocess
import sys
from pathlib import Path

from sessions.engine_neonize_doctor import Finding, examine
from sessions.engine_neonize_library import go_library_name, package_directory

_EXAMINE = """
import sys
from pathlib import Path
from sessions.engine_neonize_doctor import examine
for finding in examine(Path(sys.argv[1])):
    print(finding.subject, finding.verdict, finding.sentence, sep="|")
"""


def test_this_machine_can_run_the_engine(tmp_path: Path) -> None:
    findings = {finding.subject: finding for finding in examine(tmp_path / "engine")}

    assert [one for one in findings.values() if one.verdict == "fault"] == []
    assert findings["import"].sentence == "neonize 0.5.2 loads, with libmagic."
    assert {"system", "neonize", "Go library", "ffmpeg", "credentials"} <= set(findings)


def test_a_directory_that_can_not_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "engine").write_text("a file")

    findings = {finding.subject: finding for finding in examine(tmp_path / "engine")}

    assert findings["credentials"].verdict == "fault"


def test_a_missing_go_library_is_told_and_not_fetched(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    (package / go_library_name()).unlink()

    findings = _examined(tmp_path, package)

    assert findings["Go library"].verdict == "fault"
    assert "no Go library for this machine" in findings["Go library"].sentence
    assert "import" not in findings
    assert not (package / go_library_name()).exists()


def test_a_go_library_of_another_version_is_told_and_not_replaced(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    source = (package / "download.py").read_text()
    (package / "download.py").unlink()
    (package / "download.py").write_text(source.replace('"0.5.2"', '"0.5.3"'))

    findings = _examined(tmp_path, package)

    assert findings["Go library"].verdict == "fault"
    assert "0.5.3 found a Go library of version 0.5.2" in findings["Go library"].sentence


def test_the_library_loads_without_libmagic_of_the_system(tmp_path: Path) -> None:
    """A `magic` that only finds what a directory of ours offers stands for a bare machine."""
    loader = "import magic.loader, ctypes.util; print(magic.loader.load_lib()._name)"
    hidden = "import ctypes.util; ctypes.util.find_library = lambda name: None; import pylibmagic; "
    done = subprocess.run(
        [sys.executable, "-c", hidden + loader], capture_output=True, text=True, check=True
    )

    assert Path(done.stdout.strip()).parent.name == "pylibmagic"


def _copy(directory: Path) -> Path:
    """Return a copy of the package by links, whose files can be changed."""
    original = package_directory()
    assert original is not None
    package = directory / "packages" / "neonize"
    package.mkdir(parents=True)
    for file in original.iterdir():
        if file.name != "__pycache__":
            (package / file.name).symlink_to(file)
    return package


def _examined(directory: Path, package: Path) -> dict[str, Finding]:
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", _EXAMINE, str(directory / "engine")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    lines = [line.split("|", 2) for line in done.stdout.splitlines()]
    return {line[0]: Finding(line[0], line[1], line[2]) for line in lines}  # type: ignore[arg-type]
