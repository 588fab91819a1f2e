"""Capital beside the account: what is refused, what is warned of, and what its log says later."""

from decimal import Decimal

import pytest

from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.strategies.deployments.errors import CapitalExceedsAccount
from alphintra.strategies.deployments.funds import Funds
from tests.strategies.deployments.stage import SYMBOL, Stage

TOO_MUCH = """
from alphintra.sdk import Strategy


class TooMuch(Strategy):
    def on_bar(self, bar):
        self.buy(20)
"""


def dear(symbol: str, lot: str) -> Instrument:
    return Instrument(
        symbol=Symbol(symbol), name=symbol, asset_class=AssetClass.EQUITY, base=Asset(symbol),
        quote=Asset("USD"), tick_size=Decimal("0.01"), lot_size=Decimal(lot),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("capital", "at_work", "free", "codes"),
    [
        ("1000", "0", "1000", []),
        ("1000.01", "0", "1000", ["capital_exceeds_account"]),
        ("600", "400", "1000", []),
        ("600", "401", "1000", ["capital_shared"]),
        ("600", "0", "599", ["capital_not_free"]),
        ("199", "0", "1000", ["lot_beyond_capital"]),
        ("200", "0", "1000", []),
    ],
)
def test_capital_is_looked_at_beside_the_account(
    capital: str, at_work: str, free: str, codes: list[str]
) -> None:
    funds = Funds(
        currency="USD",
        equity=Decimal(1_000),
        free=Decimal(free),
        prices={"A": Decimal(100), "B": Decimal(5_000)},
    )
    instruments = [dear("A", "1"), dear("B", "0.001"), dear("C", "1")]
    if codes == ["capital_exceeds_account"]:
        with pytest.raises(CapitalExceedsAccount, match=r"worth 1,000\.00 USD"):
            funds.notices(Decimal(capital), Decimal(at_work), instruments)
        return
    found = funds.notices(Decimal(capital), Decimal(at_work), instruments[:2])
    assert [one.code for one in found] == codes
    for one in found:
        assert "USD" in one.message


async def test_who_deploys_is_told_what_the_account_cannot_pay(stage: Stage) -> None:
    body = {"symbols": [SYMBOL], "timeframe": "1m", "capital": "100001"}
    path = f"/strategies/{stage.strategy_id}/deploy"
    refused = await stage.call("POST", path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "capital_exceeds_account")
    assert refused.json()["equity"] == "100000"

    poor = await stage.call("POST", path, json={**body, "capital": "0.01", "warmup": 0})
    assert poor.status_code == 202, poor.text
    (warning,) = poor.json()["warnings"]
    assert warning["code"] == "lot_beyond_capital"
    assert f"WARNING {warning['message']}" in await stage.log(poor.json()["id"])
    await stage.tell(poor.json()["id"], "stop")
    await stage.over(poor.json()["id"])


async def test_the_log_says_in_words_why_nothing_was_ordered(stage: Stage) -> None:
    changed = await stage.call("PUT", "/risk/limits", json={"order_notional_max": "50000"})
    assert changed.status_code == 200, changed.text
    strategy_id = await stage.write(TOO_MUCH)
    deployment_id = await stage.deploy(strategy_id, capital="100000")
    await stage.running(deployment_id)
    await stage.market.go()

    async def told() -> str:
        log = await stage.log(deployment_id)
        return log if "not ordered" in log else ""

    log = await stage.waits_for(told)
    line = next(one for one in log.splitlines() if "not ordered" in one)
    assert line.startswith(f"WARNING buy 20 {SYMBOL}, not ordered: the order is worth ")
    assert line.endswith(", and 50000 is the limit of one order (risk_order_notional)")
    await stage.tell(deployment_id, "stop")
    await stage.over(deployment_id)
