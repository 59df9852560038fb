"""How the bridges to other back ends are doing, and another try for what they refused."""

from starlette.responses import Response

from api.bridge_status import BridgeList, BridgeStatus, Redelivery
from api.operations import Answer, Call, Operation, json_response
from api.schemas import NoQuery, Nothing
from auth.principal import Scope
from sessions.errors import BridgeNotFound, Unavailable
from sessions.ids import TenantId


async def list_(call: Call[Nothing, NoQuery]) -> Response:
    """Return the bridges that carry the caller's events."""
    return json_response(BridgeList(items=await _visible(call)))


async def retry(call: Call[Nothing, NoQuery]) -> Response:
    """Try again now instead of when the pause is over."""
    name = await _name(call)
    call.request.state["bridges"].nudge(name)
    return Response(status_code=202)


async def redeliver(call: Call[Nothing, NoQuery]) -> Response:
    """Hand over again what the bridge had refused for good."""
    name = await _name(call)
    return json_response(await call.request.state["bridges"].redeliver(name))


async def _visible(call: Call[Nothing, NoQuery]) -> list[BridgeStatus]:
    all_ = await call.request.state["bridges"].status()
    return [one for one in all_ if one.tenant is None or TenantId(one.tenant) == call.tenant]


async def _name(call: Call[Nothing, NoQuery]) -> str:
    name: str = call.request.path_params["name"]
    if name not in {one.name for one in await _visible(call)}:
        raise BridgeNotFound
    return name


_ONE = "/bridges/{name}"

OPERATIONS = (
    Operation(
        "GET",
        "/bridges",
        "listBridges",
        "How the bridges to other back ends are doing",
        list_,
        {200: Answer("Backlog, age and last error of each.", BridgeList)},
        (Scope.ADMIN,),
        (Unavailable,),
    ),
    Operation(
        "POST",
        _ONE + "/retry",
        "retryBridge",
        "Try again now what a bridge waits to try again",
        retry,
        {202: Answer("It tries now.")},
        (Scope.ADMIN,),
        (BridgeNotFound, Unavailable),
    ),
    Operation(
        "POST",
        _ONE + "/redeliver",
        "redeliverParked",
        "Hand a bridge's parked events over again",
        redeliver,
        {200: Answer("What became of them.", Redelivery)},
        (Scope.ADMIN,),
        (BridgeNotFound, Unavailable),
    ),
)
