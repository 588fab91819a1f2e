"""The compiled run of a graph gives the orders of its Python: the same ids, fills, prices, cash."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from alphintra.engine.portfolio import AccountTerms, Costs, Simulation, SymbolTerms
from alphintra.engine.series import Bars
from alphintra.research.backtest import Market, play, prepare
from alphintra.research.loading import load_data
from alphintra.sdk import Strategy, parameters_of
from alphintra.sdk.feed import Feed
from alphintra.sdk.parameters import resolved
from alphintra.sdk.source import load_source
from alphintra.strategies.blocks import python_of
from alphintra.strategies.blocks.compiling import compile_graph
from alphintra.strategies.blocks.graph import Graph
from tests.strategies.blocks.graphs_at_random import graph_at_random

DAY_NS = 86_400_000_000_000
START_NS = 1_704_067_200_000_000_000


def bars_at_random(random: Random, symbol: str, count: int, step_ns: int) -> Bars:
    """Return a walk that trends, turns and gaps enough for everything to happen."""
    numbers = np.random.default_rng(random.randrange(2**32))
    drift = np.repeat(numbers.normal(0, 0.004, count // 40 + 1), 40)[:count]
    close = np.round(100 * np.exp(np.cumsum(drift + numbers.normal(0, 0.006, count))), 2)
    first = np.round(close * (1 + numbers.normal(0, 0.003, count)), 2)
    high = np.round(np.maximum(first, close) * (1 + numbers.random(count) * 0.01), 2)
    low = np.round(np.minimum(first, close) * (1 - numbers.random(count) * 0.01), 2)
    return Bars.of_length(
        symbol,
        START_NS + step_ns * np.arange(count),
        step_ns,
        open=first, high=high, low=low, close=close,
        volume=np.round(numbers.random(count) * 1000),
    )  # fmt: skip


def both_runs(graph: Graph, market: Market) -> tuple[Simulation, Simulation, int]:
    """Run a graph as Python and compiled; also say how many fills there were."""
    strategy = load_source(python_of(graph))
    assert isinstance(strategy, type)
    assert issubclass(strategy, Strategy)
    chosen = resolved(parameters_of(strategy), {}, strategy="graph")
    stepped, session = play(strategy, market, chosen)
    tape = market.tape
    feed = Feed(
        market.symbols, market.series, row_symbol=tape.symbol, row_kind=tape.kind,
        close_ns=tape.close_ns, open_ns=tape.open_ns,
    )  # fmt: skip
    compiled = Simulation(tape, market.terms, market.account)
    made = compile_graph(graph)
    too_small = made.run(compiled, feed)
    assert too_small == session.too_small
    assert [made.tags[tag] for tag in compiled.orders()["tag"]] == [
        tuple(session.tags)[tag] for tag in stepped.orders()["tag"]
    ]
    return stepped, compiled, len(compiled.fills())


def assert_same(stepped: Simulation, compiled: Simulation) -> None:
    """Everything is the same but the numbers of the tags, and where in the book an order lay."""
    one, other = stepped.orders().copy(), compiled.orders().copy()
    for name in ("tag", "slot"):
        one[name] = other[name] = 0
    assert one.tobytes() == other.tobytes()
    assert stepped.journal().tobytes() == compiled.journal().tobytes()
    assert stepped.cash() == compiled.cash()
    assert stepped.equity() == compiled.equity()


def market_at_random(random: Random, series: Sequence[Bars]) -> Market:
    costs = random.choice((Costs(), Costs(rate=0.001), Costs(rate=0.0002, slippage_ticks=2)))
    lot = random.choice((1.0, 0.001))
    terms = {
        one.symbol: SymbolTerms(symbol=one.symbol, tick_size=0.01, lot_size=lot, costs=costs)
        for one in series
    }
    account = AccountTerms(
        leverage=random.choice((1.0, 3.0)),
        latency_ns=random.choice((0, 0, 90_000_000_000)),
        allow_short=random.random() < 0.8,
    )
    return prepare(series, account=account, terms=terms)


# Without shrinking: the seed names the graph, and each step of it would take seconds.
@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(0, 2**32))
def test_the_same_trades_on_random_bars(seed: int) -> None:
    random = Random(seed)
    graph = graph_at_random(random, trades=True)
    step_ns = random.choice((60_000_000_000, 3_600_000_000_000, DAY_NS))
    symbols = ("X", "Y")[: random.choice((1, 1, 2))]
    series = [bars_at_random(random, one, random.choice((120, 400)), step_ns) for one in symbols]
    stepped, compiled, _ = both_runs(graph, market_at_random(random, series))
    assert_same(stepped, compiled)


def test_random_graphs_do_trade() -> None:
    """The property above would hold for graphs that never do anything, too."""
    traded = 0
    for seed in range(40):
        random = Random(seed)
        graph = graph_at_random(random, trades=True)
        market = market_at_random(random, [bars_at_random(random, "X", 400, DAY_NS)])
        stepped, compiled, fills = both_runs(graph, market)
        assert_same(stepped, compiled)
        traded += fills > 0
    assert traded >= 12


@pytest.mark.parametrize("seed", range(12))
def test_the_same_trades_on_real_bars(seed: int) -> None:
    random = Random(1000 + seed)
    graph = graph_at_random(random, trades=True)
    market = prepare(load_data(["demo:IBM", "demo:GOOG"]), costs=0.001)
    if any(block.fields.get("symbol") for block in graph.blocks):
        market = prepare(load_data("demo:IBM", symbols=["X"]), costs=0.001)
    stepped, compiled, _ = both_runs(graph, market)
    assert_same(stepped, compiled)
