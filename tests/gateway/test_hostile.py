"""What no honest client sends. The server refuses or hangs up, and never answers with a fault."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from alphintra.gateway.edge import is_text
from tests.gateway.harness import Edge, running_edge, settings_for

JSON = {"Content-Type": "application/json"}
DEEP = 10_000

BODIES = {
    "deep array": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a field": b'{"symbol":"X","quantity":"1","note":{"a":'
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}}",
    "NaN": b'{"symbol":"X","quantity":NaN}',
    "Infinity": b'{"symbol":"X","quantity":Infinity}',
    "-Infinity": b'{"symbol":"X","quantity":-Infinity}',
    "NaN as text": b'{"symbol":"X","quantity":"NaN"}',
    "sNaN as text": b'{"symbol":"X","quantity":"sNaN123"}',
    "Infinity as text": b'{"symbol":"X","quantity":"Infinity"}',
    "1e400": b'{"symbol":"X","quantity":1e400}',
    "1e400 as text": b'{"symbol":"X","quantity":"1e400"}',
    "1e999999999 as text": b'{"symbol":"X","quantity":"1e999999999"}',
    "0e999999999 as text": b'{"symbol":"X","quantity":"0e999999999"}',
    "1e-999999999 as text": b'{"symbol":"X","quantity":"1e-999999999"}',
    "huge integer": b'{"symbol":"X","quantity":' + b"9" * 10_000 + b"}",
    "huge integer as text": b'{"symbol":"X","quantity":"' + b"9" * 10_000 + b'"}',
    "NUL escaped": b'{"symbol":"\\u0000","quantity":"1"}',
    "NUL raw": b'{"symbol":"\x00","quantity":"1"}',
    "lone surrogate": b'{"symbol":"\\ud800","quantity":"1"}',
    "lone surrogate as a key": b'{"\\udfff":"X","quantity":"1"}',
    "lone surrogate in a free field": b'{"symbol":"X","quantity":"1","note":{"\\ud800":"\\udc00"}}',
    "duplicate keys": b'{"symbol":"X","symbol":"Y","quantity":"1","quantity":"2"}',
    "not UTF-8": b'{"symbol":"\xff\xfe","quantity":"1"}',
    "UTF-16": '{"symbol":"X","quantity":"1"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"symbol":"X","quantity":"1"}',
    "empty": b"",
    "null": b"null",
    "text": b'"symbol"',
    "cut off": b'{"symbol":"X","quan',
    "control characters": b'{"symbol":"a\\r\\nSet-Cookie: x=1\\u001b[31m","quantity":"1"}',
    "unknown field": b'{"symbol":"X","quantity":"1","user_id":"1"}',
}


@pytest.fixture(scope="module")
async def open_edge(database_url: str, bus_url: str) -> AsyncIterator[Edge]:
    """An edge that does not count requests."""
    settings = settings_for(
        database_url,
        bus_url,
        rate_limit_orders="1000000/minute",
        rate_limit_market_data="1000000/minute",
    )
    async with running_edge(settings) as running:
        yield running


async def raw(edge: Edge, request: bytes, *, timeout_s: float = 5) -> bytes:
    """Send bytes as they are; return what comes back until the server hangs up or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    answer = b""
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(timeout_s):
            while chunk := await reader.read(65_536):
                answer += chunk
                if re.search(rb"\r\n\r\n.*\}$", answer, re.DOTALL):
                    break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer


