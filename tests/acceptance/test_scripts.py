"""The scripts that users run by hand, run as they run them."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.acceptance.phones import FRIEND, World, link

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SECONDS = 40.0

pytestmark = pytest.mark.timeout(120)


class RunningScript:
    """A script at work, and what it has printed so far."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.printed = ""

    async def prints(self, text: str) -> None:
        """Wait until it has printed this."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while text not in self.printed:
                chunk = await self._process.stdout.read(65_536)
                assert chunk, f"it has ended without {text!r}: {self.printed}"
                self.printed += chunk.decode(errors="replace")

    async def ends(self) -> int:
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(SECONDS):
            rest, _ = await self._process.communicate()
            self.printed += rest.decode(errors="replace")
            return await self._process.wait()


@asynccontextmanager
async def running(
    name: str, *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[RunningScript]:
    """Start a script, and kill it if it is still running at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        SCRIPTS / name,
        *arguments,
        stdout=PIPE,
        stderr=STDOUT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120", **environment},
    )
    try:
        yield RunningScript(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_script(name: str, *arguments: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a script to its end; return its exit code and what it printed."""
    async with running(name, *arguments, environment=environment) as script:
        return await script.ends(), script.printed


async def environment_of(world: World, session: str = "support") -> dict[str, str]:
    """Return the environment that tells the scripts where to go."""
    token = await world.gateway.token()
    url = world.gateway.url
    return {"WAGATE_URL": url, "WAGATE_TOKEN": token, "WAGATE_SESSION": session}


async def test_the_client_draws_the_code_and_ends_when_connected(simulated_world: World) -> None:
    world = simulated_world
    environment = await environment_of(world)
    arguments = ("test_websocket_client", "--until", "connected")
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await frontend.create("support")
        async with running(*arguments, environment=environment) as script:
            await script.prints("answer")
            await frontend.call("POST", "/whatsapp/support/activate", expect=202)
            await script.prints("Attempt 0 of 3")
            await phone.scan("")
            assert await script.ends() == 0
    assert "█" in script.printed
    assert "session:connected" in script.printed


async def test_the_whole_flow_runs_to_its_end(simulated_world: World) -> None:
    world = simulated_world
    environment = await environment_of(world)
    async with (
        world.frontend() as frontend,
        running("complete_flow", environment=environment) as script,
    ):
        phone = world.phone(frontend, "support")
        await script.prints("Attempt 0 of 3")
        await phone.scan("")
        await script.prints("Write something")
        await phone.is_written_to("hello")
        assert await script.ends() == 0, script.printed
        await phone.friend_has("Hello from Wagate")
    assert "█" in script.printed
    assert "delivered" in script.printed


async def test_the_flow_with_a_recipient_waits_for_nobody(simulated_world: World) -> None:
    world = simulated_world
    environment = await environment_of(world)
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await link(frontend, "support", phone)
        code, printed = await run_script(
            "complete_flow", "--to", FRIEND, "--text", "good morning", environment=environment
        )
        await phone.friend_has("good morning")
    assert code == 0, printed


async def test_exit_codes_tell_what_went_wrong(simulated_world: World) -> None:
    environment = await environment_of(simulated_world)
    async with simulated_world.frontend() as frontend:
        await frontend.create("support")
    for script in ("test_websocket_client", "complete_flow"):
        code, printed = await run_script(script, environment={})
        assert (code, "no token" in printed) == (2, True), printed
        code, printed = await run_script(script, "--token", "nonsense", environment=environment)
        assert code == 3, printed
        assert "nonsense" not in printed
        code, printed = await run_script(script, "--timeout", "2", environment=environment)
        assert code == 4, printed
        code, printed = await run_script(
            script, "--url", "http://127.0.0.1:1", environment=environment
        )
        assert code == 1, printed
        assert "Traceback" not in printed
    code, printed = await run_script(
        "test_websocket_client", "--session", "nobody", environment=environment
    )
    assert code == 3, printed
