"""Whatever comes out of a child, the parent takes it for what it is: bytes of that child."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.platform.sandbox import Child, ChildEnded, Limits, Reason, Sandbox
from alphintra.platform.sandbox.channel import HEADER
from alphintra.platform.sandbox.child import Frames

MOST = 2_000
LONG_S = 120.0


class Order(msgspec.Struct, frozen=True, tag=True):
    """What a parent might expect of a child."""

    symbol: str
    quantity: int


class Transport:
    """Takes notice of whether it is to read on."""

    is_paused = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        pass


@given(
    frames=st.lists(st.binary(max_size=MOST), max_size=20),
    cuts=st.lists(st.integers(1, 700), min_size=1),
)
@settings(max_examples=100, deadline=None)
async def test_frames_are_the_same_however_they_arrive(
    frames: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(HEADER.pack(len(one)) + one for one in frames)
    cutter = _cutter()
    at = 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        cutter.data_received(stream[at : at + size])
        at += size
    cutter.eof_received()
    assert [await cutter.next() for _ in frames] == frames
    assert await cutter.next() is None
    assert cutter.fault == ""


@given(noise=st.lists(st.binary(max_size=300), max_size=40))
@settings(max_examples=300, deadline=None)
async def test_noise_is_frames_or_a_fault(noise: list[bytes]) -> None:
    cutter = _cutter()
    for part in noise:
        cutter.data_received(part)
    cutter.eof_received()
    async with asyncio.timeout(LONG_S):
        while (frame := await cutter.next()) is not None:
            assert len(frame) <= MOST


async def test_what_nobody_asks_for_waits_in_the_child() -> None:
    cutter = _cutter()
    transport: Any = Transport()
    cutter.connection_made(transport)
    received = 0
    while not transport.is_paused:
        cutter.data_received(HEADER.pack(0) * 100)
        received += 100
        assert received < 1_000_000
    for _ in range(received):
        assert await cutter.next() == b""
    assert not transport.is_paused


async def test_ten_thousand_frames_of_anything(box: Sandbox) -> None:
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        child = await box.start("honest:garbage", limits=Limits())
        await child.send(b"1")
        dice = random.Random(b"1")
        wrong = 0
        for _ in range(10_000):
            frame = await child.receive(timeout_s=LONG_S)
            assert frame == dice.randbytes(dice.choice((0, 1, 7, 60, 500)))
            try:
                msgspec.msgpack.decode(frame, type=Order)
            except (msgspec.DecodeError, msgspec.ValidationError):
                wrong += 1
        assert wrong == 10_000
        assert (await child.wait()).reason is Reason.EXITED
    finally:
        loop.set_exception_handler(None)
    assert faults == []


async def test_noise_ends_the_child_and_nothing_else(box: Sandbox) -> None:
    bystander = await box.start("honest:echo", limits=Limits())
    for seed in range(10):
        child = await box.start("honest:noise", limits=Limits(frame_bytes=1_000))
        await child.send(str(seed).encode())
        with pytest.raises(ChildEnded) as end:
            await _listen(child)
        assert end.value.ended.reason in {Reason.BROKE_RULES, Reason.EXITED}
    assert await bystander.call(b"well", timeout_s=LONG_S) == b"well"
    bystander.kill()


async def test_nobody_speaks_for_another(box: Sandbox) -> None:
    victim = await box.start("honest:echo", limits=Limits(), name="victim")
    forger = await box.start("honest:forge", limits=Limits(), name="forger")
    said = [await forger.receive(timeout_s=LONG_S) for _ in range(3)]
    assert b"victim" in said[2]
    # What it said is its own frames; the other's channel has only what the other says.
    assert await victim.call(b"mine", timeout_s=LONG_S) == b"mine"
    forger.reject("it claimed to be somebody else")
    assert (await forger.wait()).reason is Reason.BROKE_RULES
    assert victim.ended is None
    victim.kill()


async def _listen(child: Child) -> None:
    while True:
        assert len(await child.receive(timeout_s=LONG_S)) <= 1_000


def _cutter() -> Frames:
    return Frames(MOST)
