"""A lean HTTP/1.1 client: one keep-alive connection each, so that the driver costs less than what
it drives.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


class NoAnswer(Exception):
    """The connection was refused or lost, or nothing came in time: the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float


class _Wire(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports only behave like it.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(NoAnswer("the connection was lost"))

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def send(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; the future is done with its answer."""
        assert self.transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        end = received.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(received[: end + 2])
        length = _LENGTH.search(head)
        body_from = end + len(_HEAD_END)
        body_to = body_from + (int(length.group(1)) if length else 0)
        if len(received) < body_to:
            return
        retry = _RETRY_AFTER.search(head)
        reply = Reply(
            status=int(head[9:12]),
            body=bytes(received[body_from:body_to]),
            retry_after_s=float(retry.group(1)) if retry else 0.0,
        )
        del received[:body_to]
        if _CLOSE.search(head):
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(reply)


class HttpClient:
    """Asks one request after the other over a connection that is made again when it is lost."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 15.0) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None

    async def ask(self, method: str, path: str, *, token: str = "", body: bytes = b"") -> Reply:
        """Send one request, once, and return its answer.

        Raises:
            NoAnswer: whether it was carried out is unknown.
        """
        credential = f"authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: alphintra\r\n{credential}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                wire = await self._connected()
                return await wire.send(head.encode() + body)
        except (OSError, TimeoutError) as error:
            self.close()
            raise NoAnswer(str(error) or "no answer in time") from error
        except NoAnswer:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; a late answer must not be taken for the next one's."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _connected(self) -> _Wire:
        if self._wire is None or not self._wire.is_open:
            loop = asyncio.get_running_loop()
            _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
        return self._wire
