"""Compute what the templates come to on their data, and write it beside them.

python -m alphintra.research.template_results
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from alphintra import strategies
from alphintra.engine.portfolio import Costs
from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult
from alphintra.sdk.source import load_source
from alphintra.strategies import Template

_FIGURES: Final = ("total_return", "sharpe_ratio", "max_drawdown", "win_rate", "volatility")


def template_result(template: Template) -> dict[str, Any]:
    """Return what came of a template: the figures that its page shows, and a hash of its orders."""
    settings = template.settings
    result = backtest(
        load_source(strategies.python_of(template.type, template.code, template.blocks)),
        list(template.datasets),
        cash=settings["cash"],
        costs=Costs(**settings["costs"]),
        start=settings["start"],
    )
    told = result.to_dict(series=False)
    return {
        "start_date": told["start_date"],
        "end_date": told["end_date"],
        "initial_capital": round(result.initial_capital, 2),
        "final_capital": round(result.final_capital, 2),
        "total_trades": len(result.trades),
        **{name: round(float(result.metrics[name]), 6) for name in _FIGURES},
        "warnings": [warning.code for warning in result.warnings],
        "orders_sha256": _orders_sha256(result),
    }


def _orders_sha256(result: BacktestResult) -> str:
    digest = hashlib.sha256()
    for row in result.fills.tolist():
        words = [f"{value:.6f}" if isinstance(value, float) else str(value) for value in row]
        digest.update(",".join(words).encode())
    return digest.hexdigest()


def main() -> None:
    """Write the results of all templates."""
    results = {one.name: template_result(one) for one in strategies.all_templates()}
    file = Path(strategies.__file__).parent / "templates" / "results.json"
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
