"""What a foreign QR microservice posts, to a server that has no use for one."""

import pytest

from tests.api.server import Server


@pytest.mark.parametrize("path", ["/whatsapp-qr/webhook", "/whatsapp-qr/incoming"])
async def test_a_server_that_drives_its_phones_itself_says_so(server: Server, path: str) -> None:
    for token in (None, server.token):
        answer = await server.call("POST", path, token=token, json={"sessionId": "one"})
        assert (answer.status_code, answer.json()["code"]) == (409, "microservice_not_used")
        assert "WAGATE_ENGINE=microservice" in answer.json()["detail"]
    assert (await server.call("GET", path)).status_code == 405
