"""A supervisor of one child, to be killed: prints the child's process id when it is ready."""

import os
import sys
import time
from pathlib import Path

from alphintra.platform.processes import Crew

script, log = Path(sys.argv[1]), sys.argv[2]
crew = Crew(environment=os.environ, log_dir=None, program=(sys.executable, script))
crew.start("child", ("stays", log))
crew.open_gate()
while not crew.ready():
    time.sleep(0.01)
print(crew.pids()["child"], flush=True)
time.sleep(60)
