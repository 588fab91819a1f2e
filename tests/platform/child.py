"""A child for the tests of `Crew`: waits at the gate, says ready, lives until a signal.

    python child.py MODE LOG

Each step is one line in LOG. MODE `dies` ends right after the gate,
`works` has a part that begins when there is a file `go` beside LOG, `stays` is simply there.
"""

import sys
import time
from pathlib import Path

from alphintra.platform.processes import (
    announce_ready,
    expect_work,
    wait_for_start,
    work_began,
)


def main() -> None:
    mode, log = sys.argv[1], Path(sys.argv[2])

    def note(step: str) -> None:
        with log.open("a") as file:
            file.write(f"{step}\n")

    note("imported")
    wait_for_start()
    note("started")
    if mode == "dies":
        sys.exit(3)
    print("said by the child", flush=True)
    if mode == "works":
        expect_work("part")
        announce_ready()
        note("announced")
        while not log.with_name("go").exists():
            time.sleep(0.01)
        work_began("part")
    announce_ready()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
