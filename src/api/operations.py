"""One call of the contract: what it needs and gives, and the one way in for every request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_type_hints

from pydantic import BaseModel
from starlette.responses import Response

from api.requests import read_body, read_query
from api.schemas import Body, Query
from api.state import ApiRequest
from auth.errors import AuthError, MissingToken
from auth.principal import Principal, Scope
from sessions.errors import SessionNotFound, SessionsError
from sessions.ids import TenantId, is_session_name
from sessions.manager import SessionManager

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


@dataclass(frozen=True)
class Call(Generic[B, Q]):
    """One request to one operation: authorised, read and valid."""

    request: ApiRequest
    body: B
    query: Q

    @property
    def principal(self) -> Principal:
        """Who calls; there is always one but on public paths."""
        return principal_of(self.request)

    @property
    def tenant(self) -> TenantId:
        """The owner of everything this call can see."""
        return TenantId(self.principal.tenant)

    @property
    def manager(self) -> SessionManager:
        """The way into sessions."""
        return self.request.state["manager"]

    async def ref(self) -> str:
        """Return how to name the path's session to the manager, if this caller may know of it.

        Raises:
            SessionNotFound: the token is narrowed to others, or nothing can be called so.
        """
        return await self.known(self.request.path_params["id"])

    async def known(self, ref: str) -> str:
        """Return how to name a session to the manager, given its id or name, as `ref` does."""
        if not is_session_name(ref):
            raise SessionNotFound
        if self.principal.sessions is None:
            return ref
        session = await self.manager.get(self.tenant, ref)
        if not self.principal.may_access(session.id, session.session_id):
            raise SessionNotFound
        # The name may be another session's by the time that the manager looks it up again.
        return session.id

    def path(self, *steps: str) -> str:
        """Return the path of a resource below `/whatsapp`, as `Location` gives it."""
        root: str = self.request.scope.get("root_path", "")
        return "/".join((f"{root}/whatsapp", *steps))


@dataclass(frozen=True)
class Answer:
    """What an operation answers when all is well: JSON of a model, or other media types."""

    description: str
    model: type[BaseModel] | None = None
    media_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """A method on a path. The handler's annotation tells which body and query it takes."""

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Call[Any, Any]], Awaitable[Response]]
    answers: dict[int, Answer]
    scopes: tuple[Scope, ...] = ()
    """The caller needs each of them; none: public, so that there is no principal."""
    problems: tuple[type[SessionsError] | type[AuthError], ...] = ()
    headers: tuple[str, ...] = ()
    takes_api_key: ClassVar[bool] = False
    """Whether a back end's key is as good as a token here."""
    takes_service_key: ClassVar[bool] = False
    """Whether a foreign microservice's key opens it, and no token."""

    @cached_property
    def body(self) -> type[Body]:
        """The model of the body."""
        return self._taken[0]

    @cached_property
    def query(self) -> type[Query]:
        """The model of the query parameters."""
        return self._taken[1]

    @property
    def takes_body(self) -> bool:
        """Whether a body is read at all."""
        return self.method in {"POST", "PUT"}

    @cached_property
    def _taken(self) -> tuple[type[Any], type[Any]]:
        hints = get_type_hints(self.handler)
        (call,) = (hint for name, hint in hints.items() if name != "return")
        body, query = get_args(call)
        return body, query

    async def answer(self, request: ApiRequest) -> Response:
        """Answer a request: first whether the caller may, then whether it makes sense."""
        # Before the body is read: who may not call does not get to send a megabyte.
        for scope in self.scopes:
            principal_of(request).require(scope)
        query = read_query(request, self.query)
        body = await read_body(request, self.body) if self.takes_body else self.body()
        return await self.handler(Call(request, body, query))


def principal_of(request: ApiRequest) -> Principal:
    """Return the caller that the authentication middleware has put there.

    Raises:
        MissingToken: it has put none.
    """
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is None:
        raise MissingToken
    return principal


def json_response(model: BaseModel, status: int = 200, **headers: str) -> Response:
    """Answer with a model in wire form; header names are given with `_` for `-`."""
    content = model.model_dump_json(by_alias=True)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, status, headers=given, media_type="application/json")
