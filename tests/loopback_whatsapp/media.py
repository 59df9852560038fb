"""The media server: keeps what clients upload, which they have encrypted, and gives it back."""

import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .network import Network
from .requests import MEDIA_HOST

DOWNLOAD_PATH = "/v/t62/{name}"


def media_routes(network: Network) -> list[Route]:
    """Routes for uploads (`/mms/<type>/<token>`) and downloads (a `direct_path` given before)."""

    async def upload(request: Request) -> Response:
        name = f"{secrets.token_hex(12)}.enc"
        network.media[name] = await request.body()
        path = DOWNLOAD_PATH.format(name=name)
        # The client appends "&hash=..." to the direct path: so there must be a "?" before it.
        answer = {
            "url": f"https://{MEDIA_HOST}{path}",
            "direct_path": f"{path}?ccb=1",
            "handle": "h",
        }
        return JSONResponse(answer)

    async def download(request: Request) -> Response:
        blob = network.media.get(request.path_params["name"])
        return Response(status_code=404) if blob is None else Response(blob)

    return [
        Route("/mms/{path:path}", upload, methods=["POST"]),
        Route(DOWNLOAD_PATH, download),
    ]
