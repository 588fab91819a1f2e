"""What a search refuses, and how its trials fail."""

from alphintra.core.errors import BadRequest, Unavailable


class SearchRefused(BadRequest):
    """The search cannot be made as it was asked for. Change what the detail names."""

    code = "search_refused"


class TrialsFailed(BadRequest):
    """The strategy raised an error in every trial. The detail has the parameters and the place."""

    code = "trials_failed"


class ComputeUnavailable(Unavailable):
    """What ALPHINTRA_COMPUTE names cannot be used. Install `alphintra[ray]`, check the address."""

    code = "compute_unavailable"
