"""What a child sends is decoded strictly: everything else is refused."""

from math import inf, nan
from typing import Any

import msgspec
import pytest

from alphintra.sdk.live.told import Execution, OrderState
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import Bars, Cancel, CandleRow, Decided, Place

PLACE: dict[str, Any] = {
    "name": "d/1/0",
    "symbol": "SPY",
    "body": {"type": "LIMIT", "price": "1.5", "post_only": True, "stop_loss": {"price": "1"}},
    "at_ns": 1,
    "hook": "on_bar",
    "because": {"fast": 1.5, "slow": None},
    "confidence": 0.7,
}


def test_frames_come_back_as_they_were() -> None:
    decided = Decided(
        intents=(Place(**PLACE), Cancel(name="d/1/0/1", order_id=None, at_ns=2)),
        cash=1.0,
        equity=2.0,
        positions={"SPY": -3.0},
    )
    assert frames.from_child(frames.encode(decided)) == decided
    bars = Bars(close_ns=2, bars=(CandleRow("SPY", 1, 2, 1.0, 2.0, 0.5, 1.5, 7.0),), fresh=True)
    assert frames.from_parent(frames.encode(bars)) == bars
    candles = frames.candles_of("SPY", bars.bars)
    history = frames.History(candles=(candles,), last=True)
    assert frames.from_parent(frames.encode(history)) == history
    assert len(candles) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"cash": nan},
        {"equity": inf},
        {"positions": {"SPY": nan}},
        {"intents": [{"type": "Place", **PLACE, "confidence": nan}]},
        {"intents": [{"type": "Place", **PLACE, "confidence": 1.5}]},
        {"intents": [{"type": "Place", **PLACE, "because": {"a": nan}}]},
        {"intents": [{"type": "Place", **PLACE, "name": "x" * 129}]},
        {"intents": [{"type": "Place", **PLACE, "user_id": "another"}]},
        {"intents": [{"type": "Place", **PLACE}] * (frames.INTENTS_MAX + 1)},
        {"intents": [{"type": "Transfer"}]},
        {"logs": [{"at_ns": 1, "message": "x" * (frames.LOG_LENGTH_MAX + 1)}]},
        {"unknown": 1},
        {"type": "Begin"},
    ],
)
def test_what_is_beyond_a_bound_is_refused(change: dict[str, Any]) -> None:
    body = {"type": "Decided", "cash": 1.0, "equity": 1.0, **change}
    with pytest.raises(msgspec.ValidationError):
        frames.from_child(msgspec.msgpack.encode(body))


def test_views_of_the_api_are_read_with_what_they_have_besides() -> None:
    state = msgspec.convert(
        {
            "id": "o", "user_id": "u", "client_order_id": "d/1/0", "symbol": "SPY", "side": "BUY",
            "type": "LIMIT", "quantity": "1.5", "status": "ACCEPTED", "version": 3,
            "parent_id": None, "reject_reason": None, "updated_at": "2025-01-02T03:04:05.678901Z",
        },
        OrderState,
    )  # fmt: skip
    fill = msgspec.convert(
        {
            "id": "t", "order_id": "o", "symbol": "SPY", "side": "BUY", "quantity": "1",
            "price": "1.5", "fee": "-0.01", "liquidity": "MAKER", "realized_pnl": "0",
            "executed_at": "2025-01-02T03:04:05.678901Z",
        },
        Execution,
    )  # fmt: skip
    past = frames.Past(orders=(state,), fills=(fill,))
    assert frames.from_parent(frames.encode(past)) == past
