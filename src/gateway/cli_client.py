"""The server's REST API, as the command line calls it: blocking, one request after the other."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

REQUEST_TIMEOUT_SECONDS = 15
_ANSWER_MAX_BYTES = 1024 * 1024


class CallFailed(Exception):
    """A call did not succeed; the message says why. `code` is the contract's, if it gave one."""

    def __init__(self, message: str, *, code: str | None = None, temporary: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.temporary = temporary


@dataclass(frozen=True)
class Client:
    """Calls one server; `url` has no slash at its end, `tenant` is of a token made for this."""

    url: str
    token: str
    tenant: str | None = None

    def session(self, ref: str) -> dict[str, Any]:
        """Return a session."""
        try:
            return self._call("GET", _path(ref))
        except CallFailed as error:
            if error.code != "session_not_found" or self.tenant is None:
                raise
            message = (
                f"There is no session {ref} of the tenant {self.tenant}. Add --create, "
                "or name its tenant with --tenant, or give its token with --token."
            )
            raise CallFailed(message, code=error.code) from None

    def create(self, ref: str) -> None:
        """Create a session of this name, if there is none."""
        try:
            self._call("POST", "/whatsapp", {"sessionId": ref})
        except CallFailed as error:
            if error.code != "session_exists":
                raise

    def activate(self, ref: str) -> None:
        """Activate a session."""
        self._call("POST", f"{_path(ref)}/activate")

    def qr(self, ref: str) -> dict[str, Any] | None:
        """Return the current QR code with attempt and expiry, None if there is none now."""
        try:
            return self._call("GET", f"{_path(ref)}/qr?format=json")
        except CallFailed as error:
            if error.code == "qr_not_available":
                return None
            raise

    def revoke(self, refused: dict[str, str]) -> dict[str, Any]:
        """Have tokens refused, as `POST /auth/revocations` takes it; return its answer."""
        return self._call("POST", "/auth/revocations", refused)

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=REQUEST_TIMEOUT_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, parts.path + path, content, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(_ANSWER_MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            message = f"{self.url} does not answer ({reason}). Is the server running there?"
            raise CallFailed(message) from None
        finally:
            connection.close()
        return _content(status, text)


def _path(ref: str) -> str:
    return f"/whatsapp/{quote(ref, safe='')}"


def _content(status: int, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        message = f"The answer ({status}) is not one of this API. Is --url right?"
        raise CallFailed(message)
    if status < 400:
        return content
    detail = content.get("detail") or content.get("title") or f"The server answered {status}."
    temporary = status in {429, 503}
    raise CallFailed(f"{detail}{_faults(content)}", code=content.get("code"), temporary=temporary)


def _faults(content: dict[str, Any]) -> str:
    faults = content.get("errors")
    if not isinstance(faults, list):
        return ""
    return "".join(f" {fault.get('detail', '')}." for fault in faults if isinstance(fault, dict))
