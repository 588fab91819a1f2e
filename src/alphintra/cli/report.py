"""`alphintra report`: results that were saved, as a page to look at, a PDF, or JSON."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from alphintra.cli.errors import CommandFailed
from alphintra.core.errors import Problem

if TYPE_CHECKING:
    from alphintra.research import BacktestResult


def write(paths: list[Path], out: Path) -> Path:
    """Write the report of saved results and return where it is.

    Raises:
        CommandFailed: a file is not a saved result, the ending of `out` is not known, or `out`
            cannot be written.
    """
    from alphintra.research import reports

    results = [_load(path) for path in paths]
    try:
        return reports.write_report(results, out)
    except Problem as problem:
        raise CommandFailed.from_problem(problem) from None
    except OSError as error:
        raise CommandFailed(
            f"{out} cannot be written: {error.strerror}", code="file_not_written"
        ) from None


def _load(path: Path) -> "BacktestResult":
    from alphintra.research.storing import load_result

    try:
        return load_result(path)
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be read: {error.strerror}", code="file_not_read"
        ) from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, Problem) as error:
        raise CommandFailed(
            f"{path} is not a saved result ({type(error).__name__})",
            code="not_a_result",
            advice="Save one with: alphintra backtest … --save RESULT.zip",
        ) from error
