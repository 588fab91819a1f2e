"""Refusals and faults of research over HTTP."""

from alphintra.core.errors import BadRequest, Conflict, NotFound


class NoSuchRun(NotFound):
    """There is no such backtest or search, or it is not yours."""

    code = "no_such_run"


class CodeNotAllowed(BadRequest):
    """Code is not run from a request. Make a strategy of it (`POST /strategies`) and run that."""

    code = "strategy_code_not_allowed"


class UnknownStrategy(BadRequest):
    """The library has no strategy of this name. `GET /strategy-library` lists them."""

    code = "unknown_strategy"


class RunNotFinished(Conflict):
    """There is no result: the run is not over, was cancelled, or failed. Its status says which."""

    code = "run_not_finished"


class RunIsOver(Conflict):
    """The run is over; there is nothing left to cancel."""

    code = "run_is_over"


class TooManyRuns(Conflict):
    """You have as many runs waiting as one user may have. Wait for one, or cancel one."""

    code = "too_many_runs"


class ResultGone(NotFound):
    """The result's file is not there any more. Run it again."""

    code = "result_gone"


class ProcessDied(Exception):
    """The process that computed has died; the message says of what. Another try may go well."""


class BeyondLimits(ProcessDied):
    """The run took more time or memory than one may have: another try would do the same."""
