"""The code service: what an editor is told, and texts that are meant to hurt."""

import asyncio
import time
from typing import Any

import pytest

from tests.strategies.conftest import CODE, Studio

HEAD = "from alphintra.sdk import Bar, Strategy, param\n"
CLASS = "class Mine(Strategy):\n    def on_bar(self, bar):\n        pass\n"


async def check(studio: Studio, source: str) -> dict[str, Any]:
    answer = await studio.call("POST", "/code/check", json={"source": source})
    assert answer.status_code == 200, answer.text
    checked: dict[str, Any] = answer.json()
    return checked


async def run(studio: Studio, source: str, **more: Any) -> dict[str, Any]:
    answer = await studio.call("POST", "/code/run", json={"source": source, **more})
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def test_good_code_is_told_with_its_parameters(studio: Studio) -> None:
    checked = await check(studio, CODE)
    assert (checked["ok"], checked["findings"], checked["name"]) == (True, [], "Averages")
    assert list(checked["declared"]) == ["fast", "slow"]
    vectorised = (
        "from alphintra.sdk import param, vectorised\n"
        "@vectorised\ndef up(bars, n=param(3, 1, 9)):\n    return bars.close > bars.open\n"
    )
    checked = await check(studio, vectorised)
    assert (checked["ok"], checked["vectorised"], checked["name"]) == (True, True, "up")


@pytest.mark.parametrize(
    ("source", "code", "line", "column"),
    [
        ("def f(:\n", "syntax_error", 1, 7),
        ("import os\n" + HEAD + CLASS, "import_forbidden", 1, 1),
        ("import numpy.ctypeslib, socket\n" + HEAD + CLASS, "import_forbidden", 1, 1),
        ("from . import x\n" + HEAD + CLASS, "import_forbidden", 1, 1),
        ("from alphintra import platform\n" + HEAD + CLASS, "import_forbidden", 1, 1),
        ("from alphintra.engine import matching\n" + HEAD + CLASS, "import_forbidden", 1, 1),
        (HEAD + "x = eval('1')\n" + CLASS, "call_forbidden", 2, 5),
        (HEAD + "x = open('/etc/passwd')\n" + CLASS, "call_forbidden", 2, 5),
        (HEAD + "x = ().__class__.__subclasses__()\n" + CLASS, "attribute_forbidden", 2, 5),
        (HEAD + CLASS.replace("pass", "return bra.close"), "undefined_name", 4, 16),
        (HEAD + CLASS.replace("self, bar", "self"), "hook_signature", 3, 5),
        (HEAD + CLASS.replace("self, bar", "self, bar, more"), "hook_signature", 3, 5),
        (HEAD + CLASS.replace("def", "async def"), "async_forbidden", 3, 5),
        (HEAD + CLASS.replace("on_bar", "on_bars"), "hook_missing", 2, 1),
        ("x = 1\n", "no_strategy", 0, 0),
        (HEAD + CLASS + "y = 1 / 0\n", "does_not_load", 5, 0),
        (HEAD + CLASS + "raise SystemExit\n", "does_not_load", 0, 0),
        (HEAD + CLASS + CLASS.replace("Mine", "Yours"), "does_not_load", 0, 0),
        (
            HEAD + CLASS.replace("    def", "    n = param(5, 9, 10)\n    def"),
            "does_not_load",
            3,
            0,
        ),
    ],
)
async def test_fault_is_named_with_its_place(
    studio: Studio, source: str, code: str, line: int, column: int
) -> None:
    checked = await check(studio, source)
    assert not checked["ok"]
    found = [(one["code"], one["line"], one["column"]) for one in checked["findings"]]
    assert (code, line, column) in found, checked["findings"]


async def test_names_of_ones_own_are_no_faults(studio: Studio) -> None:
    source = HEAD + CLASS.replace("pass", "open = bar.open\n        self.log(str(open))")
    assert (await check(studio, source))["ok"]


async def test_misspelt_hook_gets_a_hint(studio: Studio) -> None:
    source = HEAD + CLASS + "    def on_timers(self, name):\n        pass\n"
    checked = await check(studio, source)
    finding = checked["findings"][-1]
    assert (checked["ok"], finding["code"], finding["severity"]) == (
        True,
        "hook_unknown",
        "warning",
    )
    assert "on_timer?" in finding["message"]


