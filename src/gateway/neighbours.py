"""Whether what the settings name beside this server answers; the server starts without it, too."""

import asyncio
from collections.abc import Awaitable, Iterator
from urllib.parse import urlsplit

from pydantic import SecretStr
from redis.asyncio import Redis

from gateway.bridge_rabbitmq_link import probe
from gateway.settings import Settings
from sessions.engine_neonize_doctor import Finding
from sessions.redis_calls import FAILURES, within

_SECONDS = 5.0


def neighbours(settings: Settings) -> Iterator[Finding]:
    """Ask each that is set."""
    if settings.rabbitmq_url is not None:
        yield _finding("RabbitMQ", probe(settings.rabbitmq_url.get_secret_value()))
    for name, url in (("Redis", settings.redis_url), ("BullMQ", settings.bullmq_redis_url)):
        if url is not None:
            yield _finding(name, _redis_fault(url))
    if settings.backend_api_url is not None:
        yield _finding("back end", _web_fault(settings.backend_api_url))


def _finding(name: str, asking: Awaitable[str | None]) -> Finding:
    async def ask() -> str | None:
        return await asking

    fault = asyncio.run(ask())
    if fault is None:
        return Finding(name, "ok", "It answers.")
    return Finding(name, "warning", f"{fault}. The server starts without it, and tries again.")


async def _redis_fault(url: SecretStr) -> str | None:
    redis = Redis.from_url(url.get_secret_value())
    try:
        async with within(_SECONDS):
            await redis.ping()
    except FAILURES as error:
        return str(error) or f"it does not answer within {_SECONDS:g} s"
    finally:
        await redis.aclose()
    return None


async def _web_fault(url: str) -> str | None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_SECONDS):
            # Connected to only: its two paths take events, and none is to be made up.
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        return f"it does not answer within {_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    writer.close()
    return None
