"""Load, kills and proof in one run; the test and the benchmark differ only in size."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from tests.crash.killer import Killer
from tests.crash.load import Load, Outcome
from tests.crash.product import Product, running_product
from tests.crash.proof import Proof, unseen_damage

DRAIN_TIMEOUT_S = 120.0
POLL_S = 0.2
#: What the market may still do with what was ordered last.
SETTLE_S = 1.0


@dataclass(slots=True)
class Result:
    """What came of a run."""

    seed: int
    orders: int
    outcome: Outcome
    kills: Killer
    load_s: float
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    #: Damage, done on purpose afterwards, that the proof would not have seen.
    blind_to: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the run in lines for people."""
        outcome = self.outcome
        facts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        refused = ", ".join(f"{code} {count}" for code, count in outcome.refusals.most_common())
        summary = (
            f"seed {self.seed}: {outcome.acknowledged:,} orders acknowledged in {self.load_s:.0f} s"
            f" ({outcome.acknowledged / self.load_s:,.0f}/s, kills included),"
            f" {outcome.modified:,} modified, {outcome.canceled:,} cancelled,"
            f" {len(outcome.signals):,} signals, {outcome.retries:,} requests sent again"
        )
        return [
            summary,
            *self.kills.report(),
            f"refused: {refused or 'none'}",
            f"on disk: {facts}",
            *(f"VIOLATED: {violation}" for violation in self.violations),
        ]


async def crash_run(
    *, seed: int, orders: int, kills_each: int, say: Callable[[str], None] = print
) -> Result:
    """Place `orders` while everything is killed `kills_each` times, then prove what must hold."""
    async with running_product() as product:
        try:
            return await _run(product, seed=seed, orders=orders, kills_each=kills_each, say=say)
        except BaseException:
            say(product.ends_of_logs())
            raise


async def _run(
    product: Product, *, seed: int, orders: int, kills_each: int, say: Callable[[str], None]
) -> Result:
    load = Load(product, seed=seed, orders=orders)
    await load.sign_up()
    killer = Killer(product, load, seed=seed, each=kills_each)
    say(f"seed {seed}: {orders:,} orders, {kills_each} kills of each kind")
    started_s = time.monotonic()
    killing = asyncio.create_task(killer.run())
    try:
        await load.run()
        load_s = time.monotonic() - started_s
        await killing
    finally:
        killing.cancel()
    await drain(product)
    result = Result(seed, orders, load.outcome, killer, load_s)
    proof = Proof(product.database_url)
    await asyncio.to_thread(proof.check_database)
    await asyncio.to_thread(proof.check_promises, load.outcome, seed=seed, orders=orders)
    await proof.check_stream(product.bus_url)
    result.blind_to = await asyncio.to_thread(unseen_damage, product.admin_url)
    result.counts = proof.counts
    result.violations = [
        *proof.violations,
        *(f"fault: {kind}: {body}" for kind, body in load.outcome.faults.items()),
        *(f"ended by itself: {what}" for what in product.ended_by_themselves),
    ]
    if result.violations:
        say(product.ends_of_logs())
    return result


async def drain(product: Product) -> None:
    """Let what is under way come to its end, and stop whatever could change the tables."""
    await asyncio.sleep(SETTLE_S)
    await _until_none(
        product,
        """SELECT count(*) FROM platform.outbox o
           JOIN (VALUES ('user_events', 'trading_accounts'),
                        ('strategy_signals', 'trading_signals')) AS c (topic, consumer)
               USING (topic)
           WHERE NOT EXISTS (SELECT FROM platform.inbox i
               WHERE i.consumer = c.consumer AND i.event_id = o.event_id)""",
    )
    for name in ("api", "market", "desk"):
        await product.stop_process(name)
    await _until_none(
        product,
        """SELECT count(*) FROM platform.outbox o
           LEFT JOIN platform.relay_checkpoint c ON true
           WHERE (o.xid, o.seq) > (coalesce(c.xid, '0'::xid8), coalesce(c.seq, 0))""",
    )
    await product.stop_process("back")


async def _until_none(product: Product, query: str) -> None:
    give_up_s = time.monotonic() + DRAIN_TIMEOUT_S
    left = -1
    while time.monotonic() < give_up_s:
        try:
            async with await psycopg.AsyncConnection.connect(product.database_url) as connection:
                cursor = await connection.execute(query.encode())
                row = await cursor.fetchone()
                left = row[0] if row else 0
        except psycopg.OperationalError:
            left = -1  # it is still getting up
        if left == 0:
            return
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"{left} events are not dealt with after {DRAIN_TIMEOUT_S:g} s")
