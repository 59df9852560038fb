"""The house itself: sizes, places, locks and documents, as style and decisions promise them."""

import ast
import os
import re
import stat
import statistics
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for p in (ROOT / "src").rglob("*.py") if "migrations" not in p.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# In pieces, so that this file does not contain what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
)


def lines(path: Path) -> int:
    return path.read_text().count("\n")


def functions(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.name}"


def ninetieth_percentile(values: list[int]) -> int:
    return sorted(values)[int(len(values) * 0.9)]


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True, timeout=30
    )
    paths = [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def pins(lock: str) -> dict[str, str]:
    """Return each `name==version ; marker` of a lock file, by name and marker."""
    found = re.findall(r"^([a-z0-9._-]+)==(\S+)(.*?) \\$", (ROOT / lock).read_text(), re.MULTILINE)
    return {f"{name}{marker}": version for name, version, marker in found}


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def normalized(requirement: str) -> str:
    name = re.split(r"[\[<>=!~;\s]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    too_long = [f"{path.relative_to(ROOT)}: {lines(path)}" for path in SOURCES if lines(path) > 300]
    assert too_long == []


def test_modules_are_mostly_short() -> None:
    sizes = [lines(path) for path in SOURCES if lines(path) >= 3]
    assert statistics.median(sizes) <= 150
    assert ninetieth_percentile(sizes) <= 250


def test_no_function_is_longer_than_a_screen() -> None:
    assert [
        f"{name}: {size}" for path in SOURCES for size, name in functions(path) if size > 50
    ] == []


def test_functions_are_mostly_short() -> None:
    sizes = [size for path in SOURCES for size, _ in functions(path)]
    assert statistics.median(sizes) <= 8
    assert ninetieth_percentile(sizes) <= 30


def test_tests_speak_to_the_real_thing() -> None:
    texts = [path.read_text() for path in TESTS if path != Path(__file__)]
    tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, re.MULTILINE)) for text in texts)
    doubles = re.compile(r"Mock\(|patch\(|patch\.object|mocker\.|monkeypatch")
    mocked = sum(len(doubles.findall(text)) for text in texts)
    assert mocked * 100 <= 10 * tests


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    assert [path for path in SOURCES if path.stem in drawers or path.parent.name in drawers] == []


def test_the_repository_names_no_registry_and_no_path_of_this_machine() -> None:
    # A checkout right below the root, such as /data, is a word that documents may use.
    places = {Path.home(), *([ROOT] if len(ROOT.parts) > 2 else [])} - {Path("/")}
    words = (*REGISTRY_HOSTS, *(f"{place}/" for place in places))
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked_files()
        for word in words
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_every_habit_is_one_short_executable_script() -> None:
    scripts = [p for p in (ROOT / "scripts").iterdir() if p.is_file() and p.suffix == ""]
    assert {"install", "run", "test", "lint", "check", "bench", "lock"} <= {p.name for p in scripts}
    assert [path.name for path in scripts if lines(path) >= 15] == []
    assert [path.name for path in scripts if not path.stat().st_mode & stat.S_IXUSR] == []


@pytest.mark.parametrize("target", ["run", "test", "install", "check", "lint", "bench"])
def test_make_has_a_target_that_only_calls_its_script(target: str) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--directory", ROOT, "--no-print-directory", target],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    expected = [f"scripts/{name}" for name in dict.fromkeys(("install", target))]
    assert planned.stdout.splitlines() == expected


def test_both_locks_hold_the_same_releases() -> None:
    everything, runtime = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert runtime
    assert runtime.items() <= everything.items()


def test_the_locks_hold_every_dependency() -> None:
    runtime = {key.split(" ")[0] for key in pins("requirements-runtime.lock")}
    everything = {key.split(" ")[0] for key in pins("requirements.lock")}
    assert {normalized(each) for each in project()["dependencies"]} <= runtime
    assert {normalized(each) for each in project()["optional-dependencies"]["dev"]} <= everything


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.stem[:4]
)
def test_a_decision_tells_its_context_and_its_alternatives(page: Path) -> None:
    text = page.read_text()
    assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Alternatives"))
    assert lines(page) <= 60


def test_every_promise_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    proofs = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert proofs
    missing = [
        f"{file}::{name}"
        for file, name in proofs
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_documents_link_to_what_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dead == []