def status_of(answer: bytes) -> int:
    """Return the status of an answer, or 0 where the server only hung up."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_hostile_body(open_edge: Edge, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=open_edge.url) as client:
        answer = await client.post(
            "/api/v1/orders", content=body, headers={**JSON, **open_edge.bearer()}
        )
        assert answer.status_code < 500, answer.text
        assert answer.elapsed.total_seconds() < 1.5
        if answer.status_code == 200:
            answer.json()
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = json.loads(answer.content)
            assert "Traceback" not in answer.text
            assert not re.search(r"[\x00-\x1f]", problem["detail"])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "a" * 500,
        "application/json; charset=utf-7",
    ],
)
async def test_wrong_content_type(open_edge: Edge, content_type: str) -> None:
    async with httpx.AsyncClient(base_url=open_edge.url) as client:
        answer = await client.post(
            "/api/v1/orders",
            content=b'{"symbol":"X","quantity":"1"}',
            headers={"Content-Type": content_type, **open_edge.bearer()},
        )
    assert answer.status_code < 500


PATHS = [
    "/api/v1/orders?symbol=%00",
    "/api/v1/orders?symbol=%ff%fe",
    "/api/v1/orders?symbol=%ED%A0%80",
    "/api/v1/orders?" + "a=1&" * 2_000,
    "/api/v1/market-data/quotes/%00",
    "/api/v1/market-data/quotes/%ff",
    "/api/v1/market-data/quotes/..%2f..%2fetc",
    "/api/v1/market-data/quotes/" + "x" * 5_000,
    "/api/v1/../../etc/passwd",
    "//api/v1/orders",
    "/api/v1/orders%0d%0aSet-Cookie:%20x=1",
    "/%",
]


@pytest.mark.parametrize("path", PATHS)
async def test_hostile_path(open_edge: Edge, path: str) -> None:
    token = open_edge.keys.token()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Connection: close\r\n\r\n"
    )
    answer = await raw(open_edge, request.encode())
    assert 0 < status_of(answer) < 500
    assert b"\r\nSet-Cookie" not in answer
    assert b"\r\nset-cookie" not in answer


_POST = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n"
WIRE = {
    "oversize header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "header without end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
    "oversize address": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "address without end": b"GET /" + b"a" * 1_000_000,
    "bad chunk size": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "huge chunk size": _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
    "length and chunks": b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "negative length": b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: "
    + b"9" * 40
    + b"\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": bytes(range(256)) * 40,
    "CONNECT": b"CONNECT example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute address": b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade without key": b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n\r\n",
    "upgrade with bad key": b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
    "upgrade elsewhere": b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "unknown upgrade": b"GET /health/live HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
    b"Connection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("request_", WIRE.values(), ids=WIRE)
async def test_hostile_wire(open_edge: Edge, request_: bytes) -> None:
    answer = await raw(open_edge, request_, timeout_s=1)
    assert status_of(answer) < 500, answer[:500]
    async with httpx.AsyncClient(base_url=open_edge.url) as client:
        assert (await client.get("/health/live")).status_code == 200


async def test_oversize_head_says_so(open_edge: Edge) -> None:
    for name in ("oversize header", "header without end", "many headers", "oversize address"):
        answer = await raw(open_edge, WIRE[name])
        assert status_of(answer) == 431, name
        assert b"head_too_large" in answer


async def test_long_body_that_comes_with_its_head_is_not_taken_for_it(open_edge: Edge) -> None:
    body = b'{"x": "' + b"a" * 150_000 + b'"}'
    head = (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert status_of(await raw(open_edge, head + body)) == 401


async def test_smuggled_request_is_not_answered(open_edge: Edge) -> None:
    smuggled = (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    answer = await raw(open_edge, smuggled, timeout_s=1)
    assert b"alive" not in answer


async def test_slow_head_is_dropped(open_edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphintra.gateway.server.HEAD_TIMEOUT_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", open_edge.port)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    async with asyncio.timeout(4):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_slow_body_is_dropped(open_edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphintra.gateway.server.BODY_TIMEOUT_S", 0.3)
    started_s = asyncio.get_running_loop().time()
    head = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    assert status_of(await raw(open_edge, head, timeout_s=4)) < 500
    assert asyncio.get_running_loop().time() - started_s < 3.5


@pytest.mark.parametrize(
    ("body", "is_text_"),
    [
        (rb'"plain"', True),
        (rb'"\ud83d\ude00"', True),
        (rb'"\\u0000"', True),
        (rb'"\\\u0000"', False),
        (rb'"\u0000"', False),
        (rb'"\ud800"', False),
        (rb'"\udc00\ud800"', False),
        (rb'"\ud800\\\udc00"', False),
        (rb'"\\ud800"', True),
    ],
)
def test_escapes_that_are_no_text(body: bytes, is_text_: bool) -> None:
    assert is_text(body) is is_text_