async def test_code_is_formatted(studio: Studio) -> None:
    ugly = "x   = {'a':1,\n'b':2}\n"
    answer = await studio.call("POST", "/code/format", json={"source": ugly})
    assert answer.json() == {"source": 'x = {"a": 1, "b": 2}\n', "changed": True}
    answer = await studio.call("POST", "/code/format", json={"source": "def f(:"})
    assert (answer.status_code, answer.json()["code"]) == (422, "code_faulty")
    assert answer.json()["findings"][0]["line"] == 1


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("self.", {"buy", "sell", "target_weight", "indicator", "fast"}),
        ("self.target", {"target_weight"}),
        ("bar.", {"open", "close", "symbol"}),
        ("self.line.", {"now", "ready"}),
        ("Stra", {"Strategy"}),
    ],
)
async def test_the_sdk_is_completed(studio: Studio, typed: str, expected: set[str]) -> None:
    source = (
        HEAD + "class Mine(Strategy):\n    fast = param(3)\n    def setup(self):\n"
        "        self.line = self.indicator('SMA')\n"
        f"    def on_bar(self, bar: Bar) -> None:\n        {typed}\n"
    )
    place = {"line": 7, "column": 8 + len(typed)}
    answer = await studio.call("POST", "/code/complete", json={"source": source, **place})
    assert answer.status_code == 200, answer.text
    items = {one["name"]: one for one in answer.json()["items"]}
    assert expected <= set(items)
    if typed == "self.target":
        item = items["target_weight"]
        assert item["rest"] == "_weight"
        assert item["signature"].startswith("target_weight(weight: float")
        assert "share of equity" in item["documentation"]


PEEKS = """
import numpy as np
from alphintra.sdk import vectorised

@vectorised
def peeks(bars):
    return np.where(np.append(bars.close[1:], 0.0) > bars.close, 1.0, 0.0)
"""
QUIET = (
    HEAD
    + """
class Quiet(Strategy):
    def on_bar(self, bar):
        if bar.close < 0:
            self.buy(1)
"""
)
PRINTS = (
    HEAD
    + """
class Prints(Strategy):
    def on_bar(self, bar):
        print("x" * 10_000)
        self.buy(1)
"""
)


@pytest.mark.parametrize(
    ("source", "told"), [(PEEKS, "looks ahead"), (QUIET, "ordered nothing"), (PRINTS, "print less")]
)
async def test_dry_run_tells_what_is_quietly_wrong(studio: Studio, source: str, told: str) -> None:
    async with asyncio.timeout(120):
        # Where others keep the machine busy, a run is not quick enough to be looked at again.
        while not (report := await run(studio, source, bars=100))["warnings"]:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert told in report["warnings"][0], report["warnings"]


async def test_dry_run_shows_trades_logs_and_output(studio: Studio) -> None:
    source = CODE.replace(
        "        if self.cross.now:\n",
        "        if self.cross.now:\n"
        "            print('crossed')\n            self.log('crossed')\n",
    )
    report = await run(studio, source, datasets=["demo:GOOG"], bars=300, parameters={"slow": 25})
    assert (report["ok"], report["error"], report["findings"]) == (True, None, [])
    assert report["total_trades"] == len(report["trades"]) > 3
    assert report["trades"][0]["symbol"] == "GOOG"
    assert report["output"].count("crossed") == len(report["logs"]) > 3
    assert report["samples"][0]["bars"] == 300
    assert report["final_capital"] > 0
    again = await run(studio, source, datasets=["demo:GOOG"], bars=300, parameters={"slow": 25})
    assert again["trades"] == report["trades"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("1 / 0", "strategy_failed"),
        ("self.buy(float('nan'))", "strategy_failed"),
        ("[0] * 10**12", "strategy_failed"),
        ("raise SystemExit(3)", "code_broke_off"),
        ("self.nothing", "strategy_failed"),
    ],
)
async def test_failing_hook_is_told_with_its_line(studio: Studio, line: str, code: str) -> None:
    source = HEAD + CLASS.replace("pass", line)
    answer = await studio.call("POST", "/code/run", json={"source": source})
    if code == "code_broke_off":
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        return
    report = answer.json()
    assert (report["ok"], report["error"]["code"], report["error"]["line"]) == (False, code, 4)


