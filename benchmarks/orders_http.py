"""Durable orders through HTTP, beside a bare FastAPI echo of the same body in the same run.

    python benchmarks/orders_http.py

The processes are those of `alphintra up`, the market moves meanwhile, and the load generator runs
on the same cores. Each order is validated, authenticated, counted, risk-checked and committed with
its history, hold and event before it is answered. (Not called http.py: that name would hide the
standard library from whatever runs in this folder.)
"""

import statistics
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import (
    TOGETHER,
    UNBOUNDED,
    Load,
    Measured,
    bare_echo,
    drive,
    milliseconds,
    order_bodies,
    rate,
    running_product,
)

ROUNDS = 3
SECONDS = 5.0
WARM_UP_S = 3.0
CONNECTIONS = 64
USERS = 50


async def main() -> None:
    async with running_product(layout=TOGETHER, settings=UNBOUNDED) as product:
        load = Load(product, seed=1, orders=1, users=USERS)
        await load.sign_up()
        orders = order_bodies(load)
        await drive(orders, product.port, seconds=WARM_UP_S, connections=CONNECTIONS)
        ours: list[Measured] = []
        bare: list[Measured] = []
        async with bare_echo(product.port + 1) as echo_port:
            await drive(orders, echo_port, seconds=1, connections=CONNECTIONS)
            for _ in range(ROUNDS):
                ours.append(
                    await drive(orders, product.port, seconds=SECONDS, connections=CONNECTIONS)
                )
                bare.append(
                    await drive(orders, echo_port, seconds=SECONDS, connections=CONNECTIONS)
                )
        full = statistics.median(one.per_second for one in ours)
        echo = statistics.median(one.per_second for one in bare)
        half = await drive(
            orders,
            product.port,
            seconds=2 * SECONDS,
            connections=CONNECTIONS,
            per_second=full / 2,
        )
    print(
        f"durable orders through HTTP: {rate([one.per_second for one in ours])},"
        f" {milliseconds([s for one in ours for s in one.latencies_s])} at full load"
        f" ({CONNECTIONS} connections, {USERS} users); bare FastAPI echo of the same body:"
        f" {rate([one.per_second for one in bare])}, {full / echo:.2f} of it"
    )
    print(
        f"durable orders through HTTP at half load ({full / 2:,.0f}/s asked,"
        f" {half.per_second:,.0f}/s answered): {milliseconds(half.latencies_s)}"
    )


if __name__ == "__main__":
    uvloop.run(main())
