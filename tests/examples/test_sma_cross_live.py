"""The strategy's decisions, without a server: what it signals, and what it never signals twice."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "examples" / "strategies" / "sma_cross_live.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sma_cross_live", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sma_cross_live"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def strategy(example: ModuleType) -> Any:
    return example.SmaCross(symbol="SPY", timeframe="1m", fast=1, slow=3)


def candle(minute: int, close: float, *, closed: bool = True) -> dict[str, Any]:
    return {"starts_at": f"2026-01-02T15:{minute:02}:00Z", "close": str(close), "closed": closed}


def update(one: dict[str, Any]) -> dict[str, Any]:
    return {"channel": "candles", "type": "update", "seq": 1, "data": one}


def snapshot(*candles: dict[str, Any]) -> dict[str, Any]:
    return {"channel": "candles", "type": "snapshot", "seq": 0, "data": list(candles)}


FALLING_THEN_UP = [candle(minute, close) for minute, close in enumerate([10, 9, 8, 7, 12])]


def actions(example: ModuleType, strategy: Any, *messages: dict[str, Any]) -> list[str]:
    return [
        signal.action for message in messages for signal in example.signals_of(strategy, message)
    ]


def test_a_cross_up_buys_and_a_cross_down_sells(example: ModuleType, strategy: Any) -> None:
    closes = [*FALLING_THEN_UP, candle(5, 13), candle(6, 5)]
    assert actions(example, strategy, *map(update, closes)) == ["BUY", "SELL"]


def test_nothing_is_signalled_before_there_are_enough_candles(
    example: ModuleType, strategy: Any
) -> None:
    assert actions(example, strategy, *map(update, FALLING_THEN_UP[:4])) == []


def test_a_running_candle_signals_nothing(example: ModuleType, strategy: Any) -> None:
    running = [*FALLING_THEN_UP[:4], candle(4, 12, closed=False)]
    assert actions(example, strategy, *map(update, running)) == []


def test_the_end_of_a_snapshot_is_news_and_the_rest_is_history(
    example: ModuleType, strategy: Any
) -> None:
    assert actions(example, strategy, snapshot(*FALLING_THEN_UP)) == ["BUY"]
    late = example.SmaCross(symbol="SPY", timeframe="1m", fast=1, slow=3)
    assert actions(example, late, snapshot(*FALLING_THEN_UP, candle(5, 13))) == []


def test_a_restart_sends_the_same_signal_again(example: ModuleType, strategy: Any) -> None:
    (first,) = example.signals_of(strategy, snapshot(*FALLING_THEN_UP))
    restarted = example.SmaCross(symbol="SPY", timeframe="1m", fast=1, slow=3)
    (second,) = example.signals_of(restarted, snapshot(*FALLING_THEN_UP))
    assert first == second
    other = example.SmaCross(symbol="SPY", timeframe="1m", fast=2, slow=3)
    ids = {signal.id for signal in example.signals_of(other, snapshot(*FALLING_THEN_UP))}
    assert first.id not in ids


def test_a_candle_that_comes_again_changes_nothing(example: ModuleType, strategy: Any) -> None:
    assert actions(example, strategy, snapshot(*FALLING_THEN_UP)) == ["BUY"]
    assert actions(example, strategy, snapshot(*FALLING_THEN_UP)) == []
    assert len(strategy.closes) == 4
