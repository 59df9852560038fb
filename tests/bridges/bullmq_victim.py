"""A gateway's domain with its queues in a process of its own, to be killed.

`python -m tests.bridges.bullmq_victim <directory> <redis URL> <prefix>` serves until its end.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.bridge_bullmq_library import QueueNames
from tests.bridges.bullmq_site import running_site


@asynccontextmanager
async def victim(directory: Path, names: QueueNames) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one; it is killed with the block, if not before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(directory), names.url, names.prefix
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _serve(directory: Path, names: QueueNames) -> None:
    async with running_site(directory, names):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), QueueNames(sys.argv[2], prefix=sys.argv[3])))
