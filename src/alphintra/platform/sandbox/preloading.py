"""What a nursery imports before it forks.

    python -s -P -m alphintra.platform.sandbox.preloading NAME…

does the same with a cache that can be written: compiled code that a nursery did not find is there
for the next one. It runs nobody's code but ours.
"""

import importlib
import os
import sys

from alphintra.platform.sandbox.confinement import die_with_parent


def preload(name: str) -> None:
    """Import "package.module", or call "package.module:function" once."""
    module, _, function = name.partition(":")
    loaded = importlib.import_module(module)
    if function:
        getattr(loaded, function)()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    os.nice(10)  # nobody waits for it
    for one in sys.argv[1:]:
        preload(one)
