"""What `alphintra deployment` prints of answers of the server."""

from typing import Any

from alphintra.cli.deployments import trace_lines


def told(**changes: Any) -> dict[str, Any]:
    signal = {
        "created_at": "T1", "action": "BUY", "symbol": "BTC-USD", "reason": "in",
        "status": "ORDERED", "detail": None, "because": {"mean": 89866.25, "slow": None},
        "order": {"quantity": "0.01", "type": "MARKET"},
    }  # fmt: skip
    order = {
        "created_at": "T2", "side": "BUY", "quantity": "0.01", "symbol": "BTC-USD",
        "type": "MARKET", "status": "FILLED", "reject_reason": None,
    }  # fmt: skip
    return {
        "trace_id": "t",
        "candle": {
            "closed_at": "T0", "symbol": "BTC-USD", "open": 1.0, "high": 4.0, "low": 0.5,
            "close": 2.0,
        },
        "signal": signal,
        "orders": [order],
        "fills": [{**order, "executed_at": "T3", "price": "89885.18", "fee": "0.45"}],
        "ledger": [
            {"created_at": "T4", "kind": "TRADE", "amount": "-899", "asset": "USD",
             "bucket": "AVAILABLE"}
        ],
    } | changes  # fmt: skip


def test_a_trace_is_a_line_for_each_step() -> None:
    assert trace_lines(told()) == [
        "T0  candle  BTC-USD open 1 high 4 low 0.5 close 2",
        "T1  signal  BUY 0.01 BTC-USD MARKET: ORDERED; in; mean 89866.2",
        "T2  order   BUY 0.01 BTC-USD MARKET: FILLED",
        "T3  fill    BUY 0.01 BTC-USD at 89885.18, fee 0.45",
        "T4  ledger  TRADE -899 USD AVAILABLE",
        "trace id t",
    ]


def test_a_trace_of_what_was_withheld_ends_with_its_reason() -> None:
    full = told()
    signal = full["signal"] | {"status": "WITHHELD", "detail": "too much"}
    lines = trace_lines(full | {"signal": signal, "orders": [], "fills": [], "ledger": []})
    assert lines[1].endswith(": WITHHELD; in; mean 89866.2; too much")
    assert len(lines) == 3
    assert trace_lines(full | {"candle": None})[0].startswith("T1  signal")
