"""What a deployment's terms do to a strategy that runs: yes and no, pause, limits, failures."""

import os
import signal
from decimal import Decimal
from typing import Any

import pytest

from alphintra.core.clock import to_datetime
from tests.strategies.deployments.stage import DEADLINE_S, MINUTE_NS, Stage
from tests.strategies.deployments.victims import strategies_below

FLOOD = """
from alphintra.sdk import Strategy


class Flood(Strategy):
    def on_bar(self, bar):
        for _ in range(200):
            self.buy(0.01)
"""
RAISES = """
from alphintra.sdk import Strategy


class Raises(Strategy):
    def on_bar(self, bar):
        if self.position().quantity == 0:
            return 1 / 0
"""
ENDLESS = """
from alphintra.sdk import Strategy


class Endless(Strategy):
    def on_bar(self, bar):
        self.buy(1)
        while self.position().quantity:
            pass
"""
FAILS_HOLDING = """
from alphintra.sdk import Strategy


class FailsHolding(Strategy):
    def on_bar(self, bar):
        if self.position().quantity:
            raise ValueError("it does not know how to go on")
        self.buy(2)
"""
SIX = """
from alphintra.sdk import Strategy


class Six(Strategy):
    def on_bar(self, bar):
        for _ in range(6):
            self.buy(0.01)
"""
NEVER_READY = """
from alphintra.sdk import Strategy


class NeverReady(Strategy):
    def setup(self):
        while True:
            pass

    def on_bar(self, bar):
        pass
"""
RESTS = """
from alphintra.sdk import Strategy


class Rests(Strategy):
    def on_bar(self, bar):
        if not self.open_orders() and not self.position().quantity:
            self.buy(1, limit=bar.close * 0.9)
"""
HOLDS = """
from alphintra.sdk import Strategy


class Holds(Strategy):
    def on_bar(self, bar):
        if not self.position().quantity:
            self.buy(10)
"""

#: What each bomb does at a candle.
BOMBS = {
    "spins": "while True: pass",
    "hoards": "self.held = [bytearray(10**7) for _ in range(10**6)]",
    "prints": "[print('x' * 10_000) for _ in range(10**6)]",
    "floods": "[self.buy(0.01) for _ in range(900)]",
    "dies": "np.lib.stride_tricks.as_strided(np.zeros(1), (10**6,), (2**40,)).sum()",
}
#: What their logs tell of it, each of one or another: on a busy machine some are too slow first.
GONE_OFF = ("its process has died", "the strategy has failed", "a limit was reached")
BOMB = """
import numpy as np

from alphintra.sdk import Strategy


class Bomb(Strategy):
    def on_bar(self, bar):
        {}
"""


async def waiting(stage: Stage, deployment_id: str) -> dict[str, Any]:
    async def newest() -> dict[str, Any] | None:
        signals = await stage.signals(deployment_id)
        return signals[-1] if signals and signals[-1]["status"] == "WAITING" else None

    found = await stage.waits_for(newest)
    assert found is not None
    return found


async def became(stage: Stage, deployment_id: str, signal_id: str, status: str) -> dict[str, Any]:
    async def is_so() -> dict[str, Any] | None:
        signals = await stage.signals(deployment_id)
        one = next(one for one in signals if one["id"] == signal_id)
        return one if one["status"] == status else None

    found = await stage.waits_for(is_so)
    assert found is not None
    return found


async def test_signals_wait_for_a_yes(stage: Stage) -> None:
    deployment_id = await stage.deploy(approval={"mode": "ALL", "expires_s": 600})
    await stage.running(deployment_id)
    await stage.market.go()
    entry = await waiting(stage, deployment_id)
    assert (await stage.items(f"/deployments/{deployment_id}/orders")) == []

    stranger = await stage.product.person("stranger")
    for answer in ("approve", "reject"):
        refused = await stage.call("POST", f"/signals/{entry['id']}/{answer}", person=stranger)
        assert (refused.status_code, refused.json()["code"]) == (404, "no_such_signal")

    await stage.tell(deployment_id, "pause")
    paused = await stage.call("POST", f"/signals/{entry['id']}/approve")
    assert (paused.status_code, paused.json()["code"]) == (409, "deployment_paused")
    await stage.tell(deployment_id, "resume")
    approved = await stage.call("POST", f"/signals/{entry['id']}/approve")
    assert approved.status_code == 200, approved.text
    again = await stage.call("POST", f"/signals/{entry['id']}/reject")
    assert (again.status_code, again.json()["code"]) == (409, "signal_decided")
    await became(stage, deployment_id, entry["id"], "ORDERED")
    await stage.market.quote()
    await stage.filled(deployment_id, 1)

    await stage.market.go()
    way_out = await waiting(stage, deployment_id)
    assert way_out["action"] == "SELL"
    declined = await stage.call("POST", f"/signals/{way_out['id']}/reject")
    assert declined.json()["status"] == "DECLINED"
    # Told of it, the strategy tries again at the next candle, under another name.
    await stage.market.go()
    other = await waiting(stage, deployment_id)
    assert other["name"] != way_out["name"]
    assert other["action"] == "SELL"
    await stage.tell(deployment_id, "stop")
    ended = await stage.over(deployment_id)
    assert [one["quantity"] for one in ended["positions"]] == ["1"]
    await became(stage, deployment_id, other["id"], "WITHDRAWN")
    late = await stage.call("POST", f"/signals/{other['id']}/approve")
    assert late.status_code == 409


