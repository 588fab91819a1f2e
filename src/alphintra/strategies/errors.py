"""Refusals of strategies."""

from alphintra.core.errors import BadRequest, Conflict, Forbidden, NotFound


class NoSuchStrategy(NotFound):
    """There is no such strategy, or it is not yours and nobody shares it with you."""

    code = "no_such_strategy"


class NoSuchVersion(NotFound):
    """The strategy has no such version. `GET /strategies/{id}/versions` lists what it has."""

    code = "no_such_version"


class NoSuchTemplate(NotFound):
    """There is no such template. `GET /strategy-templates` lists them."""

    code = "no_such_template"


class NoSuchPerson(NotFound):
    """Nobody with this e-mail address or id can be shared with."""

    code = "no_such_person"


class RightMissing(Forbidden):
    """The strategy is shared with you, but not for this. Ask its owner for more, or copy it."""

    code = "right_missing"


class RevisionNeeded(BadRequest):
    """Say which revision you have seen: `revision` in the body, or the header `If-Match`."""

    code = "revision_needed"


class StrategyChanged(Conflict):
    """Somebody has changed the strategy since you read it. Read it again, then change it."""

    code = "strategy_changed"


class StatusRefused(Conflict):
    """A strategy does not go from its status to that one. The detail says where it can go."""

    code = "strategy_status_refused"


class StrategyArchived(Conflict):
    """The strategy is archived. Make it a draft again (`PUT /strategies/{id}/status`) first."""

    code = "strategy_archived"


class StrategyKept(Conflict):
    """A version was published or deployed, so the strategy is kept. Archive it instead."""

    code = "strategy_kept"


class TooManyStrategies(Conflict):
    """You have as many strategies, versions or shares as one may have. Delete some first."""

    code = "too_many_strategies"


class WrongContent(BadRequest):
    """Code and blocks do not go with the strategy's type. The detail says what is missing."""

    code = "strategy_content_wrong"


class CodeFaulty(BadRequest):
    """The code does not make a strategy. `findings` has every fault by line and column."""

    code = "code_faulty"
