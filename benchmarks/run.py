"""Run all benchmarks, or those that are named, one after the other.

    ./dev bench                 all but the long ones
    ./dev bench desk relay      these
    ./dev bench --list          what there is

Each script also works by itself and prints one line per figure. They end with an error when one of
them fails.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"run", "harness", "recordings", "__init__"}
#: Only when named: they take many minutes, or install other engines.
LONG = {"crash", "peers"}
TIMEOUT_S = 900.0
SCRIPTS = {
    **{path.stem: path for path in FOLDER.glob("*.py") if path.stem not in NOT_BENCHMARKS},
    "peers": FOLDER / "peers" / "compare.py",
}


def main() -> int:
    names = sorted(SCRIPTS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--list", action="store_true", help="say what there is")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name}{' (only when named)' * (name in LONG)}" for name in names))
        return 0
    if unknown := [name for name in given.names if name not in names]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    failed = [name for name in given.names or [n for n in names if n not in LONG] if not run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str) -> bool:
    """Run one script; say whether it worked."""
    print(f"\n== {name}", flush=True)
    began_s = time.monotonic()
    try:
        code = subprocess.run(
            [sys.executable, SCRIPTS[name]],
            check=False,
            timeout=None if name in LONG else TIMEOUT_S,
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"it took longer than {TIMEOUT_S:g} s")
        return False
    print(f"({time.monotonic() - began_s:.0f} s)", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
