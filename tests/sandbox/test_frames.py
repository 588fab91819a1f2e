"""Whatever comes out of a child, the parent takes it for what it is: bytes of that child."""

import asyncio
import contextlib
import random
import select
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.platform.sandbox import Child, ChildEnded, Limits, Reason, Sandbox
from alphintra.platform.sandbox.channel import HEADER
from alphintra.platform.sandbox.frames import UNREAD_BYTES_MAX, Frames

MOST = 2_000
LONG_S = 120.0


class Order(msgspec.Struct, frozen=True, tag=True):
    """What a parent might expect of a child."""

    symbol: str
    quantity: int


@given(
    frames=st.lists(st.binary(max_size=MOST), max_size=20),
    cuts=st.lists(st.integers(1, 700), min_size=1),
)
@settings(max_examples=100, deadline=None)
async def test_frames_are_the_same_however_they_arrive(
    frames: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(HEADER.pack(len(one)) + one for one in frames)
    async with ends() as (ours, its):
        at = 0
        while at < len(stream):
            size = cuts[at % len(cuts)]
            its.send(stream[at : at + size])
            await asyncio.sleep(0)
            at += size
        its.close()
        assert [await ours.next() for _ in frames] == frames
        assert await ours.next() is None
        assert ours.fault == ""


@given(noise=st.lists(st.binary(max_size=300), max_size=40))
@settings(max_examples=300, deadline=None)
async def test_noise_is_frames_or_a_fault(noise: list[bytes]) -> None:
    async with ends() as (ours, its):
        for part in noise:
            with contextlib.suppress(BrokenPipeError):
                its.send(part)
            await asyncio.sleep(0)
        its.close()
        async with asyncio.timeout(LONG_S):
            while (frame := await ours.next()) is not None:
                assert len(frame) <= MOST


async def test_what_nobody_asks_for_waits_in_the_child() -> None:
    async with ends() as (ours, its):
        its.setblocking(False)
        frame = HEADER.pack(MOST) + bytes(MOST)
        sent = 0
        while sent < 10 * UNREAD_BYTES_MAX:
            try:
                sent += its.send(frame)
            except BlockingIOError:
                await asyncio.sleep(0.01)
                if not select.select([], [its], [], 0)[1]:
                    break
        assert UNREAD_BYTES_MAX < sent < 3 * UNREAD_BYTES_MAX
        for _ in range(sent // len(frame)):
            assert await ours.next() == bytes(MOST)


async def test_what_the_child_does_not_take_waits_here_and_goes_out_whole() -> None:
    bodies = [bytes([number]) * 300_000 for number in range(20)]
    async with ends() as (ours, its), asyncio.timeout(LONG_S):
        writers = [asyncio.create_task(ours.write(one)) for one in bodies]
        await asyncio.sleep(0.05)
        impatient = next(one for one in writers if not one.done())
        impatient.cancel()  # what it has begun is sent all the same
        reader, _ = await asyncio.open_unix_connection(sock=its)
        seen: list[bytes] = []
        while not all(one.done() for one in writers) or len(seen) < len(bodies) - 1:
            (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
            seen.append(await reader.readexactly(length))
        assert set(seen) <= set(bodies)
        assert len(set(seen)) == len(seen)


async def test_what_has_arrived_is_kept_when_the_child_is_gone() -> None:
    bodies = [bytes([number]) * 1_900 for number in range(50)]
    async with ends() as (ours, its):
        its.setblocking(False)
        stream = b"".join(HEADER.pack(len(body)) + body for body in bodies)
        assert its.send(stream) == len(stream) > 65_536
        ours.close()  # its end is told before the loop has turned
        assert [await ours.next() for _ in bodies] == bodies
        assert await ours.next() is None


async def test_the_last_word_is_heard_though_nobody_takes_more() -> None:
    async with ends() as (ours, its):
        its.send(HEADER.pack(4) + b"last")
        its.close()
        await ours.write(b"more")
        assert ours.is_over
        assert ours.has_waiting
        assert await ours.next() == b"last"
        assert await ours.next() is None


async def test_a_child_that_is_gone_takes_nothing() -> None:
    async with ends() as (ours, its), asyncio.timeout(LONG_S):
        stuck = asyncio.create_task(ours.write(bytes(5_000_000)))
        await asyncio.sleep(0)
        its.close()
        await stuck
        assert await ours.next() is None
        await ours.write(b"more")
        assert ours.is_over


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


@contextlib.asynccontextmanager
async def ends() -> AsyncIterator[tuple[Frames, socket.socket]]:
    """Both ends of a channel: ours, and the one that a child has."""
    ours, its = socket.socketpair()
    frames = Frames(ours, MOST)
    try:
        yield frames, its
    finally:
        frames.close()
        its.close()
