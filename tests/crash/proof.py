"""What has to be true after any number of crashes. Each violation is returned in words."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import nats
import nats.errors
import psycopg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy.engine import make_url

from alphintra.core.ids import derived_id
from alphintra.platform.bus import STREAM
from alphintra.platform.embedded.postgres import DATABASE
from tests.crash.load import Acknowledged, Outcome, client_order_id, digest_of, terms_of

#: How many of one kind of violation are spelled out.
SHOWN_MAX = 5
FETCH_MESSAGES = 100
ZERO = Decimal(0)

_OPEN_ORDERS = """
    CREATE OR REPLACE TEMP VIEW open_orders AS SELECT * FROM trading.orders
    WHERE status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED')
"""
#: Each returns one row for every violation.
RULES = {
    "the ledger sums to zero for each asset": """
        SELECT asset, sum(balance) FROM assets.accounts GROUP BY asset HAVING sum(balance) <> 0""",
    "a balance is the sum of its postings": """
        SELECT a.id, a.asset, a.bucket, a.balance, sums.amount
        FROM assets.accounts a LEFT JOIN (
            SELECT account, sum(amount) AS amount FROM (
                SELECT destination AS account, amount FROM assets.postings
                UNION ALL SELECT source, -amount FROM assets.postings) AS legs
            GROUP BY account) AS sums ON sums.account = a.id
        WHERE a.balance <> coalesce(sums.amount, 0)""",
    "held cash is what open orders hold": """
        SELECT a.id, held.balance, orders.cash FROM trading.accounts a
        LEFT JOIN assets.accounts held ON held.owner_id = a.id AND held.asset = a.currency
            AND held.bucket = 'HELD'
        LEFT JOIN (SELECT account_id, sum(held_cash) AS cash FROM open_orders
                   GROUP BY account_id) AS orders ON orders.account_id = a.id
        WHERE coalesce(held.balance, 0) <> coalesce(orders.cash, 0)""",
    "held securities are what open sales hold": """
        SELECT coalesce(held.owner_id, orders.account_id), coalesce(held.asset, orders.base),
            held.balance, orders.quantity
        FROM (SELECT h.* FROM assets.accounts h JOIN trading.accounts a ON a.id = h.owner_id
              WHERE h.bucket = 'HELD' AND h.asset <> a.currency) AS held
        FULL JOIN (SELECT o.account_id, i.base, sum(o.held_quantity) AS quantity
                   FROM open_orders o JOIN market.instruments i USING (symbol)
                   WHERE o.side = 'SELL' GROUP BY 1, 2) AS orders
            ON orders.account_id = held.owner_id AND orders.base = held.asset
        WHERE coalesce(held.balance, 0) <> coalesce(orders.quantity, 0)""",
    "an order that is over holds nothing": """
        SELECT id, status, held_cash, held_quantity FROM trading.orders
        WHERE id NOT IN (SELECT id FROM open_orders) AND (held_cash <> 0 OR held_quantity <> 0)""",
    "a resting order holds exactly its margin and fee": """
        SELECT o.id, o.quantity, o.price, o.held_cash
        FROM trading.orders o JOIN trading.accounts a ON a.id = o.account_id
        WHERE o.status = 'ACCEPTED' AND o.type = 'LIMIT' AND o.order_class = 'SIMPLE'
          AND o.parent_id IS NULL AND o.filled_quantity = 0 AND o.held_quantity = 0
          AND o.held_cash <> ceil((o.quantity * o.price / a.leverage
              + o.quantity * o.price * 0.0005) * 100000000) / 100000000""",
    "a position is what the ledger has": """
        SELECT coalesce(p.account_id, l.owner_id), coalesce(p.base, l.asset), p.quantity, l.amount
        FROM (SELECT p.account_id, i.base, p.quantity FROM trading.positions p
              JOIN market.instruments i USING (symbol)) AS p
        FULL JOIN (SELECT x.owner_id, x.asset, sum(x.balance) AS amount FROM assets.accounts x
                   JOIN trading.accounts a ON a.id = x.owner_id WHERE x.asset <> a.currency
                   GROUP BY 1, 2) AS l ON l.owner_id = p.account_id AND l.asset = p.base
        WHERE coalesce(p.quantity, 0) <> coalesce(l.amount, 0)""",
    "a position is the sum of its fills": """
        SELECT coalesce(p.account_id, t.account_id), p.symbol, p.quantity, t.quantity
        FROM trading.positions p FULL JOIN (
            SELECT account_id, symbol, sum(CASE side WHEN 'BUY' THEN quantity ELSE -quantity END)
                AS quantity, sum(fee) AS fees, sum(realized_pnl) AS pnl
            FROM trading.trades GROUP BY 1, 2) AS t USING (account_id, symbol)
        WHERE (p.quantity, p.fees, p.realized_pnl) IS DISTINCT FROM (t.quantity, t.fees, t.pnl)""",
    "cash is what was paid in, less purchases and fees, plus sales": """
        SELECT a.id, cash.amount, funded.amount, traded.amount FROM trading.accounts a
        JOIN (SELECT owner_id, asset, sum(balance) AS amount FROM assets.accounts GROUP BY 1, 2)
            AS cash ON cash.owner_id = a.id AND cash.asset = a.currency
        JOIN (SELECT l.owner_id, sum(p.amount) AS amount FROM assets.postings p
              JOIN assets.accounts l ON l.id = p.destination WHERE p.kind = 'DEPOSIT' GROUP BY 1)
            AS funded ON funded.owner_id = a.id
        LEFT JOIN (SELECT account_id, sum(round(quantity * price, 8) *
                CASE side WHEN 'BUY' THEN -1 ELSE 1 END - fee) AS amount
              FROM trading.trades GROUP BY 1) AS traded ON traded.account_id = a.id
        WHERE cash.amount <> funded.amount + coalesce(traded.amount, 0)""",
    "an order's fills add up and never pass its quantity": """
        SELECT o.id, o.status, o.quantity, o.filled_quantity, t.quantity FROM trading.orders o
        LEFT JOIN (SELECT order_id, sum(quantity) AS quantity, sum(fee) AS fees
                   FROM trading.trades GROUP BY 1) AS t ON t.order_id = o.id
        WHERE (o.filled_quantity, o.fees) <> (coalesce(t.quantity, 0), coalesce(t.fees, 0))
           OR o.filled_quantity > o.quantity
           OR (o.status = 'FILLED') <> (o.filled_quantity = o.quantity)""",
    "a client order id stands for one order": """
        SELECT account_id, client_order_id, count(*) FROM trading.orders
        GROUP BY 1, 2 HAVING count(*) > 1""",
    "a fill is booked once": """
        SELECT id, count(*) FROM trading.trades GROUP BY 1 HAVING count(*) > 1""",
    "an order has its history, without a gap, and the other way round": """
        SELECT coalesce(o.id, h.order_id), o.version, h.versions, h.last FROM trading.orders o
        FULL JOIN (SELECT order_id, count(*) AS versions, max(version) AS last
                   FROM trading.order_history GROUP BY 1) AS h ON h.order_id = o.id
        WHERE o.id IS NULL OR (o.version, o.version) IS DISTINCT FROM (h.versions::int, h.last)""",
    "every step of an order is told, and nothing else": """
        SELECT coalesce(h.order_id::text, e.order_id), h.steps, e.events
        FROM (SELECT order_id, count(*) AS steps FROM trading.order_history GROUP BY 1) AS h
        FULL JOIN (SELECT body::json #>> '{data,order_id}' AS order_id, count(*) AS events
                   FROM platform.outbox WHERE topic = 'order_events' GROUP BY 1) AS e
            ON e.order_id = h.order_id::text
        WHERE h.steps IS DISTINCT FROM e.events""",
    "every fill is told, and nothing else": """
        SELECT t.id, o.event_id FROM trading.trades t
        FULL JOIN (SELECT * FROM platform.outbox WHERE topic = 'trade_executions') AS o
            ON o.event_id = t.id
        WHERE t.id IS NULL OR o.event_id IS NULL""",
    "the events of an account are numbered without a gap": """
        SELECT key, topic, count(*), min(seq), max(seq), last
        FROM (SELECT o.key, o.topic, (o.body::json ->> 'sequence')::bigint AS seq,
                  CASE o.topic WHEN 'order_events' THEN a.order_sequence
                      WHEN 'trade_executions' THEN a.trade_sequence
                      ELSE a.position_sequence END AS last
              FROM platform.outbox o JOIN trading.accounts a ON a.id::text = o.key
              WHERE o.topic IN ('order_events', 'trade_executions', 'position_events')) AS events
        GROUP BY key, topic, last
        HAVING (count(*), count(DISTINCT seq), min(seq), max(seq))
            IS DISTINCT FROM (last, last, 1::bigint, last)""",
    "an event is in the outbox once": """
        SELECT event_id, count(*) FROM platform.outbox WHERE topic <> 'strategy_signals'
        GROUP BY 1 HAVING count(*) > 1""",
    "a consumer has seen every event of its topic": """
        SELECT o.topic, o.event_id, c.consumer
        FROM (VALUES ('user_events', 'trading_accounts'), ('strategy_signals', 'trading_signals'))
            AS c (topic, consumer)
        JOIN platform.outbox o USING (topic)
        LEFT JOIN platform.inbox i ON i.consumer = c.consumer AND i.event_id = o.event_id
        WHERE i.event_id IS NULL""",
    "no event was given up": "SELECT consumer, topic, error FROM platform.dead_letters",
}


#: Damage that a crash could do, and the rule that has to see it.
DAMAGE = {
    "money out of nothing": (
        "the ledger sums to zero for each asset",
        """
        UPDATE assets.accounts SET balance = balance + 1
        WHERE id = (SELECT destination FROM assets.postings LIMIT 1)""",
    ),
    "a posting lost": (
        "a balance is the sum of its postings",
        """
        DELETE FROM assets.postings WHERE id = (SELECT max(id) FROM assets.postings)""",
    ),
    "a hold forgotten": (
        "held cash is what open orders hold",
        """
        UPDATE trading.orders SET held_cash = 0
        WHERE id = (SELECT id FROM open_orders WHERE held_cash > 0 LIMIT 1)""",
    ),
    "an order lost": (
        "an order has its history, without a gap, and the other way round",
        """
        DELETE FROM trading.orders WHERE id = (SELECT id FROM trading.orders LIMIT 1)""",
    ),
    "a fill lost": (
        "an order's fills add up and never pass its quantity",
        """
        DELETE FROM trading.trades WHERE id = (SELECT id FROM trading.trades LIMIT 1)""",
    ),
    "a position forgotten": (
        "a position is what the ledger has",
        """
        UPDATE trading.positions SET quantity = quantity + 1
        WHERE id = (SELECT id FROM trading.positions LIMIT 1)""",
    ),
    "an event lost": (
        "the events of an account are numbered without a gap",
        """
        DELETE FROM platform.outbox WHERE seq = (
            SELECT seq FROM platform.outbox WHERE topic = 'position_events' LIMIT 1)""",
    ),
    "an event told twice": (
        "an event is in the outbox once",
        """
        INSERT INTO platform.outbox (event_id, topic, key, body, created_at)
        SELECT event_id, topic, key, body, created_at FROM platform.outbox
        WHERE topic = 'order_events' LIMIT 1""",
    ),
    "a step of an order's history lost": (
        "every step of an order is told, and nothing else",
        """
        DELETE FROM trading.order_history
        WHERE order_id = (SELECT id FROM trading.orders LIMIT 1) AND version = 1""",
    ),
    "an event that a consumer never saw": (
        "a consumer has seen every event of its topic",
        """
        DELETE FROM platform.inbox
        WHERE event_id = (SELECT event_id FROM platform.inbox LIMIT 1)""",
    ),
}
COUNTED = ("trading.orders", "trading.trades", "platform.outbox", "assets.postings")


def broken_rules(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return the violations of each rule of the tables that is broken."""
    connection.execute(_OPEN_ORDERS.encode())
    found = {
        rule: [str(row) for row in connection.execute(query.encode()).fetchall()]
        for rule, query in RULES.items()
    }
    return {rule: rows for rule, rows in found.items() if rows}


