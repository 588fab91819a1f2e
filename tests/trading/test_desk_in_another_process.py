"""Commands and answers that travel between processes arrive as they were sent."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast
from uuid import uuid4

import msgspec
import pytest

from alphintra.core.ids import OrderId, UserId
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform.database import Database
from alphintra.platform.settings import Settings
from alphintra.trading import leases
from alphintra.trading.client import DeskClient, DeskServer
from alphintra.trading.commands import Answer, AnyCommand, Done, PlaceOrder, Refused, Terms, Unknown
from alphintra.trading.desk import Desk

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
#: No two of its parts may be written anew on the way: retries get the same bytes.
BODY = b'{"price":"1.10000000", "note": "a \\u00e4", "n":[1,2.50]}'


@dataclass
class Answering:
    """Stands in for the desk: notes the command and gives the answer that it was made with."""

    answer: Answer
    heard: list[AnyCommand] = field(default_factory=list)

    async def submit(self, command: AnyCommand) -> Answer:
        self.heard.append(command)
        return self.answer


@asynccontextmanager
async def client_of(desk: Answering, database_url: str) -> AsyncIterator[DeskClient]:
    settings = Settings(master_key=KEY)
    server, database = DeskServer(settings), Database(database_url)
    client = DeskClient(database, settings)
    address = await server.start("127.0.0.1")
    server.serve(cast(Desk, desk))
    async with await database.connect_raw() as connection:
        await leases.take(connection, desk_id=uuid4(), address=address, shards=range(64))
        yield client
    await client.close()
    await server.stop()
    await database.close()


def command() -> PlaceOrder:
    return PlaceOrder(
        user_id=UserId(uuid4()),
        actor="user:x",
        order_id=OrderId(uuid4()),
        client_order_id="mine",
        terms=Terms(
            symbol="SPY",
            side=Side.BUY,
            type=OrderType.LIMIT,
            quantity=Decimal("1.5"),
            price=Decimal("99.99"),
            time_in_force=TimeInForce.GTD,
            expires_at=datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    "answer",
    [
        Done(msgspec.Raw(BODY)),
        Refused(code="risk_x", detail="no", extra={"check": msgspec.Raw(BODY)}),
        Unknown("starting"),
    ],
    ids=lambda answer: type(answer).__name__,
)
async def test_command_and_answer_arrive_unchanged(answer: Answer, database_url: str) -> None:
    desk, sent = Answering(answer), command()
    async with client_of(desk, database_url) as client:
        received = await client.submit(sent)
    assert desk.heard == [sent]
    assert type(received) is type(answer)
    match received, answer:
        case Done(body=got), Done(body=given):
            assert bytes(got) == bytes(given)
        case Refused(extra=got_extra), Refused(extra=given_extra):
            assert {k: bytes(v) for k, v in got_extra.items()} == {
                k: bytes(v) for k, v in given_extra.items()
            }
        case _:
            assert received == answer


async def test_a_caller_without_the_token_is_not_heard(database_url: str) -> None:
    desk = Answering(Done(msgspec.Raw(BODY)))
    async with client_of(desk, database_url) as client:
        client._token = "guessed"
        received = await client.submit(command())
    assert isinstance(received, Unknown)
    assert desk.heard == []
