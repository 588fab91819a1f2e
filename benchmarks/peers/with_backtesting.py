"""The work in backtesting.py. Run by compare.py where it is installed: BARS.npz MODE RUNS."""

import sys
import warnings

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from work import CASH, FAST, FEE, SLOW, loaded, report

warnings.simplefilter("ignore")
columns = loaded(sys.argv[1])
runs = int(sys.argv[3])
frame = pd.DataFrame(
    {name.capitalize(): values for name, values in columns.items()},
    index=pd.date_range("2020-01-01", periods=len(columns["close"]), freq="min"),
)


def average(values: object, window: int) -> pd.Series:
    return pd.Series(values).rolling(window).mean()


class SmaCross(Strategy):
    def init(self) -> None:
        self.fast = self.I(average, self.data.Close, FAST)
        self.slow = self.I(average, self.data.Close, SLOW)

    def next(self) -> None:
        if crossover(self.fast, self.slow):
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()


def one() -> int:
    result = Backtest(frame, SmaCross, cash=CASH, commission=FEE, finalize_trades=True).run()
    return 2 * int(result["# Trades"])


report(one, runs)
