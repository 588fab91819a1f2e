"""Be invested around the turn of the month only: a filter of dates."""

from datetime import timedelta

from alphintra.sdk import Bar, Strategy, param


class TurnOfMonth(Strategy):
    """Long from the last days of a month into the first of the next, if the trend allows it."""

    before = param(4, 0, 15, help="days before the end of the month at which it is entered")
    after = param(4, 1, 15, help="day of the new month after which it is left")
    trend = param(200, 0, 400, help="bars of the average that the close has to exceed; 0: none")

    def setup(self) -> None:
        self.average = self.indicator("SMA", timeperiod=max(self.trend, 2))
        self.share = 1 / len(self.symbols)

    def on_bar(self, bar: Bar) -> None:
        # Is the month over in `before` days, or not older than `after`?
        ends_soon = (self.now + timedelta(days=self.before + 1)).month != self.now.month
        is_turn = ends_soon or self.now.day <= self.after
        if self.position().is_flat:
            if is_turn and (not self.trend or bar.close > self.average.now):
                self.target_weight(self.share, tag="turn of the month")
        elif not is_turn:
            self.close(tag="the turn is over")
