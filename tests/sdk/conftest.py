import numpy as np
import pytest

from alphintra.sdk import Bars

MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
#: 2024-01-01, a Monday.
START_NS = 1_704_067_200_000_000_000


def walk(
    symbol: str = "X",
    count: int = 500,
    *,
    seed: int = 1,
    step_ns: int = MINUTE_NS,
    start_ns: int = START_NS,
) -> Bars:
    """Return bars of a random walk on whole cents."""
    random = np.random.default_rng(seed)
    close = np.round(100 + np.cumsum(random.normal(0, 0.2, count)), 2)
    first = np.round(close + random.normal(0, 0.05, count), 2)
    high = np.round(np.maximum(first, close) + random.random(count) * 0.1, 2)
    low = np.round(np.minimum(first, close) - random.random(count) * 0.1, 2)
    return Bars.of_length(
        symbol,
        start_ns + step_ns * np.arange(count),
        step_ns,
        open=first,
        high=high,
        low=low,
        close=close,
        volume=np.round(random.random(count) * 1000),
    )


@pytest.fixture
def bars() -> Bars:
    return walk()
