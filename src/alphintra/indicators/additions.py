"""Indicators that TA-Lib lacks."""

from collections.abc import Mapping

from alphintra.indicators.description import IndicatorInfo, Parameters
from alphintra.indicators.talib_functions import Column


class Additions:
    """Our own indicators as a library."""

    def describe(self) -> Mapping[str, IndicatorInfo]:
        return {}

    def run(
        self, info: IndicatorInfo, columns: list[Column], parameters: Parameters
    ) -> tuple[Column, ...]:
        raise AssertionError

    def open(self, info: IndicatorInfo, parameters: Parameters) -> "_Handle":
        raise AssertionError


class _Handle:
    def push(self, values: tuple[float, ...]) -> tuple[float, ...]:
        raise AssertionError