def unseen_damage(admin_url: str) -> list[str]:
    """Do each kind of damage in a transaction that is rolled back; return what goes unnoticed."""
    unseen = []
    url = make_url(admin_url).set(database=DATABASE).render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute(_OPEN_ORDERS.encode())
        for damage, (rule, statement) in DAMAGE.items():
            with connection.transaction(force_rollback=True):
                # Without the triggers that refuse such things.
                connection.execute("SET LOCAL session_replication_role = replica")
                changed = connection.execute(statement.encode()).rowcount
                if changed < 1 or not connection.execute(RULES[rule].encode()).fetchall():
                    unseen.append(damage)
    return unseen


class Proof:
    """Collects violations."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.violations: list[str] = []
        self.counts: dict[str, int] = {}

    def check_database(self) -> None:
        """Check what the tables say about each other."""
        with psycopg.connect(self._url) as connection:
            for rule, rows in broken_rules(connection).items():
                self._note(rule, rows)
            for table in COUNTED:
                name = sql.Identifier(*table.split("."))
                query = sql.SQL("SELECT count(*) FROM {}").format(name)
                row = connection.execute(query).fetchone()
                assert row is not None
                self.counts[table] = row[0]

    def check_promises(self, outcome: Outcome, *, seed: int, orders: int) -> None:
        """Compare what clients were told with what the tables say."""
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            rows = connection.execute(
                """SELECT o.*, h.data::text AS first_answer, h.event_type AS first_event
                   FROM trading.orders o
                   JOIN trading.order_history h ON h.order_id = o.id AND h.version = 1
                   WHERE o.parent_id IS NULL"""
            ).fetchall()
        stored = {row["id"]: row for row in rows}
        self._each(
            "an acknowledged order is there as it was acknowledged",
            outcome.orders,
            lambda order: _broken_promise(order, stored.get(order.order_id), seed),
        )
        numbers = Counter(order.number for order in outcome.orders)
        self._note(
            "every order was answered, once",
            [str(n) for n in range(orders) if numbers[n] != 1],
        )
        ids = Counter(order.order_id for order in outcome.orders)
        self._note("no two orders got one id", [str(one) for one, n in ids.items() if n > 1])
        promised = {order.order_id for order in outcome.orders}
        of_signals = {
            derived_id("signal-order", user_id, signal): signal
            for user_id, signal in outcome.signals
        }
        self._note(
            "there is no order that nobody asked for",
            [str(one) for one in stored if one not in promised and one not in of_signals],
        )
        self._note(
            "every signal that was taken became its order",
            [str(signal) for one, signal in of_signals.items() if one not in stored],
        )

    async def check_stream(self, bus_url: str) -> None:
        """Compare the stream with the outbox: all of it, in order, and nothing invented."""
        with psycopg.connect(self._url) as connection:
            wanted = {
                row[0]: row[1]
                for row in connection.execute("SELECT event_id, topic FROM platform.outbox")
            }
        seen: Counter[UUID] = Counter()
        last: dict[tuple[str, str], int] = {}
        disorder: list[str] = []
        for event in await _read_stream(bus_url):
            identity = UUID(event["id"])
            seen[identity] += 1
            sequence = event.get("sequence")
            if sequence is None:
                continue
            key = (event["source"], event["partitionkey"])
            before = last.get(key, 0)
            if sequence > before + 1:
                disorder.append(f"{key}: {before} is followed by {sequence}")
            last[key] = max(before, sequence)
        self._note("the events of an account come in order", disorder)
        self._note(
            "every event is published",
            [f"{topic} {event_id}" for event_id, topic in wanted.items() if not seen[event_id]],
        )
        self._note(
            "nothing is published that is not in the outbox",
            [str(event_id) for event_id in seen if event_id not in wanted],
        )
        self.counts["events published"] = sum(seen.values())
        self.counts["events published again"] = sum(seen.values()) - len(seen)

    def _each(
        self,
        rule: str,
        orders: list[Acknowledged],
        broken: Callable[[Acknowledged], str],
    ) -> None:
        self._note(rule, [text for order in orders if (text := broken(order))])

    def _note(self, rule: str, found: list[str]) -> None:
        if found:
            shown = "\n    ".join(found[:SHOWN_MAX])
            self.violations.append(f"{rule}: {len(found)} violations\n    {shown}")


def _broken_promise(order: Acknowledged, row: dict[str, Any] | None, seed: int) -> str:
    """Return how an order differs from what its client was told, or nothing."""
    name = f"order {order.number} ({order.order_id})"
    if row is None:
        return f"{name} is lost"
    terms = terms_of(seed, order.number)
    expected: dict[str, Any] = {
        "user_id": order.user_id,
        "client_order_id": client_order_id(seed, order.number),
        "symbol": terms["symbol"],
        "side": terms["side"],
        "type": terms["type"],
        "time_in_force": terms["time_in_force"],
        "order_class": terms.get("order_class", "SIMPLE"),
        "quantity": order.quantity,
        "price": order.price,
    }
    wrong = {field: (value, row[field]) for field, value in expected.items() if row[field] != value}
    if wrong:
        return f"{name} was acknowledged otherwise: {wrong}"
    if order.status == 201 and digest_of(row["first_answer"].encode()) != order.digest:
        return f"{name} was answered with other bytes than are on record"
    if (order.status == 422) != (row["status"] == "REJECTED"):
        return f"{name} was answered {order.status} and is {row['status']}"
    if order.refusal and order.refusal != row["reject_reason"]:
        return f"{name} was refused for {order.refusal}, on record is {row['reject_reason']}"
    if order.is_canceled and (row["status"] != "CANCELED" or row["filled_quantity"] != ZERO):
        return f"{name} was cancelled and is {row['status']}"
    return ""


async def _read_stream(bus_url: str) -> list[dict[str, Any]]:
    """Return all events on the stream, in its order."""
    client = await nats.connect(bus_url)
    try:
        jetstream = client.jetstream()
        info = await jetstream.stream_info(STREAM)
        consumer = await jetstream.add_consumer(
            STREAM,
            ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL),
        )
        subscription = await jetstream.pull_subscribe_bind(consumer.name, stream=STREAM)
        events: list[dict[str, Any]] = []
        messages_left = info.state.messages
        while messages_left > 0:
            messages = await subscription.fetch(min(FETCH_MESSAGES, messages_left), timeout=10)
            for message in messages:
                events += json.loads(message.data)
            messages_left -= len(messages)
    finally:
        await client.close()
    return events
