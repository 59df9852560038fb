"""The composed server, as the process that operators start."""

import asyncio
from pathlib import Path

import httpx
from redis.asyncio import Redis

from gateway import asyncapi
from tests.acceptance.gateway_process import GatewayProcess
from tests.services import RedisServer
from tests.sessions.house import until


async def client_of(gateway: GatewayProcess) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {await gateway.token()}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False)


async def test_the_server_describes_its_real_time_edge(tmp_path: Path) -> None:
    async with (
        GatewayProcess.running(tmp_path, engine="simulator") as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http,
    ):
        answer = await http.get("/asyncapi.json")
    assert answer.json() == await asyncio.to_thread(asyncapi.document)


async def test_a_slash_too_many_is_an_unknown_path_and_no_redirect(tmp_path: Path) -> None:
    async with (
        GatewayProcess.running(tmp_path, engine="simulator") as gateway,
        await client_of(gateway) as http,
    ):
        for path in ("/whatsapp/", "/docs/", "/health/live/"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_qr_code_is_in_redis_and_outlives_it(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    environment = {"WAGATE_REDIS_URL": redis_server.url}
    async with (
        GatewayProcess.running(tmp_path, engine="simulator", environment=environment) as gateway,
        await client_of(gateway) as http,
        Redis.from_url(redis_server.url) as redis,
    ):
        session = (await http.post("/whatsapp", json={"sessionId": "one"})).json()
        await http.post("/whatsapp/one/activate")
        shown = await until(
            lambda: http.get("/whatsapp/one/qr"), lambda answer: answer.status_code == 200
        )
        key = f"wagate:qr:{session['id']}"
        assert shown.json()["code"] in str(await redis.get(key))
        assert await redis.pttl(key) > 0

        redis_server.kill()

        assert (await http.get("/whatsapp/one/qr")).json() == shown.json()
        assert await gateway.stop() == 0
    assert shown.json()["code"] not in gateway.log.read_text()
