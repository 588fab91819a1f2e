"""What can be wrong with a strategy, its parameters or the orders it gives."""

from alphintra.core.errors import BadRequest


class StrategyRefused(BadRequest):
    """The strategy cannot be run as it is. Change its code as the detail says."""

    code = "strategy_refused"


class StrategyNotFound(StrategyRefused):
    """There is no such strategy. Name a file that defines exactly one, or `file.py:ClassName`."""

    code = "strategy_not_found"


class ParameterRefused(BadRequest):
    """A parameter has no such value. Give one that its declaration in the strategy allows."""

    code = "parameter_refused"


class StrategyFailed(BadRequest):
    """The strategy raised an error. The detail names its file, line and the time it had reached."""

    code = "strategy_failed"


class StrategyOutOfTime(BadRequest):
    """The run took longer than it may. Look for a loop that does not end, or raise the limit."""

    code = "strategy_out_of_time"


class RunCancelled(BadRequest):
    """The run was cancelled before its end. Nothing of it was kept."""

    code = "run_cancelled"