async def test_a_signal_without_an_answer_lapses(stage: Stage) -> None:
    deployment_id = await stage.deploy(approval={"mode": "ENTRIES", "expires_s": 5})
    await stage.running(deployment_id)
    await stage.market.go()
    entry = await waiting(stage, deployment_id)
    lapsed = await became(stage, deployment_id, entry["id"], "LAPSED")
    assert lapsed["detail"] == "nobody said yes in time"
    await stage.tell(deployment_id, "stop")
    await stage.over(deployment_id)


async def test_a_pause_holds_entries_back(stage: Stage) -> None:
    deployment_id = await stage.deploy(limits={"orders_per_minute": 10_000})
    await stage.running(deployment_id)
    await stage.tell(deployment_id, "pause")
    await stage.until(deployment_id, lambda one: one["status"] == "PAUSED")
    await stage.market.go()

    async def newest() -> list[dict[str, Any]]:
        return await stage.signals(deployment_id)

    withheld = (await stage.waits_for(newest))[-1]
    assert (withheld["status"], withheld["code"]) == ("WITHHELD", "paused")
    await stage.tell(deployment_id, "resume")
    await stage.running(deployment_id)
    changed = await stage.call(
        "PUT", f"/deployments/{deployment_id}/parameters", json={"parameters": {"size": 2.5}}
    )
    assert changed.status_code == 202, changed.text
    wrong = await stage.call(
        "PUT", f"/deployments/{deployment_id}/parameters", json={"parameters": {"size": 99}}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (422, "parameter_refused")
    await stage.until(deployment_id, lambda one: one["parameters"] == {"size": 2.5})

    async def is_applied() -> bool:
        await stage.market.go()
        signals = await stage.signals(deployment_id)
        return any(Decimal(one["order"].get("quantity", 0)) == Decimal("2.5") for one in signals)

    await stage.waits_for(is_applied)
    assert (await stage.tell(deployment_id, "resume"))["status"] == "RUNNING"  # it is so already
    await stage.tell(deployment_id, "stop")
    assert (await stage.over(deployment_id))["reason"] == "its owner asked to stop it"
    await stage.tell(deployment_id, "liquidate")
    await stage.market.go()
    ended = await stage.over(deployment_id)
    assert ended["reason"] == "its owner asked to liquidate it"
    assert all(one["quantity"] == "0" for one in ended["positions"])


async def test_a_flood_of_orders_stops_the_strategy(stage: Stage) -> None:
    strategy_id = await stage.write(FLOOD, name="Flood")
    deployment_id = await stage.deploy(strategy_id, limits={"orders_per_minute": 10})
    await stage.running(deployment_id)
    await stage.market.go()
    ended = await stage.over(deployment_id)
    assert (ended["status"], ended["reason_code"]) == ("STOPPED", "order_rate_exceeded")
    signals = await stage.signals(deployment_id)
    placed = [one for one in signals if one["kind"] == "PLACE"]
    assert [one["status"] for one in placed].count("WITHHELD") == 1
    assert len(placed) == 11


async def test_a_strategy_that_raises_fails_with_its_line(stage: Stage) -> None:
    deployment_id = await stage.deploy(await stage.write(RAISES, name="Raises"), warmup=0)
    await stage.until(deployment_id, lambda one: one["status"] in {"RUNNING", "STOPPING", "FAILED"})
    await stage.market.go()

    async def is_over() -> bool:
        return bool((await stage.show(deployment_id))["status"] == "FAILED")

    await stage.waits_for(is_over)
    failed = await stage.show(deployment_id)
    assert failed["reason_code"] == "strategy_faulty"
    assert "line 8" in failed["reason"]
    assert "ZeroDivisionError" in await stage.log(deployment_id)


async def failed(stage: Stage, deployment_id: str) -> dict[str, Any]:
    """Wait, while the market goes on quoting, until a deployment has failed."""

    async def is_failed() -> dict[str, Any] | None:
        await stage.market.quote()
        shown = await stage.show(deployment_id)
        return shown if shown["status"] == "FAILED" else None

    found = await stage.waits_for(is_failed)
    assert found is not None
    return found


@pytest.mark.parametrize(("on_failure", "left"), [("STOP", "2"), ("LIQUIDATE", "0")])
async def test_what_a_failure_leaves(stage: Stage, on_failure: str, left: str) -> None:
    strategy_id = await stage.write(FAILS_HOLDING, name="Fails holding")
    deployment_id = await stage.deploy(strategy_id, limits={"on_failure": on_failure})
    await stage.running(deployment_id)
    await stage.market.go()
    await stage.ordered(deployment_id, 1)
    await stage.market.quote()
    await stage.filled(deployment_id, 1)
    await stage.market.go()
    ended = await failed(stage, deployment_id)
    assert ended["reason_code"] == "strategy_faulty"
    assert [one["quantity"] for one in ended["positions"]] == [left]
    if on_failure == "STOP":
        # What a failure has left can be closed later on; it has failed all the same.
        await stage.tell(deployment_id, "liquidate")
        ended = await failed(stage, deployment_id)
        assert [one["quantity"] for one in ended["positions"]] == ["0"]
        assert ended["reason_code"] == "strategy_faulty"


async def test_a_strategy_that_never_answers_is_ended_and_leaves_nothing(stage: Stage) -> None:
    strategy_id = await stage.write(ENDLESS, name="Endless")
    deployment_id = await stage.deploy(strategy_id, limits={"on_failure": "LIQUIDATE"})
    await stage.running(deployment_id)
    await stage.market.go()
    await stage.ordered(deployment_id, 1)
    await stage.market.quote()
    await stage.filled(deployment_id, 1)
    await stage.market.go()
    ended = await failed(stage, deployment_id)
    assert ended["reason_code"] == "process_too_slow"
    assert "died 5 times in a row" in ended["reason"]
    assert [one["quantity"] for one in ended["positions"]] == ["0"]


async def test_orders_of_a_process_that_has_died_count(stage: Stage) -> None:
    strategy_id = await stage.write(SIX, name="Six")
    deployment_id = await stage.deploy(strategy_id, limits={"orders_per_minute": 11})
    await stage.running(deployment_id)
    await stage.market.go()
    await stage.ordered(deployment_id, 6)
    (pid,) = strategies_below(os.getpid())
    os.kill(pid, signal.SIGKILL)

    async def is_back() -> bool:
        return "went on after" in await stage.log(deployment_id)

    await stage.waits_for(is_back)
    await stage.running(deployment_id)
    await stage.market.go()
    ended = await stage.over(deployment_id)
    assert (ended["status"], ended["reason_code"]) == ("STOPPED", "order_rate_exceeded")
    signals = await stage.signals(deployment_id)
    assert len([one for one in signals if one["kind"] == "PLACE"]) == 12


async def test_bombs_keep_nobody_from_deciding(stage: Stage) -> None:
    wide = {"orders_per_minute": 10_000}
    others = [await stage.deploy(limits=wide) for _ in range(2)]
    bombs = {
        name: await stage.deploy(
            await stage.write(BOMB.format(line), name=name), warmup=0, capital="1000"
        )
        for name, line in BOMBS.items()
    }
    for one in [*others, *bombs.values()]:
        await stage.running(one)
    for number in range(1, 7):
        await stage.market.go()
        for one in others:
            await stage.ordered(one, number)
        await stage.market.quote()
        for one in others:
            await stage.filled(one, number)
    for name, one in bombs.items():

        async def has_gone_off(one: str = one) -> bool:
            log = await stage.log(one)
            return any(words in log for words in GONE_OFF)

        try:
            await stage.waits_for(has_gone_off)
        except TimeoutError:
            raise AssertionError(f"{name}: {await stage.log(one)}") from None
    for one in [*others, *bombs.values()]:
        await stage.call("POST", f"/deployments/{one}/stop")  # some are over
        await stage.until(one, lambda shown: shown["status"] in {"STOPPED", "FAILED"})


async def test_a_stop_does_not_wait_for_a_strategy_that_never_begins(stage: Stage) -> None:
    deployment_id = await stage.deploy(await stage.write(NEVER_READY, name="Never ready"))
    await stage.until(deployment_id, lambda one: one["status"] == "WARMING")
    await stage.tell(deployment_id, "stop")
    ended = await stage.over(deployment_id)
    assert (ended["status"], ended["reason_code"], ended["deaths"]) == ("STOPPED", "by_owner", 0)


async def test_who_has_no_past_is_told_to_wait_for_a_feed(stage: Stage) -> None:
    deployment_id = await stage.deploy(symbols=["IBM"])
    await stage.running(deployment_id)
    assert "waits for a feed" in await stage.log(deployment_id)
    await stage.tell(deployment_id, "stop")
    await stage.over(deployment_id)


async def test_a_stop_takes_back_what_rests(stage: Stage) -> None:
    deployment_id = await stage.deploy(await stage.write(RESTS, name="Rests"))
    await stage.running(deployment_id)
    await stage.market.go()
    await stage.ordered(deployment_id, 1)
    await stage.tell(deployment_id, "stop")
    ended = await stage.over(deployment_id)
    orders = await stage.items(f"/deployments/{deployment_id}/orders")
    assert [one["status"] for one in orders] == ["CANCELED"]
    assert ended["positions"] == []
    late = await stage.call("POST", f"/deployments/{deployment_id}/pause")
    assert (late.status_code, late.json()["code"]) == (409, "deployment_status_refused")


@pytest.mark.parametrize(
    ("limit", "on_breach", "code", "left"),
    [
        ({"daily_loss": "500"}, "LIQUIDATE", "daily_loss_exceeded", "0"),
        ({"daily_loss": "500"}, "STOP", "daily_loss_exceeded", "10"),
        ({"drawdown": "0.01"}, "LIQUIDATE", "drawdown_exceeded", "0"),
    ],
)
async def test_what_a_limit_of_losses_leaves(
    stage: Stage, limit: dict[str, str], on_breach: str, code: str, left: str
) -> None:
    strategy_id = await stage.write(HOLDS, name="Holds")
    deployment_id = await stage.deploy(strategy_id, limits={**limit, "on_breach": on_breach})
    await stage.running(deployment_id)
    await stage.market.go()
    await stage.ordered(deployment_id, 1)
    await stage.market.quote()
    held = await stage.filled(deployment_id, 1)
    price = held["positions"][0]["average_price"]
    for _ in range(3):
        await stage.market.quote(Decimal(price) - 100)
    await stage.until(deployment_id, lambda one: one["status"] in {"LIQUIDATING", "STOPPED"})
    await stage.market.quote()
    ended = await stage.over(deployment_id)
    assert (ended["status"], ended["reason_code"]) == ("STOPPED", code)
    assert [one["quantity"] for one in ended["positions"]] == [left]


async def test_live_trading_asks_for_a_certificate(stage: Stage) -> None:
    refused = await stage.call(
        "POST",
        f"/strategies/{stage.strategy_id}/deploy",
        json={"mode": "LIVE", "symbols": ["ETH-USD"]},
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "parity_certificate_needed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"symbols": []}, "invalid_request"),
        ({"symbols": ["ETH-USD", "ETH-USD"]}, "invalid_request"),
        ({"symbols": ["NONE-SUCH"]}, "unknown_instrument"),
        ({"symbols": ["ETH-USD"], "capital": "0"}, "invalid_request"),
        ({"symbols": ["ETH-USD"], "limits": {"drawdown": "1.5"}}, "invalid_request"),
        ({"symbols": ["ETH-USD"], "schedule": {"timezone": "Mars/Base"}}, "invalid_request"),
        ({"symbols": ["ETH-USD"], "parameters": {"nothing": 1}}, "parameter_refused"),
        ({"symbols": ["ETH-USD"], "version": 77}, "no_such_version"),
    ],
)
async def test_what_cannot_be_deployed(stage: Stage, body: dict[str, Any], code: str) -> None:
    answer = await stage.call("POST", f"/strategies/{stage.strategy_id}/deploy", json=body)
    assert answer.json()["code"] == code, answer.text
    assert answer.status_code in {404, 422}


