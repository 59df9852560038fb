"""Schemathesis against a server that runs: everything is answered as the document says."""

import asyncio
import sys
from pathlib import Path


async def fuzzed(directory: Path, port: int, token: str, *options: str, seconds: float) -> None:
    """Run it in a directory, whose `schemathesis.toml` counts; AssertionError with what it says."""
    tester = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"http://127.0.0.1:{port}/openapi.json",
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", "examples,coverage,fuzzing", "--no-color"),
        # The same calls each time: no run differs from another by luck.
        "--generation-deterministic",
        *options,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(tester.communicate(), timeout=seconds)
    finally:
        if tester.returncode is None:
            tester.kill()
            await tester.wait()
    assert tester.returncode == 0, output.decode()
