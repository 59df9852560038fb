"""Authentication of HTTP requests, before any route sees them."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.api_keys import ApiKeyDoor
from auth.errors import AuthError, InvalidToken, MissingToken
from auth.principal import Principal
from auth.tokens import TokenVerifier


class AuthenticationMiddleware:
    """Puts the caller at `scope["state"]["principal"]`, or answers with what `refuse` returns.

    Only HTTP is looked at: WebSockets authenticate in their own handshake. The token is taken from
    the header alone, as query strings end up in logs. `is_public` gets the request's path.
    `api_key` lets back ends in that have no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: TokenVerifier,
        is_public: Callable[[str], bool],
        refuse: Callable[[AuthError], ASGIApp],
        api_key: ApiKeyDoor | None = None,
    ) -> None:
        self.app = app
        self._verifier = verifier
        self._is_public = is_public
        self._refuse = refuse
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_public(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope["path"], Headers(scope=scope))
        except AuthError as error:
            await self._refuse(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self.app(scope, receive, send)

    async def _principal(self, path: str, headers: Headers) -> Principal:
        door = self._api_key
        if door is not None and (keyed := door.by_header(path, headers)):
            return keyed
        token = bearer_token(headers)
        if door is not None and (keyed := door.by_token(path, token)):
            return keyed
        return await self._verifier.verify(token)


def bearer_token(headers: Headers) -> str:
    """Return the token of `Authorization: Bearer <token>`.

    Raises:
        MissingToken: there is no such header, or it is for another scheme.
        InvalidToken: there are several, so a proxy may have checked another one than we would.
    """
    values = headers.getlist("authorization")
    if not values:
        raise MissingToken
    if len(values) > 1:
        message = "There are several Authorization headers. Send one."
        raise InvalidToken(message)
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingToken
    return token.strip()