async def test_a_deployment_is_its_owners(stage: Stage) -> None:
    deployment_id = await stage.deploy()
    stranger = await stage.product.person("stranger")
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/signals", None),
        ("GET", "/logs", None),
        ("GET", "/orders", None),
        ("GET", "/metrics", None),
        ("GET", "/certificates", None),
        ("POST", "/certificates", {"day": to_datetime(MINUTE_NS).date().isoformat()}),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/stop", None),
        ("POST", "/liquidate", None),
        ("PUT", "/parameters", {"parameters": {"size": 1.0}}),
    ):
        full = f"/deployments/{deployment_id}{path}"
        answer = await stage.call(method, full, person=stranger, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_deployment"), path
        nobody = await stage.product.client.request(
            method, f"/api/v1{full}", json=body, timeout=DEADLINE_S
        )
        assert nobody.status_code == 401, path
    hidden = await stage.call(
        "POST",
        f"/strategies/{stage.strategy_id}/deploy",
        person=stranger,
        json={"symbols": ["ETH-USD"]},
    )
    assert hidden.status_code == 404
    assert (await stage.call("GET", "/deployments", person=stranger)).json()["items"] == []
    reader = await stage.product.key(stage.owner, "strategies:read")
    refused = await stage.product.client.post(
        f"/api/v1/deployments/{deployment_id}/stop", headers=reader
    )
    assert refused.status_code == 403
    await stage.tell(deployment_id, "stop")
    await stage.over(deployment_id)
