"""`alphintra parity` and `alphintra backtests`: what is asked, what is printed, how it ends."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from typer.testing import CliRunner

from alphintra.cli.app import app
from tests.cli.conftest import ScriptedServer

AMOUNTS = {"quantity": "10", "price": "100.01", "fee": "0.5", "liquidity": "TAKER"}
PAIR = {
    "trade_id": "t-1",
    "order_id": "o-1",
    "symbol": "SPY",
    "at": "2026-01-02T15:00:00Z",
    "booked": AMOUNTS,
    "replayed": AMOUNTS,
    "event": "simulator: quote 100/100.01 at 2026-01-02T15:00:00+00:00",
    "cause": None,
    "detail": "",
}
REPORT: dict[str, Any] = {
    "account_id": "a-1",
    "day": "2026-01-02",
    "is_identical": True,
    "orders": 1,
    "fills": 1,
    "outcomes": 0,
    "void": 0,
    "pairs": [PAIR],
    "order_differences": [],
    "market": [],
    "latency": {"instructions": 1, "median_ms": 2.5, "max_ms": 4.0, "fills_changed": 0},
    "notes": [],
}
RUN = {
    "id": "r-1",
    "name": "first",
    "strategy": "sma_cross",
    "status": "RUNNING",
    "progress": 0.25,
    "remaining_s": 12.4,
    "error": None,
    "created_at": "2026-01-02T15:00:00Z",
    "start_date": None,
    "end_date": None,
    "initial_capital": None,
    "final_capital": None,
    "total_return": None,
    "total_trades": None,
    "win_rate": None,
    "sharpe_ratio": None,
    "max_drawdown": None,
    "warnings": [],
}


def test_identical_day_ends_with_0(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.Response(200, json=REPORT)]
    result = CliRunner().invoke(app, ["parity", "--day", "2026-01-02", "--account", "a-1"])
    assert result.exit_code == 0
    assert "10 at 100.01" in result.output
    assert "identical" in result.output
    assert "2.5 ms" in result.output
    (request,) = server.requests
    assert request.url.path == "/api/v1/portfolio/parity"
    assert dict(request.url.params) == {"day": "2026-01-02", "account_id": "a-1"}


def test_difference_ends_with_1_and_has_its_cause(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    wrong = {**PAIR, "cause": "fee", "detail": "fee 0.51 booked, 0.5 replayed"}
    ended = {
        "order_id": "o-2",
        "symbol": "SPY",
        "what": "ended",
        "booked": None,
        "replayed": "expired",
        "cause": "data",
        "detail": "an event is not stored",
    }
    report = {
        **REPORT,
        "is_identical": False,
        "pairs": [wrong, {**PAIR, "replayed": None, "cause": "fill"}],
        "order_differences": [ended],
        "notes": ["SPY: the beginning of the venue's record is gone"],
    }
    server.answers = [httpx.Response(200, json=report)]
    result = CliRunner().invoke(app, ["parity"])
    assert result.exit_code == 1
    for words in ("DIFFERENT", "fee 0.51 booked", "expired", "an event is not stored", "is gone"):
        assert words in result.output
    (request,) = server.requests
    assert request.url.params["day"] == datetime.now(UTC).date().isoformat()


def test_parity_for_programs(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.Response(200, json=REPORT)]
    result = CliRunner().invoke(app, ["parity", "--json"])
    assert json.loads(result.output) == REPORT


def test_backtests_are_listed_shown_and_cancelled(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.Response(200, json={"items": [RUN], "next": None})]
    listed = CliRunner().invoke(app, ["backtests", "list", "--status", "running"])
    assert "25%, 12 s left" in listed.output
    assert server.requests[-1].url.params["status"] == "RUNNING"
    failed = {**RUN, "status": "FAILED", "error": {"code": "range_empty", "detail": "no rows"}}
    server.answers = [httpx.Response(200, json=failed)]
    assert "no rows (range_empty)" in CliRunner().invoke(app, ["backtests", "show", "r-1"]).output
    done_well = {**RUN, "final_capital": 113925.2975, "total_return": 0.139252975}
    server.answers = [httpx.Response(200, json=done_well)]
    shown = CliRunner().invoke(app, ["backtests", "show", "r-1"]).output
    assert "113,925.30" in shown
    assert "13.93%" in shown
    assert "win rate" not in shown
    server.answers = [httpx.Response(202, json=RUN)]
    done = CliRunner().invoke(app, ["backtests", "cancel", "r-1"])
    assert "to be cancelled" in done.output
    assert (server.requests[-1].method, server.requests[-1].url.path) == (
        "DELETE",
        "/api/v1/backtests/r-1",
    )
