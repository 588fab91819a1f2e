"""Kills processes under load, at random but from a seed, and measures how long acks stay away."""

import asyncio
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.crash.load import Load
from tests.crash.product import Product, Victim

LOOK_EVERY_S = 0.01
#: How often the next one is killed while the product still gets up from the last.
SECOND_BLOW_SHARE = 0.25
SECOND_BLOW_MAX_S = 1.5


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill."""

    victim: Victim
    at_s: float
    #: Seconds to the first acknowledgement of a request that was sent afterwards; `None` when
    #: another kill came first, or had not been got over yet.
    recovered_in_s: float | None


@dataclass(slots=True)
class _Wound:
    victim: Victim
    at_s: float
    is_second_blow: bool


@dataclass(slots=True)
class Killer:
    """Kills `each` of every kind, spread over the load."""

    product: Product
    load: Load
    seed: int
    each: int
    kills: list[Kill] = field(default_factory=list)
    _wound: _Wound | None = None

    async def run(self) -> None:
        """Kill until the deck is empty; the load has to last that long."""
        draw = random.Random(f"{self.seed}/kills")
        deck = [victim for victim in Victim for _ in range(self.each)]
        draw.shuffle(deck)
        # Not at the very end: the last one also has to be got over under load.
        moments = sorted(draw.uniform(0.02, 0.95) for _ in deck)
        self.load.on_acknowledged.append(self._note_acknowledgement)
        for victim, moment in zip(deck, moments, strict=True):
            if self._wound is not None and draw.random() < SECOND_BLOW_SHARE:
                await asyncio.sleep(draw.uniform(0, SECOND_BLOW_MAX_S))
            else:
                while self.load.progress < moment or self._wound is not None:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)
            await self._kill(victim, draw)

    async def _kill(self, victim: Victim, draw: random.Random) -> None:
        while self.product.kill(victim, draw.choice) is None:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        before = self._wound
        if before is not None:
            self.kills.append(Kill(before.victim, before.at_s, None))
        self._wound = _Wound(victim, time.monotonic(), is_second_blow=before is not None)

    def _note_acknowledgement(self, sent_s: float) -> None:
        wound = self._wound
        if wound is not None and sent_s > wound.at_s:
            took_s = None if wound.is_second_blow else time.monotonic() - wound.at_s
            self.kills.append(Kill(wound.victim, wound.at_s, took_s))
            self._wound = None

    def recoveries(self) -> Mapping[Victim, list[float]]:
        """Return the measured seconds by kind, in order of size."""
        found: dict[Victim, list[float]] = {victim: [] for victim in Victim}
        for kill in self.kills:
            if kill.recovered_in_s is not None:
                found[kill.victim].append(kill.recovered_in_s)
        return {victim: sorted(seconds) for victim, seconds in found.items()}

    def report(self) -> list[str]:
        """Return a line for each kind of kill."""
        lines = []
        for victim, seconds in self.recoveries().items():
            killed = sum(kill.victim is victim for kill in self.kills)
            line = f"{victim}: killed {killed} times"
            if seconds:
                line += (
                    f", kill to first ack median {statistics.median(seconds):.2f} s, "
                    f"longest {seconds[-1]:.2f} s"
                )
            lines.append(line)
        return lines
