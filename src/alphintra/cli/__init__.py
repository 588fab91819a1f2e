"""The `alphintra` command. Its modules import what is heavy inside the command that needs it."""

import os
import sys

from alphintra.cli.app import app
from alphintra.cli.errors import CommandFailed
from alphintra.core.errors import Problem

__all__ = ["main"]


def main() -> None:
    """Run the command line; a refusal is told in words and ends with an exit code that is not 0."""
    try:
        app()
    except CommandFailed as failure:
        print(failure.text(), file=sys.stderr)
        sys.exit(failure.exit_code)
    except Problem as problem:
        print(CommandFailed.from_problem(problem).text(), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone. Keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
