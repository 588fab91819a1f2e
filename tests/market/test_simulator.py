"""The simulated market: repeatable, on its grids, and alive."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.core.market_data import Quote, Tick, Trade
from alphintra.market.demo_market import MODELS
from alphintra.market.instruments import SIMULATED
from alphintra.market.simulator import MarketSimulator, intraday_factor
from alphintra.market.validation import check_tick

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
HOUR = 3_600 * SECOND


def events(*, seed: int = 7, seconds: int = 60, cuts: int = 1) -> list[tuple[str, Tick]]:
    simulator = MarketSimulator(list(MODELS), seed=seed, start_ns=T0)
    made: list[tuple[str, Tick]] = []
    for cut in range(1, cuts + 1):
        made += simulator.until(T0 + seconds * SECOND * cut // cuts)
    return made


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=2, max_value=50))
def test_the_same_seed_makes_the_same_market_however_time_is_cut(seed: int, cuts: int) -> None:
    assert events(seed=seed) == events(seed=seed, cuts=cuts)


def test_another_seed_makes_another_market() -> None:
    assert events(seed=1) != events(seed=2)


def test_events_are_valid_on_the_grid_and_in_order() -> None:
    instruments = {str(one.symbol): one for one in SIMULATED}
    made = events(seconds=600)
    assert {symbol for symbol, _ in made} == set(instruments)
    for (_, before), (_, after) in pairwise(made):
        assert before.ts_ns <= after.ts_ns
    for symbol, tick in made:
        assert check_tick(tick) is None
        instrument = instruments[symbol]
        if isinstance(tick, Quote):
            assert tick.bid < tick.ask
            assert tick.bid_size is not None
            prices, sizes = [tick.bid, tick.ask], [tick.bid_size]
        else:
            assert isinstance(tick, Trade)
            prices, sizes = [tick.price], [tick.size]
        assert all(map(instrument.price_is_on_tick, prices))
        assert all(map(instrument.quantity_is_on_lot, sizes))


def test_every_symbol_ticks_a_few_times_a_second_and_moves() -> None:
    made = events(seconds=600)
    for instrument in SIMULATED:
        own = [tick for symbol, tick in made if symbol == instrument.symbol]
        assert 600 < len(own) < 600 * 60
        bids = [tick.bid for tick in own if isinstance(tick, Quote)]
        assert len(set(bids)) > 10
        assert max(bids) < min(bids) * Decimal("1.2")


def test_currencies_have_quotes_only() -> None:
    own = [tick for symbol, tick in events() if symbol == "EUR-USD"]
    assert own
    assert all(isinstance(tick, Quote) for tick in own)


def test_a_session_is_liveliest_at_its_ends_and_quiet_at_night() -> None:
    open_, noon, close, night = (
        intraday_factor(hour * 3_600, has_session=True) for hour in (14.6, 17.75, 20.9, 3)
    )
    assert open_ > noon < close
    assert night < noon


def test_reanchoring_continues_from_the_given_price() -> None:
    simulator = MarketSimulator(list(MODELS), seed=7, start_ns=T0)
    simulator.markets["SPY"].reanchor(Decimal(168))
    quotes = [
        tick
        for symbol, tick in simulator.until(T0 + 60 * SECOND)
        if symbol == "SPY" and isinstance(tick, Quote)
    ]
    assert all(Decimal(160) < quote.bid < Decimal(176) for quote in quotes)
