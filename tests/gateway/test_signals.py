"""Signals over HTTP: what they may ask for, and what is told of each."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import select

from alphintra.core.ids import EventId
from alphintra.platform.events import ReceivedEvent
from alphintra.platform.outbox import OutboxRow
from alphintra.trading.listening import Listener
from alphintra.trading.signals import SIGNAL_OUTCOME, STRATEGY_SIGNAL, SignalOutcomeData
from tests.gateway.product import SYMBOL, Person, Product


class Signals:
    """One person who signals, and reads what became of it."""

    def __init__(self, product: Product, person: Person) -> None:
        self.product = product
        self.person = person

    async def send(self, action: str, signal_id: UUID | None = None, **parameters: Any) -> UUID:
        chosen = signal_id or uuid4()
        answer = await self.product.client.post(
            "/api/v1/signals",
            json={
                "signal_id": str(chosen),
                "symbol": SYMBOL,
                "action": action,
                "parameters": parameters,
            },
            headers=self.person.headers,
        )
        assert answer.status_code == 202, answer.text
        return chosen

    async def outcome(self, signal_id: UUID) -> SignalOutcomeData:
        async with asyncio.timeout(20):
            while True:
                if found := await self.outcomes(signal_id):
                    return found[0]
                await asyncio.sleep(0.05)

    async def outcomes(self, signal_id: UUID) -> list[SignalOutcomeData]:
        async with self.product.services.database.reading() as session:
            bodies = await session.scalars(
                select(OutboxRow.body).where(OutboxRow.topic == "strategy_signals")
            )
        events = [msgspec.json.decode(body) for body in bodies]
        told = [
            msgspec.convert(event["data"], SignalOutcomeData)
            for event in events
            if event["type"] == SIGNAL_OUTCOME
        ]
        return [one for one in told if one.signal_id == signal_id]

    async def filled(self, order_id: UUID | None) -> None:
        """Let the market speak until an order is filled."""
        async with asyncio.timeout(20):
            while (await self.order(order_id))["status"] != "FILLED":
                await self.product.quote()
                await asyncio.sleep(0.1)

    async def order(self, order_id: UUID | None) -> dict[str, Any]:
        answer = await self.product.client.get(
            f"/api/v1/orders/{order_id}", headers=self.person.headers
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def signals(product: Product) -> Signals:
    return Signals(product, await product.person("signals"))


async def test_a_signal_may_carry_the_terms_of_an_order(signals: Signals) -> None:
    sent = await signals.send(
        "BUY",
        order={
            "type": "LIMIT",
            "quantity": "2",
            "price": "90",
            "time_in_force": "GTC",
            "client_order_id": "my-strategy/1",
            "order_class": "BRACKET",
            "take_profit": {"price": "120"},
            "stop_loss": {"stop_price": "80"},
        },
    )
    outcome = await signals.outcome(sent)
    assert (outcome.outcome, outcome.code) == ("ORDERED", None)
    order = await signals.order(outcome.order_id)
    assert order["client_order_id"] == "my-strategy/1"
    assert order["signal_id"] == str(sent)
    assert (order["status"], order["price"]) == ("ACCEPTED", "90")
    assert {leg["type"] for leg in order["legs"]} == {"LIMIT", "STOP"}


async def test_a_signal_takes_back_what_others_have_ordered(signals: Signals) -> None:
    terms = {"type": "LIMIT", "quantity": "1", "price": "90", "time_in_force": "GTC"}
    first = await signals.outcome(await signals.send("BUY", order=terms))
    second_id = await signals.send("BUY", order={**terms, "price": "91"})
    second = await signals.outcome(second_id)
    sent = await signals.send("HOLD", cancel=[str(second_id)], cancel_orders=[str(first.order_id)])
    assert (await signals.outcome(sent)).outcome == "CANCELED"
    for one in (first, second):
        assert (await signals.order(one.order_id))["status"] == "CANCELED"
    # What is not open any more is no reason to fail.
    again = await signals.send("HOLD", cancel=[str(second_id)])
    assert (await signals.outcome(again)).outcome == "CANCELED"


async def test_a_signal_cannot_take_back_what_is_somebody_elses(
    product: Product, signals: Signals
) -> None:
    placed = await product.place(signals.person)
    thief = Signals(product, await product.person("thief"))
    sent = await thief.send("HOLD", cancel_orders=[placed.json()["id"]])
    assert (await thief.outcome(sent)).outcome == "CANCELED"
    assert (await signals.order(placed.json()["id"]))["status"] == "ACCEPTED"


async def test_a_repeated_signal_orders_once(signals: Signals) -> None:
    terms = {"type": "LIMIT", "quantity": "1", "price": "88", "time_in_force": "GTC"}
    sent = await signals.send("BUY", order=terms)
    outcome = await signals.outcome(sent)
    assert await signals.send("BUY", signal_id=sent, order=terms) == sent
    later = await signals.send("HOLD")
    assert (await signals.outcome(later)).outcome == "NOTHING_TO_DO"
    listed = await signals.product.client.get("/api/v1/orders", headers=signals.person.headers)
    assert [one["id"] for one in listed.json()["items"]] == [str(outcome.order_id)]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"order": "all of it"}, "signal_invalid"),
        ({"order": {"type": "MARKET", "quantity": "one"}}, "signal_invalid"),
        ({"order": {"type": "MARKET", "quantity": "1", "leverage": "9"}}, "signal_invalid"),
        ({"order": {"type": "LIMIT", "quantity": "1"}}, "price_missing"),
        ({"order": {"type": "MARKET", "quantity": "1000000"}}, "risk_order_notional"),
        ({"quantity": "-1"}, "signal_invalid"),
        ({"quantity": "1e3000000"}, "signal_invalid"),
        ({"fraction": "Infinity"}, "signal_invalid"),
        ({"order": {"type": "MARKET", "quantity": "NaN"}}, "number_not_usable"),
        ({"order": {"type": "MARKET", "notional": "sNaN"}}, "number_not_usable"),
        ({"order": {"type": "LIMIT", "quantity": "1", "price": "1e3000000"}}, "number_not_usable"),
        ({"order": {"type": "LIMIT", "quantity": "1e-3000000", "price": "1"}}, "number_not_usable"),
        (
            {"order": {"type": "MARKET", "quantity": "1", "stop_loss": {"stop_price": "NaN"}}},
            "number_not_usable",
        ),
        ({"cancel": ["everything"]}, "signal_invalid"),
        ({"cancel": [str(uuid4())] * 3 + [str(uuid4()) for _ in range(500)]}, "signal_invalid"),
        ({"valid_until": "tomorrow"}, "signal_invalid"),
    ],
)
async def test_a_signal_that_cannot_be_traded_is_refused(
    signals: Signals, parameters: dict[str, Any], code: str
) -> None:
    outcome = await signals.outcome(await signals.send("BUY", **parameters))
    assert (outcome.outcome, outcome.code) == ("REFUSED", code)
    assert outcome.detail


async def test_a_signal_that_is_heard_again_is_what_its_order_is(signals: Signals) -> None:
    """The desk's answer was lost on its way, and all has changed since."""
    listener = Listener(signals.product.services)

    async def heard_again(signal_id: UUID, action: str, **parameters: Any) -> SignalOutcomeData:
        signal = {
            "signal_id": signal_id, "strategy_id": None, "user_id": signals.person.id,
            "symbol": SYMBOL, "action": action, "confidence": "1", "parameters": parameters,
            "generated_at": datetime.now(UTC),
        }  # fmt: skip
        event = ReceivedEvent(
            id=EventId(uuid4()),
            source="test",
            type=STRATEGY_SIGNAL,
            time="",
            data=msgspec.Raw(msgspec.json.encode(signal)),
        )
        told = (await listener._outcome(event)).data
        assert isinstance(told, SignalOutcomeData)
        return told

    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    try:
        bought = await signals.send("BUY", quantity="2")
        order_id = (await signals.outcome(bought)).order_id
        for parameters in ({"quantity": "1"}, {"fraction": "0.1"}, {"valid_until": past}):
            again = await heard_again(bought, "BUY", **parameters)
            assert (again.outcome, again.order_id) == ("ORDERED", order_id)
        await signals.filled(order_id)
        sold = await signals.send("SELL")
        order_id = (await signals.outcome(sold)).order_id
        await signals.filled(order_id)
        again = await heard_again(sold, "SELL")  # there is nothing to sell any more
        assert (again.outcome, again.order_id) == ("ORDERED", order_id)
        dear = await signals.send("BUY", quantity="1000000")
        refused = await signals.outcome(dear)
        again = await heard_again(dear, "BUY", valid_until=past)
        assert (again.outcome, again.code) == ("REFUSED", refused.code)
        assert again.order_id == refused.order_id
        assert (await heard_again(uuid4(), "BUY", valid_until=past)).outcome == "TOO_OLD"
        assert (await heard_again(uuid4(), "SELL")).outcome == "NOTHING_TO_DO"
    finally:
        await listener.close()


async def test_a_signal_is_traded_until_it_says(signals: Signals) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    outcome = await signals.outcome(await signals.send("BUY", quantity="1", valid_until=past))
    assert outcome.outcome == "TOO_OLD"


async def test_a_sized_signal_spends_a_share_of_the_cash(signals: Signals) -> None:
    outcome = await signals.outcome(await signals.send("BUY", fraction="0.05"))
    assert outcome.outcome == "ORDERED"
    assert (await signals.order(outcome.order_id))["notional"] == "5000"
