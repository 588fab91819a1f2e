"""The long proof that nothing acknowledged is lost: 200,000 orders, 20 kills of each kind.

    python benchmarks/crash.py [--orders N] [--kills N] [--seed N]

Prints what was killed, how long acknowledgements stayed away, and every violation. Ends with an
error when there is one.
"""

import argparse
import random
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.scenario import crash_run


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1_000_000))
    given = parser.parse_args()
    result = uvloop.run(crash_run(seed=given.seed, orders=given.orders, kills_each=given.kills))
    print("\n".join(result.lines()))
    if result.violations or result.blind_to:
        return 1
    print(f"lost: 0 of {result.outcome.acknowledged:,} acknowledged orders")
    return 0


if __name__ == "__main__":
    sys.exit(main())
