"""Refusals and faults of trading."""

from collections.abc import Mapping

from alphintra.core.errors import BadRequest, Conflict, NotFound, Problem, Unavailable


class StoreFailed(Exception):
    """The desk's database went away or refused: what was in memory is worth nothing any more."""


class OrderRefused(Problem):
    """The order was refused.

    `code` names the rule; `check`, where there is one, its limit and the value that broke it.
    """

    code = "order_refused"
    status = 422

    def __init__(self, detail: str, *, code: str, status: int, extra: Mapping[str, object]) -> None:
        super().__init__(detail, **extra)
        # The code of this refusal, not of its class: clients tell the rules apart by it.
        self.code = code  # type: ignore[misc]
        self.status = status  # type: ignore[misc]


class OrderOutcomeUnknown(Unavailable):
    """The desk could not answer. Send the same request with the same client_order_id again."""

    code = "order_outcome_unknown"


class NoSuchOrder(NotFound):
    """There is no such order of yours. List your orders to find it."""

    code = "no_such_order"


class NoSuchPosition(NotFound):
    """You have no position in this symbol."""

    code = "no_such_position"


class StrategyMissing(BadRequest):
    """A kill switch with scope STRATEGY names the strategy. Add strategy_id."""

    code = "strategy_missing"


class NoSuchAccount(NotFound):
    """There is no such account, or it is not yours."""

    code = "no_such_account"


class DayNotBegun(BadRequest):
    """That day has not begun. Name today or a day before it."""

    code = "day_not_begun"


class DayTooLarge(Conflict):
    """The day has more orders or market events than one check reads."""

    code = "day_too_large"
