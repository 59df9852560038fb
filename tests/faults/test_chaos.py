"""A minute of everything at once."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_a_minute_of_chaos_loses_repeats_and_displaces_nothing() -> None:
    """Row 50, in short: `scripts/chaos` for a minute, with another seed in each run."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.chaos", "--minutes", "1"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    figures = {name: int(count) for count, name in re.findall(r"(\d+) (\D+)\n", printed.decode())}
    assert process.returncode == 0, printed.decode()
    assert figures["sent"] > 100
    assert figures["received"] > 100
