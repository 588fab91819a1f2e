"""A deployment's capital beside the account that it trades in, looked at as it is deployed.

The desk refuses orders that the account cannot pay. Whoever deploys is told before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from alphintra import trading
from alphintra.core.instruments import Instrument
from alphintra.core.money import ZERO
from alphintra.platform.security import Principal
from alphintra.strategies.deployments.errors import CapitalExceedsAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the deployment is started with nevertheless."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """What the account is worth, what of it can be spent, and prices of one unit by symbol."""

    currency: str
    equity: Decimal
    free: Decimal
    prices: dict[str, Decimal]

    def notices(
        self, capital: Decimal, at_work: Decimal, instruments: Sequence[Instrument]
    ) -> list[Notice]:
        """Return what may keep orders from being filled.

        Args:
            capital: of the new deployment.
            at_work: the capital of the owner's other deployments together.

        Raises:
            CapitalExceedsAccount: the capital is more than the account is worth.
        """
        if capital > self.equity:
            raise CapitalExceedsAccount(
                f"the account is worth {self._money(self.equity)}, and the capital is"
                f" {self._money(capital)}",
                capital=f"{capital:f}",
                equity=f"{self.equity:f}",
            )
        found = []
        if capital + at_work > self.equity:
            found.append(
                Notice(
                    code="capital_shared",
                    message=f"with your other deployments {self._money(capital + at_work)} are at"
                    f" work in an account of {self._money(self.equity)}: orders that it cannot pay"
                    " are refused",
                )
            )
        elif capital > self.free:
            found.append(
                Notice(
                    code="capital_not_free",
                    message=f"of the account {self._money(self.free)} can be spent now, less than"
                    f" the capital of {self._money(capital)}: orders that it cannot pay are"
                    " refused",
                )
            )
        share = capital / len(instruments)
        return found + [
            Notice(
                code="lot_beyond_capital",
                message=f"the smallest order, {one.lot_size.normalize():f} {one.symbol}, costs"
                f" about {self._money(one.lot_size * self.prices[one.symbol])}, and the capital"
                f" is {self._money(share)} for each symbol: it may order nothing",
            )
            for one in instruments
            if one.lot_size * self.prices.get(one.symbol, ZERO) > share
        ]

    def _money(self, amount: Decimal) -> str:
        return f"{amount:,.2f} {self.currency}"


async def funds_of(
    desk: trading.TradingService, caller: Principal, symbols: Sequence[str]
) -> Funds:
    """Return what the caller's account holds, at the latest prices.

    Raises:
        Unavailable, OrderOutcomeUnknown: nobody can say now.
    """
    worth: dict[str, Any] = await desk.portfolio(trading.caller_of(caller))
    return Funds(
        currency=worth["currency"],
        equity=Decimal(worth["equity"]),
        free=Decimal(worth["buying_power"]),
        prices=await desk.marks(symbols),
    )
