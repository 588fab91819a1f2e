"""Makes this process and all that come of it believe that the kernel has no Landlock."""

import ctypes
import errno

from alphintra.platform.sandbox import seccomp

_PR_SET_NO_NEW_PRIVS = 38


def forget_landlock() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    seccomp.install(seccomp.deny_list(["landlock_create_ruleset"], errno.ENOSYS))
