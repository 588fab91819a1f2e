"""Programs that take all they can get, or will not end. Each first says that it has begun."""

import array
import bz2
import ctypes
import gc
import hashlib
import mmap
import os
import re
import signal
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

MIB = 1024**2


def memory(_: Any) -> None:
    held = []
    while True:
        held.append(bytearray(8 * MIB))


def memory_bit_by_bit(_: Any) -> None:
    held: list[object] = []
    while True:
        held.append([held] * 100)


def memory_mapped_and_shared(_: Any) -> None:
    """Unmap what is not needed to have its room, then map memory that is not private."""
    held = []
    while True:
        one = mmap.mmap(-1, 16 * MIB)
        one.write(b"x" * (16 * MIB))
        held.append(one)


def memory_caught(_: Any) -> NoReturn:
    """Catch every refusal and try again."""
    held = []
    while True:
        try:
            held.append(bytearray(MIB))
        except MemoryError:
            continue


def numbers(_: Any) -> None:
    one = 7
    while True:
        one *= one


def processor(_: Any) -> NoReturn:
    while True:
        pass


def processor_in_compiled_code(_: Any) -> None:
    pow(3, 10**9)


def processor_by_threads(_: Any) -> None:
    """Have every core, in code that lets go of Python's lock."""
    data = bytes(8 * MIB)

    def hash_for_ever() -> None:
        while True:
            hashlib.sha256(data)

    for _number in range(7):
        threading.Thread(target=hash_for_ever, daemon=True).start()
    hash_for_ever()


def expression(_: Any) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def processes(_: Any) -> NoReturn:
    while True:
        try:
            os.fork()
        except OSError:
            os._exit(1)


def threads(_: Any) -> None:
    threading.stack_size(32 * 1024)
    while True:
        threading.Thread(target=time.sleep, args=(3_600,), daemon=True).start()


def descriptors(_: Any) -> None:
    while True:
        os.dup(1)


def shared_memory(_: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    held = 0
    while True:
        number = libc.shmget(0, 64 * MIB, 0o1600)
        if number < 0:
            raise SystemExit(1 if held == 0 else 2)
        held += 1


def disk(_: Any) -> None:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", Path(__file__).parent, Path.cwd()):
        try:
            with Path(folder, f"bomb-{os.getpid()}").open("wb") as file:
                while True:
                    file.write(b"x" * MIB)
        except OSError:
            continue
    raise SystemExit(1)


def output(_: Any) -> NoReturn:
    while True:
        print("x" * 10_000)


def output_past_python(_: Any) -> NoReturn:
    while True:
        os.write(1, b"x" * 65_536)


def frames(channel: Any) -> NoReturn:
    while True:
        channel.send(b"")


def big_frames(channel: Any) -> NoReturn:
    while True:
        channel.send(b"x" * MIB)


def giant_frame(_: Any) -> NoReturn:
    os.write(3, (0xFFFF_FFFF).to_bytes(4, "little"))
    while True:
        os.write(3, b"x" * 65_536)


def half_a_frame(_: Any) -> None:
    os.write(3, (1_000).to_bytes(4, "little") + b"x")
    time.sleep(3_600)


def recursion(_: Any) -> None:
    sys.setrecursionlimit(10**9)

    def deeper(one: Any) -> Any:
        return [deeper(one)]

    deeper(1)


def recursion_in_compiled_code(_: Any) -> None:
    one: list[Any] = []
    for _ in range(10**6):
        one = [one]
    repr(one)
    del one
    raise SystemExit(1)


def compression(_: Any) -> None:
    packed = zlib.compress(bytes(64 * MIB))
    held = []
    while True:
        held.append(zlib.decompress(packed))


def compression_in_layers(_: Any) -> None:
    packed = bz2.compress(bz2.compress(bytes(200 * MIB)))
    bz2.decompress(bz2.decompress(packed) * 100)


def deaf_to_signals(_: Any) -> NoReturn:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            continue
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        pass


def deaf_to_the_processor_limit(_: Any) -> NoReturn:
    signal.signal(signal.SIGXCPU, lambda *_: None)
    while True:
        pass


def sleeping(_: Any) -> None:
    time.sleep(1e6)


def stopped(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def timers(_: Any) -> NoReturn:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
    while True:
        pass


def catching_everything(_: Any) -> NoReturn:
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: S112 - that is the point
            continue


def tracing_the_harness(channel: Any) -> NoReturn:
    def trace(*_: Any) -> Any:
        return trace

    sys.settrace(trace)
    threading.settrace(trace)
    sys.setprofile(trace)
    gc.unfreeze()
    for one in gc.get_referrers(channel):
        if isinstance(one, dict):
            one.clear()
    while True:
        pass


def never_collected(_: Any) -> None:
    gc.disable()

    class Cycle:
        def __init__(self) -> None:
            self.me, self.data = self, array.array("d", bytes(64 * 1024))

    while True:
        Cycle()


def silence(channel: Any) -> None:
    os.close(3)
    time.sleep(3_600)


def crash(_: Any) -> None:
    ctypes.string_at(0)


def exit_handlers(_: Any) -> None:
    import atexit

    atexit.register(time.sleep, 3_600)

    class Sleeper:
        def __del__(self) -> None:
            time.sleep(3_600)

    sys.modules["sleeper"] = Sleeper()  # type: ignore[assignment]


def sockets(_: Any) -> None:
    held = []
    while True:
        held.append(socket.socketpair())


def run(channel: Any) -> None:
    """Be the bomb that the first frame names."""
    name = channel.receive().decode()
    channel.send(b"begun")
    bomb: Callable[[Any], None] = globals()[name]
    bomb(channel)
