"""A supervisor in a process of its own, for tests that kill it.

    python supervisor.py DATA_DIR [UID]

Starts both servers, prints one line of JSON with the endpoints and process ids, and tends them
until a signal. With a UID, root becomes that user first; the imports happen before, because the
interpreter may lie where only root can read.
"""

import json
import os
import signal
import sys
import sysconfig
import threading
import time
from dataclasses import asdict
from pathlib import Path

from alphintra.core.errors import Problem
from alphintra.platform.embedded import EmbeddedServers


def main() -> None:
    data_dir = Path(sys.argv[1])
    if len(sys.argv) > 2:
        uid = int(sys.argv[2])
        sysconfig.get_paths()  # imports a module on the first call
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with EmbeddedServers(data_dir) as servers:
            endpoints = servers.start()
            print(json.dumps({**asdict(endpoints), "pids": servers.pids()}), flush=True)
            while not stop.wait(0.05):
                for news in servers.tend(now_s=time.monotonic()):
                    print(news, file=sys.stderr, flush=True)
    except Problem as problem:
        print(json.dumps({"code": problem.code, "detail": problem.detail}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
