"""The command line that puts bubblewrap around the nursery: namespaces with nothing in them."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

#: Directories of the merged /usr are links; as links they are made again.
_TOP_LEVEL = ("/lib", "/lib64")


def program() -> str | None:
    """Return where bubblewrap is, if it is installed."""
    return shutil.which("bwrap")


def around(command: Sequence[str], *, bwrap: str, places: Iterable[Path]) -> list[str]:
    """Return the command that runs `command` without network, users, processes or files of ours.

    Only `places` are there, read-only. There is no /dev/shm and nothing else to write to.
    """
    arguments = [
        bwrap,
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--proc",
        "/proc",
        # Of /proc only the processes are needed, those of the nursery.
        "--tmpfs",
        "/proc/sys",
    ]
    mounted: list[Path] = []
    for place in sorted(places, key=lambda one: len(one.parts)):
        if any(place.is_relative_to(one) for one in mounted):
            continue
        if str(place) in _TOP_LEVEL and place.is_symlink():
            arguments += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_char_device():
            arguments += ["--dev-bind", str(place), str(place)]
        else:
            arguments += ["--ro-bind", str(place), str(place)]
            mounted.append(place)
    return [*arguments, "--remount-ro", "/", "--chdir", "/", "--", *command]
