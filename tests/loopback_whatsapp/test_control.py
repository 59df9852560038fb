"""The control API and the process around it."""

import asyncio
import signal
import ssl
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest

from .client import REPOSITORY, LoopbackRefused, LoopbackWhatsApp

ALICE, BOB = "15550001111", "447700900123"


async def test_what_cannot_be_done_is_refused_in_a_sentence(
    loopback_whatsapp: LoopbackWhatsApp,
) -> None:
    whatsapp = loopback_whatsapp
    with pytest.raises(LoopbackRefused, match="15550001111 is not on WhatsApp here"):
        await whatsapp.account(ALICE)
    await whatsapp.open_account(ALICE, "Alice")
    with pytest.raises(LoopbackRefused, match="15550001111 has no linked device"):
        await whatsapp.send_text(sender=BOB, to=ALICE, text="hello")
    with pytest.raises(LoopbackRefused, match="not a QR code of WhatsApp"):
        await whatsapp.scan("https://example.org", ALICE)
    with pytest.raises(LoopbackRefused, match="unknown or no longer valid"):
        await whatsapp.scan("https://wa.me/settings/linked_devices#2@x,AA==,AA==,AA==,6", ALICE)
    with pytest.raises(LoopbackRefused, match="String should match pattern"):
        await whatsapp.open_account("+1 555")
    with pytest.raises(LoopbackRefused, match="does not match any of the expected tags"):
        await whatsapp.fault("earthquake")
    with pytest.raises(LoopbackRefused, match="Extra inputs are not permitted"):
        await whatsapp.fault("drop", number=ALICE)


async def test_proxy_leads_nowhere_but_to_the_loopback_server(
    loopback_whatsapp: LoopbackWhatsApp,
) -> None:
    proxy = loopback_whatsapp.environment["HTTPS_PROXY"]
    async with httpx.AsyncClient(proxy=proxy, trust_env=False) as http:
        with pytest.raises(httpx.ProxyError, match="403"):
            await http.get("https://example.org/")


async def test_media_is_given_back_as_it_was_uploaded(loopback_whatsapp: LoopbackWhatsApp) -> None:
    environment, blob = loopback_whatsapp.environment, bytes(range(256)) * 1000
    context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    async with httpx.AsyncClient(
        proxy=environment["HTTPS_PROXY"], verify=context, trust_env=False
    ) as http:
        uploaded = await http.post("https://mmg.whatsapp.net/mms/image/token", content=blob)
        path = uploaded.json()["direct_path"]
        assert "?" in path
        assert (await http.get(f"https://mmg.whatsapp.net{path}&hash=x")).content == blob
        assert (await http.get("https://mmg.whatsapp.net/v/t62/other")).status_code == 404


async def test_pythonpath_of_the_environment_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    async with LoopbackWhatsApp.start(tmp_path) as whatsapp:
        copy = tmp_path / "trusting_neonize"
        assert whatsapp.environment["PYTHONPATH"] == f"{copy}:/elsewhere"
        assert (copy / "neonize" / "client.py").is_symlink()
    assert not copy.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_server_by_hand_says_what_to_export_and_ends_by_signal(number: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.loopback_whatsapp", "--shell", cwd=REPOSITORY, stdout=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode() for _ in range(4)]
        process.send_signal(number)
        await process.communicate()
    variables = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    assert list(variables) == ["HTTPS_PROXY", "SSL_CERT_FILE", "PYTHONPATH", "LOOPBACK_WHATSAPP"]
    assert process.returncode == 0
    assert not await asyncio.to_thread(Path(variables["SSL_CERT_FILE"]).exists)


async def test_server_ends_with_its_parent(tmp_path: Path) -> None:
    options = ("--exit-with-parent", "--directory", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.loopback_whatsapp", *options),
        cwd=REPOSITORY,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.readline()
        process.stdin.close()
        await process.communicate()
    assert process.returncode == 0
