"""Is it alive, is it ready, how is it doing: for orchestrators and Prometheus, without a token."""

from typing import Literal

from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from api.errors import RETRY_AFTER_SECONDS, problem
from api.operations import Answer, Call, Operation, json_response
from api.schemas import AnyQuery, Nothing


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The server takes commands; `degraded` says what does not work meanwhile."""

    status: Literal["ready"] = "ready"
    degraded: list[str] = []


class Metrics(BaseModel):
    """Figures by name; see the text."""

    model_config = ConfigDict(extra="allow")


async def live(_: Call[Nothing, AnyQuery]) -> Response:
    """Answer as long as the event loop turns; a restart helps when it does not."""
    return json_response(Alive())


async def ready(call: Call[Nothing, AnyQuery]) -> Response:
    """Tell whether to send requests here, and if not, why."""
    # Asked of memory, never of the database: a probe must not wait for what it reports.
    reasons = call.manager.healthy()
    if not reasons:
        return json_response(Ready(degraded=call.request.state["degraded"]()))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    detail = f"Not ready: {'; '.join(reasons)}."
    return problem(503, "not_ready", detail, headers=headers, members={"reasons": reasons})


async def metrics(call: Call[Nothing, AnyQuery]) -> Response:
    """Return the figures in the format that the scraper prefers."""
    encode, content_type = choose_encoder(call.request.headers.get("accept", ""))
    content = encode(call.request.state["metrics"])
    return Response(content, headers={"Content-Type": content_type})


OPERATIONS = (
    Operation("GET", "/health/live", "live", "Is it alive?", live, {200: Answer("Alive.", Alive)}),
    Operation(
        "GET",
        "/health/ready",
        "ready",
        "Is it ready, and if not, why?",
        ready,
        {200: Answer("Ready.", Ready), 503: Answer("Not ready: `reasons` tells why.")},
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Figures for Prometheus",
        metrics,
        {200: Answer("Figures.", media_types=("text/plain", "application/openmetrics-text"))},
    ),
)