async def test_faulty_text_is_not_run(studio: Studio) -> None:
    report = await run(studio, "import os\n" + HEAD + CLASS)
    assert (report["ok"], report["final_capital"]) == (False, None)
    assert report["findings"][0]["code"] == "import_forbidden"
    answer = await studio.call("POST", "/code/run", json={"source": CODE, "datasets": ["demo:X"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "demo_unknown")


#: Texts that cost time or memory, and the ends that are allowed: an answer, or a stable code.
BOMBS = {
    "endless module": HEAD + CLASS + "while True:\n    pass\n",
    "endless and catching": HEAD
    + CLASS
    + "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n",
    "flood at import": HEAD + CLASS + "while True:\n    print('x' * 10000)\n",
    "memory at import": HEAD + CLASS + "x = []\nwhile True:\n    x.append(bytearray(10**7))\n",
    "huge number": HEAD + CLASS + "x = 9 ** 9 ** 9\n",
    "brackets": "(" * 20_000,
    "minuses": HEAD + "x = " + "-" * 50_000 + "1\n",
    "dots": HEAD + "x = a" + ".a" * 40_000 + "\n",
    "nested lists": HEAD + "x = " + "[" * 150 + "]" * 150 + "\n",
    "nested blocks": "".join(" " * depth + "if 1:\n" for depth in range(95)) + " " * 95 + "pass\n",
    "long chain": HEAD + "x = " + "+".join(["1"] * 20_000) + "\n",
    "many names": HEAD + "".join(f"a{n} = a{n - 1}\n" for n in range(1, 5_000)),
    "regular expression": HEAD + CLASS + "import re\nre.match('(a+)+$', 'a' * 40 + 'b')\n",
    "recursion": HEAD + CLASS + "def f():\n    f()\nf()\n",
    "surprising metaclass": HEAD + "class M(type(Strategy)):\n    def __getattribute__(c, n):\n"
    "        while True: pass\nclass Mine(Strategy, metaclass=M):\n"
    "    def on_bar(self, bar):\n        pass\n",
    "lying repr": HEAD
    + "class L(int):\n    def __repr__(self):\n        while True: pass\n"
    + CLASS
    + "    n = param(L(3), 1, 9)\n",
}
STABLE = {"code_out_of_time", "code_out_of_memory", "code_broke_off", "code_faulty"}


@pytest.mark.parametrize("name", BOMBS)
async def test_bomb_ends_in_a_clear_error(studio: Studio, name: str) -> None:
    source = BOMBS[name]
    for path, more in (
        ("/code/check", {}),
        ("/code/format", {}),
        ("/code/complete", {"line": 1, "column": min(len(source.split("\n")[0]), 100_000)}),
    ):
        answer = await studio.call("POST", path, json={"source": source, **more})
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["code"] in STABLE) == (422, True), answer.text
        elif path == "/code/check" and name != "lying repr":
            errors = [one for one in answer.json()["findings"] if one["severity"] == "error"]
            assert errors, answer.text


async def test_endless_hook_ends_with_its_line(studio: Studio) -> None:
    report = await run(studio, HEAD + CLASS.replace("pass", "while True: pass"))
    assert report["error"]["code"] == "strategy_out_of_time"
    assert "line 4" in report["error"]["detail"]


async def test_flood_of_output_is_cut(studio: Studio) -> None:
    source = HEAD + CLASS.replace("pass", "print('x' * 1000)")
    report = await run(studio, source, bars=2_000)
    assert report["ok"]
    assert 0 < len(report["output"]) <= 40_000


async def test_others_stay_quick_beside_an_endless_loop(studio: Studio) -> None:
    endless = asyncio.create_task(check(studio, BOMBS["endless module"]))
    await asyncio.sleep(0.3)
    began_s = time.perf_counter()
    for _ in range(5):
        answer = await studio.call("GET", "/strategies", person=studio.stranger)
        assert answer.status_code == 200
    took_s = time.perf_counter() - began_s
    assert not endless.done()
    checked = await endless
    assert checked["findings"][-1]["code"] == "code_out_of_time"
    assert checked["findings"][-1]["line"] in {5, 6}
    assert took_s < 2.5, "they waited for the loop"


async def test_one_user_cannot_take_all_turns(studio: Studio) -> None:
    busy = await studio.product.person("busy")
    answers = await asyncio.gather(
        *(
            studio.call(
                "POST", "/code/check", person=busy, json={"source": BOMBS["endless module"]}
            )
            for _ in range(4)
        )
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "code_service_busy"
    assert "retry-after" in refused.headers
