"""Nothing that was acknowledged is ever lost, whatever is killed while it happens.

`ALPHINTRA_CRASH_ORDERS` and `ALPHINTRA_CRASH_KILLS` size the run, `ALPHINTRA_CRASH_SEED` repeats
one; `benchmarks/crash.py` does the long one.
"""

import os
import random

import pytest
import uvloop

from tests.crash.product import Victim
from tests.crash.scenario import crash_run

ORDERS = int(os.environ.get("ALPHINTRA_CRASH_ORDERS", "20000"))
KILLS_EACH = int(os.environ.get("ALPHINTRA_CRASH_KILLS", "5"))
SEED = int(os.environ.get("ALPHINTRA_CRASH_SEED", "0")) or random.randrange(1, 1_000_000)


@pytest.mark.slow
def test_no_acknowledged_order_is_lost_under_kills() -> None:
    # Synchronous: the processes hang on the main thread, and the driver wants the faster loop.
    result = uvloop.run(crash_run(seed=SEED, orders=ORDERS, kills_each=KILLS_EACH))
    print("\n".join(result.lines()))
    assert result.violations == [], f"repeat with ALPHINTRA_CRASH_SEED={SEED}"
    assert result.outcome.acknowledged == ORDERS
    killed = [kill.victim for kill in result.kills.kills]
    assert {victim: killed.count(victim) for victim in Victim} == dict.fromkeys(Victim, KILLS_EACH)
    assert result.blind_to == []
    # The load has to be one: mostly accepted, and some of it traded.
    assert sum(result.outcome.refusals.values()) < ORDERS * 0.2, result.outcome.refusals
    assert result.counts["trading.trades"] > ORDERS * 0.05
