"""The page at /docs: Swagger UI from the installed package, so that it needs no internet."""

from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

# Paths are relative, so that the page also works below a proxy's prefix.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Wagate API</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'
_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_HEADERS = {
    # Swagger UI draws its arrows from data: images; it needs nothing inline.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CACHED = {**_HEADERS, "Cache-Control": "public, max-age=86400"}


def routes() -> list[Route]:
    """Return the page and its files."""
    return [Route("/docs", _page), Route("/docs/assets/{name}", _asset)]


async def _page(_: Request[Any]) -> Response:
    return HTMLResponse(_PAGE, headers=_HEADERS)


async def _asset(request: Request[Any]) -> Response:
    name: str = request.path_params["name"]
    if name == "start.js":
        return Response(_START, headers=_CACHED, media_type="text/javascript")
    if name not in _FILES:
        raise HTTPException(404)
    return FileResponse(Path(swagger_ui_path) / name, headers=_CACHED, media_type=_FILES[name])
