"""What positions are shown at: the middle of the latest quote, or the last price without one."""

from collections.abc import Iterable
from decimal import Decimal

from alphintra.core.errors import NotFound
from alphintra.market import LatestQuote, MarketService


async def latest_marks(market: MarketService, symbols: Iterable[str]) -> dict[str, Decimal]:
    """Return the marks of those symbols that anything is known of."""
    found = {}
    for symbol in symbols:
        try:
            mark = mark_of(await market.latest_quote(symbol))
        except NotFound:
            continue
        if mark is not None:
            found[symbol] = mark
    return found


def mark_of(quote: LatestQuote) -> Decimal | None:
    """Return the middle of bid and ask, else the last price, if there is one."""
    if quote.bid is not None and quote.ask is not None:
        return (quote.bid + quote.ask) / 2
    return quote.last
