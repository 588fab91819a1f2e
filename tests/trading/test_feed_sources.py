"""A symbol has one source of prices at a time, and only its state counts."""

from typing import Literal

import pytest

from alphintra.core.ids import UserId
from alphintra.core.market_data import FeedStatus
from alphintra.trading.commands import Answer, Done, Refused

from .conftest import Bench, place


def status(source: str, state: Literal["LIVE", "STALE", "STOPPED"]) -> FeedStatus:
    return FeedStatus(symbol="SPY", source=source, state=state, at_ns=0)


def refusal(answer: Answer) -> str:
    assert isinstance(answer, Refused)
    return answer.code


@pytest.mark.parametrize("state", ["STALE", "STOPPED"])
async def test_a_source_that_prices_come_from_blocks_orders(
    bench: Bench, user_id: UserId, state: Literal["STALE", "STOPPED"]
) -> None:
    bench.quote("99.99", "100.00")
    bench.desk.on_feed_status(status("test", state))
    assert refusal(await bench.submit(place(user_id))) == "risk_market_data_fresh"
    bench.desk.on_feed_status(status("test", "LIVE"))
    assert isinstance(await bench.submit(place(user_id)), Done)


@pytest.mark.parametrize("state", ["STALE", "STOPPED"])
async def test_a_source_that_another_took_over_from_blocks_nothing(
    bench: Bench, user_id: UserId, state: Literal["STALE", "STOPPED"]
) -> None:
    bench.quote("99.99", "100.00")
    bench.desk.on_feed_status(status("the one before", state))
    assert isinstance(await bench.submit(place(user_id)), Done)
