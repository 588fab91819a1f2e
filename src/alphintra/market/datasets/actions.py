"""Corporate actions of research data, and what prices become by them."""

import msgspec


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A split or a dividend of one symbol.

    `ex_ns` is the first moment without the right; `ratio` counts shares after for each before
    (0: no split), `amount` is the dividend per share in the currency of the prices (0: none).
    """

    symbol: str
    ex_ns: int
    ratio: float = 0.0
    amount: float = 0.0
