"""TLS to Supabase: a private CA works with SSL_CERT_FILE, and untrusted certificates are always refused."""

import asyncio
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[]"
ASK = """
import asyncio, sys
from uuid import UUID
import websockets
from sentinel_worker.config import settings
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.queue.client import QueueClient, heartbeat
from sentinel_worker.supabase_client import connections, keys

async def ask():
    loaded = settings.load()
    known = keys.WorkerKeys(loaded)
    try:
        await QueueClient(connections.connect(loaded, known), UUID(int=0)).missing_rights()
        heartbeat(connections.connect_sync(loaded, known), UUID(int=0), [], 60)
        await connections.try_key(loaded, known.current)
    except CodedError as error:
        print(error.code, error.message)
    else:
        print("trusted")
    try:
        await websockets.connect(loaded.supabase_url.replace("https", "wss"))
    except Exception as error:
        print(type(error).__name__)

asyncio.run(ask())
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that only its own file makes trusted."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "ca.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, "-keyout", key, "-out", made]
    subprocess.run(["openssl", "req", *map(str, options)], check=True, capture_output=True)
    return made, key


@asynccontextmanager
async def serving(certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
            await reader.readexactly(int(length[1]))
        writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, **environment: str) -> list[str]:
    """Return what a process with that environment reports of the server, over HTTP and over a Realtime socket."""
    given = {"SUPABASE_URL": f"https://localhost:{port}", "SUPABASE_SECRET_KEY": "sb_secret_x", **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, cwd=ROOT, env=given, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode().splitlines()


async def test_a_private_authority_is_named_by_ssl_cert_file(certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as port:
        trusted = await ask(port, SSL_CERT_FILE=str(certificate[0]))
    assert trusted == ["trusted", "InvalidStatus"]  # the TLS handshake succeeded; the socket's handshake met plain HTTP


async def test_nothing_makes_it_take_a_certificate_that_nobody_vouches_for(certificate: tuple[Path, Path]) -> None:
    tempting = {
        "PYTHONHTTPSVERIFY": "0", "NODE_TLS_REJECT_UNAUTHORIZED": "0", "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "",
        "SENTINEL_VERIFY": "false", "SENTINEL_TLS_VERIFY": "false", "SENTINEL_ALLOW_PLAIN_HTTP": "true",
    }  # fmt: skip
    async with serving(certificate) as port:
        http, socket = await ask(port, **tempting)
    assert http.startswith("supabase_unreachable Supabase could not be reached (its certificate is not trusted: ")
    assert "for a private CA set SSL_CERT_FILE to its file" in http
    assert socket == "SSLCertVerificationError"


def test_no_code_switches_verification_off() -> None:
    loose = re.compile(r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified_context")
    package = list((ROOT / "sentinel_worker").rglob("*.py"))
    assert len(package) > 50
    assert not [path for path in package if loose.search(path.read_text(encoding="utf-8"))]
