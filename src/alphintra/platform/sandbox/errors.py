"""Why users' code does not run, or runs no longer."""

from alphintra.core.errors import Problem, Unavailable
from alphintra.platform.sandbox.limits import Ended


class SandboxUnavailable(Unavailable):
    """Users' code and files cannot be isolated on this host, so the one is not run and the other
    not read. `alphintra doctor` says what is missing: a kernel with Landlock (5.13 or later), or
    bubblewrap.
    """

    code = "sandbox_unavailable"


class ChildEnded(Problem):
    """The process that ran the code ended before it answered. The detail says how."""

    code = "sandbox_process_ended"
    status = 500

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.detail, reason=ended.reason.value)
        self.ended = ended


class ChildTimedOut(ChildEnded):
    """The code took longer for an answer than it may, and was ended. Make it faster."""

    code = "sandbox_timeout"
