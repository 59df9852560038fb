"""A chatbot back end that has a key and no token links a phone and talks, on both engines."""

import base64
import io
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from tests.acceptance.phones import FRIEND, World, running_world
from tests.bridges.chatbot_backend import KEY, ChatbotBackEnd, ChatbotCaller
from tests.sessions.house import until

CHATBOT = "5f0c7f3e"
NAME = f"chatbot_{CHATBOT}"

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("engine", ["simulator", "neonize"])
async def test_a_chatbot_is_linked_and_talks(engine: str, tmp_path: Path) -> None:
    async with ChatbotBackEnd().up() as backend:
        settings = {
            "BACKEND_API_URL": backend.url,
            "BACKEND_API_KEY": KEY,
            "WAGATE_BRIDGE_TENANT": "tests",
        }
        async with running_world(engine, tmp_path, settings=settings) as world:
            await is_served(world, backend)
            assert KEY not in world.gateway.log.read_text()


async def is_served(world: World, backend: ChatbotBackEnd) -> None:
    """Go through everything that such a back end does."""
    async with (
        ChatbotCaller.calling(world.gateway.url) as caller,
        # Holds the simulated phone; the tenant's, as sessions are.
        world.frontend() as frontend,
    ):
        assert (await caller.post("/init", chatbotId=CHATBOT))["sessionId"] == NAME
        shown = await backend.hears("qr", seconds=40)
        phone = world.phone(frontend, NAME)
        await phone.scan(text_of(shown["data"]["qrCode"]))
        up = await backend.hears("connected", seconds=40)
        assert (up["data"]["chatbotId"], up["data"]["phoneNumber"]) == (CHATBOT, f"+{phone.number}")

        await phone.is_written_to("is anybody there?")
        (message,) = await backend.gets(1, seconds=40)
        assert (message["message"], message["phone"]) == ("is anybody there?", FRIEND)
        sent = await caller.post("/send", sessionId=NAME, to=message["from"], message="a bot is")
        assert sent["status"] == "queued"
        await phone.friend_has("a bot is")

        status = await caller.get(f"/session/{CHATBOT}")
        assert (status["connected"], status["sessionId"]) == (True, NAME)
        await caller.post("/disconnect", sessionId=NAME)
        down = await backend.hears("disconnected", seconds=40)
        assert down["data"]["reason"] == "deactivated"
        assert len(backend.words("connected", "disconnected")) == 2
        assert len(backend.messages()) == 1


async def test_a_server_serves_without_its_back_end_and_says_so(tmp_path: Path) -> None:
    backend, origin, other = ChatbotBackEnd(), "https://app.example", "another-key-of-somebody"
    async with backend.up():
        pass
    settings = {
        "BACKEND_API_URL": backend.url,
        "BACKEND_API_KEY": KEY,
        "WAGATE_ALLOWED_ORIGINS": origin,
    }
    async with (
        running_world("simulator", tmp_path, settings=settings) as world,
        ChatbotCaller.calling(world.gateway.url) as caller,
    ):
        refused = await caller.http.get("/status/x", headers={"X-API-Key": other})
        assert refused.status_code == 401
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-API-Key",
        }
        allowed = await caller.http.options("/send", headers=asked)
        assert "X-API-Key" in allowed.headers["access-control-allow-headers"]
        await caller.post("/init", chatbotId=CHATBOT)

        async def degraded() -> list[str]:
            found: list[str] = (await caller.http.get("/health/ready")).json()["degraded"]
            return found

        (fault,) = await until(degraded, bool)
        assert fault.startswith("The chatbot back end can't be told")
        written = world.gateway.log.read_text()
    assert KEY not in written
    assert other not in written


def text_of(data_url: str) -> str:
    """Read a QR code from its image, as a phone does."""
    image = Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))
    found = zxingcpp.read_barcode(image)
    assert found is not None
    return found.text
