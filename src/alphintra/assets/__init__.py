"""Assets: who has what. The double-entry ledger that all money and securities live in."""

from alphintra.assets.ledger import (
    Balance,
    Bucket,
    Journal,
    LedgerAccount,
    Line,
    Posting,
    PostingKind,
    balances,
    ledger_account,
    lines_of,
    totals,
    write,
)

__all__ = [
    "Balance",
    "Bucket",
    "Journal",
    "LedgerAccount",
    "Line",
    "Posting",
    "PostingKind",
    "balances",
    "ledger_account",
    "lines_of",
    "totals",
    "write",
]
