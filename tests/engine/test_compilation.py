"""How the kernels are loaded, cached and run without the compiler."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from alphintra.engine import steps
from alphintra.engine.compile import compiled, kernel_digest, part
from tests.engine.test_against_reference import compare, random_step


def fingerprint() -> str:
    """Return a hash of everything a long session does."""
    rng = Random("fingerprint")
    session = [(rng.randint(0, 2), random_step(rng, "mixed")) for _ in range(300)]
    return hashlib.sha256(repr(compare(session, {}).log).encode()).hexdigest()


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_plain_python_and_compiled_code_do_the_same() -> None:
    code = "from tests.engine.test_compilation import fingerprint; print(fingerprint())"
    assert run(code, NUMBA_DISABLE_JIT="1") == fingerprint()
    assert run(code, NUMBA_DISABLE_JIT="0") == fingerprint()


def test_the_face_is_imported_without_the_compiler() -> None:
    modules = "alphintra.engine, alphintra.engine.layout, alphintra.trading.paper"
    code = f"import sys, {modules}; print('numba' in sys.modules)"
    assert run(code) == "False"


def test_compiled_code_of_another_source_is_not_loaded() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return  # nothing is compiled, so nothing is cached
    signature = steps.on_trade.signatures[0]  # type: ignore[attr-defined]
    cache = steps.on_trade._cache  # type: ignore[attr-defined]
    codegen = steps.on_trade.targetctx.codegen()  # type: ignore[attr-defined]
    assert kernel_digest(Path(steps.__file__).parent) in cache._index_key(signature, codegen)


@part
def _tripled(number: int, times: int) -> int:
    return times * number


@compiled
def _sum_of_tripled(number: int) -> int:
    return _tripled(number, 3) + _tripled(3, times=number)


def test_a_part_is_compiled_once_and_only_for_compiled_code() -> None:
    assert _sum_of_tripled(7) == 42
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return  # it is plain Python
    assert len(_tripled.signatures) == 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        _tripled(7, 3)
