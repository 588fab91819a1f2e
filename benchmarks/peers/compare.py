"""The same work in Alphintra, vectorbt and backtesting.py, in the same run, with the ratios.

    ./dev bench peers
    python benchmarks/peers/compare.py [--bars 1000000] [--sweep-bars 100000] [--runs 3]

Each peer gets an environment of its own beside this file at the first run (it needs the package
index then). The work: a cross of moving averages of 10 and 50 bars, long or flat, market orders at
the next open, a fee of 0.1 %; and 1,000 pairs of averages. Loading and compiling are not counted.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from work import SWEEP, minute_bars, saved  # noqa: E402  # found beside this file

ENVIRONMENTS = FOLDER / ".environments"
PEERS = {"vectorbt": "vectorbt==1.2.0", "backtesting": "backtesting==0.6.6"}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How one engine did."""

    engine: str
    seconds: float
    fills: int
    peak_mb: float


def interpreter(peer: str) -> Path:
    """Return the Python that has the peer; install it where there is none yet."""
    home = ENVIRONMENTS / peer
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", home], check=True)
        subprocess.run(
            [*uv, "pip", "install", "--quiet", "--python", python, PEERS[peer]], check=True
        )
        (home / "ready").touch()
    return python


def timed(engine: str, bars: Path, mode: str, runs: int) -> Timing:
    """Let one engine do the work in a process of its own."""
    python = interpreter(engine) if engine in PEERS else Path(sys.executable)
    script = FOLDER / f"with_{engine.split('-')[0]}.py"
    answer = subprocess.run(
        [python, script, bars, mode if engine in PEERS else f"{mode}-{engine}", str(runs)],
        capture_output=True,
        text=True,
        check=False,
        cwd=FOLDER,
    )
    if answer.returncode != 0:
        raise SystemExit(f"{engine}: {answer.stderr}")
    said = json.loads(answer.stdout.splitlines()[-1])
    return Timing(
        engine=engine,
        seconds=statistics.median(said["seconds"]),
        fills=said["fills"],
        peak_mb=said["peak_mb"],
    )


def show(title: str, unit: str, amount: float, timings: list[Timing]) -> None:
    """Print a line per engine; the ratio says how many times faster the first one is."""
    print(title)
    for timing in timings:
        ratio = timing.seconds / timings[0].seconds
        print(
            f"  {timing.engine:<18} {amount / timing.seconds:>14,.0f} {unit}/s"
            f"  {timing.seconds:9.3f} s  {timing.fills:>9,} fills  {timing.peak_mb:6,.0f} MB"
            f"  1 : {ratio:,.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--sweep-bars", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder, "long.npz"), Path(folder, "short.npz")
        saved(minute_bars(given.bars), long)
        saved(minute_bars(given.sweep_bars), short)
        engines = ["alphintra-compiled", "alphintra-python", "vectorbt", "backtesting"]
        show(
            f"one run, {given.bars:,} bars",
            "bars",
            given.bars,
            [timed(engine, long, "one", given.runs) for engine in engines],
        )
        show(
            f"{len(SWEEP):,} pairs of averages, {given.sweep_bars:,} bars",
            "runs",
            len(SWEEP),
            [
                timed("alphintra-compiled", short, "sweep", given.runs),
                timed("vectorbt", short, "sweep", 1),
            ],
        )


if __name__ == "__main__":
    main()
