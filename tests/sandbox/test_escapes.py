"""Every way out that we know of is tried in every mode, and each is a way out without a sandbox."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from alphintra.platform.sandbox import Limits, Sandbox, memory
from tests.sandbox.programs.escapes import ESCAPED, MAY_BE_ABSENT, PROBES, STOPPED, World


def test_there_are_many() -> None:
    assert len(PROBES) >= 60


@pytest.mark.parametrize("name", PROBES)
def test_is_a_way_out(name: str, without_a_sandbox: dict[str, int]) -> None:
    if name in MAY_BE_ABSENT:
        assert without_a_sandbox[name] in {ESCAPED, STOPPED}, MAY_BE_ABSENT[name]
    else:
        assert without_a_sandbox[name] == ESCAPED


def test_most_that_a_host_may_lack_are_here(without_a_sandbox: dict[str, int]) -> None:
    proven = [name for name, code in without_a_sandbox.items() if code == ESCAPED]
    assert len(proven) >= 60, sorted(set(PROBES) - set(proven))


@pytest.mark.parametrize("name", PROBES)
async def test_is_closed(name: str, any_box: Sandbox, world: World) -> None:
    shared = memory(4_096)
    try:
        child = await any_box.start(
            "escapes:inside", limits=Limits(), readable=(Path(world.secret),), shared=(shared,)
        )
        await child.send(json.dumps({"probe": name, "world": asdict(world)}).encode())
        ended = await child.wait()
    finally:
        os.close(shared)
    if name == "speak_another_abi" and ended.signal is not None:
        return  # the kernel ended it for trying
    assert ended.exit_code == STOPPED, (ended, child.output())
