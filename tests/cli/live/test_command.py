"""The command itself: started in a process of its own, stopped by Ctrl-C, told what is wrong."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from alphintra.cli.errors import CommandFailed
from tests.cli.live.conftest import PATIENCE_S, Market, Start
from tests.cli.live.test_trade import CROSS, FALLING
from tests.gateway.product import SYMBOL, Product


async def test_ctrl_c_ends_it_and_says_what_is_open(
    product: Product, market: Market, start: Start, tmp_path: Path
) -> None:
    await market.past(FALLING)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alphintra", "trade", "sma_cross", "--symbol", SYMBOL, "--json",
        "--param", "fast=2", "--param", "slow=4", "--warmup", "10", "--url", product.url,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    events = []
    async with asyncio.timeout(2 * PATIENCE_S):
        async for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "watching":
                await market.now(101, 112)
            if events[-1]["event"] == "fill":
                process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert [one["event"] for one in events] == ["ready", "watching", "order", "fill", "stopped"]
    assert events[-1]["position"] == events[3]["quantity"]
    assert events[-1]["open_orders"] == []


async def test_a_restart_with_its_state_begins_at_the_same_candle(
    market: Market, start: Start, tmp_path: Path
) -> None:
    await market.past(FALLING)
    state = tmp_path / "state.json"
    firsts = []
    for _ in range(2):
        async with start("sma_cross", CROSS, state=state, warmup=12) as session:
            await session.until("watching")
            host = await session.end()
        firsts.append((int(host.feed.bars(0).open_ns[0]), len(host.feed)))
        await market.past([101])
    assert firsts[0][0] == firsts[1][0]
    with pytest.raises(CommandFailed, match="another session"):
        async with start("sma_cross", ["fast=3", "slow=4"], state=state) as session:
            await session.until("watching")


TRADES = """
from alphintra.sdk import Strategy, Trade


class Prints(Strategy):
    def on_trade(self, trade: Trade) -> None:
        pass
"""


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        (TRADES, {}, "does not tell of single prints"),
        ("sma_cross", {"timeframe": "1w"}, "no stream of 1w"),
    ],
)
async def test_what_cannot_run_live_is_told_at_the_start(
    start: Start, strategy: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(CommandFailed, match=message):
        async with start(strategy, **options) as session:
            await session.until("watching")
