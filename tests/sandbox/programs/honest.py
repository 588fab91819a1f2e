"""Programs that mean no harm."""

import mmap
import os
import random
import sys
import threading
import time
from typing import Any


def echo(channel: Any) -> None:
    while (body := channel.receive()) is not None:
        channel.send(body)


def slow(channel: Any) -> None:
    while (body := channel.receive()) is not None:
        time.sleep(float(body))
        channel.send(body)


def talk(_: Any) -> None:
    print("first words")
    print("ü", "x" * 1_000_000)
    print("last words", file=sys.stderr)


def beep(_: Any) -> None:
    raise ValueError("a \x1b[31mred\x00 bell\x07")


def fail(_: Any) -> None:
    raise ValueError("a fault of its own")


def too_long(channel: Any) -> None:
    channel.send(bytes(16 * 1024**2 + 1))


def given(channel: Any) -> None:
    """Read the files, add up what was lent to be read, write to what was lent to be written."""
    for one in channel.readable:
        channel.send(os.read(one, 100))
    source, target = channel.shared
    target[:8] = sum(source[:100]).to_bytes(8, "little")
    channel.send(b"done")


def write_what_is_sealed(channel: Any) -> None:
    assert len(channel.shared) == 1
    mmap.mmap(4, 0)[0] = 1


def numbers(channel: Any) -> None:
    channel.send(repr((random.random(), sorted(os.environ))).encode())


def order_of_a_set(channel: Any) -> None:
    channel.send(repr(set(map(str, range(1_000)))).encode())


def libraries(channel: Any) -> None:
    """What strategies are written with: imported late, computed, compiled."""
    import colorsys  # nobody has preloaded that
    import zoneinfo

    import numba
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]
    import talib

    index = pd.date_range("2024-03-09", periods=96, freq="h", tz=zoneinfo.ZoneInfo("Asia/Tokyo"))
    frame = pd.DataFrame({"price": np.arange(96.0)}, index=index.tz_convert("America/New_York"))
    daily = frame.resample("1D").last()
    average = talib.SMA(np.arange(10.0), 5)
    double = numba.njit(lambda one: 2 * one)
    assert colorsys.rgb_to_hsv(1, 1, 1)[2] == 1
    text = pd.Series(["a", "b"]).str.upper().tolist()
    np.linalg.inv(np.eye(50))
    channel.send(repr((len(daily), float(average[-1]), double(21), text)).encode())


def some_threads(channel: Any) -> None:
    found: list[int] = []
    team = [threading.Thread(target=found.append, args=(one,)) for one in range(6)]
    for one in team:
        one.start()
    for one in team:
        one.join()
    channel.send(repr(sorted(found)).encode())


def fill_memory(channel: Any) -> None:
    """Say how many MiB there were."""
    held: list[bytearray] = []
    try:
        while True:
            held.append(bytearray(1024**2))
    except MemoryError:
        count = len(held)
        held.clear()
    channel.send(str(count).encode())


def garbage(channel: Any) -> None:
    """Send ten thousand frames of anything."""
    seed = channel.receive()
    dice = random.Random(seed)
    for _ in range(10_000):
        channel.send(dice.randbytes(dice.choice((0, 1, 7, 60, 500))))


def noise(channel: Any) -> None:
    """Send what is no frames."""
    dice = random.Random(channel.receive())
    for _ in range(200):
        os.write(3, dice.randbytes(dice.randrange(1, 2_000)))


def forge(channel: Any) -> None:
    """Say in every way to be somebody else."""
    for body in (
        b'{"id": 1, "user": "admin"}',
        b'{"deployment_id": "00000000-0000-0000-0000-000000000001"}',
        b"\x83\xa2id\x01\xa4name\xa6victim\xa4body\xa1x",
    ):
        channel.send(body)
    while channel.receive() is not None:
        pass
