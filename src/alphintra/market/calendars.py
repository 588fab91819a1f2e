"""Child process: prints an exchange's sessions as JSON pairs of epoch seconds.

    python calendars.py XNYS 1998-01-01 2027-06-30

Kept out of every other process because the library brings pandas with it.
"""

import sys

import msgspec


def main(calendar: str, start: str, end: str) -> int:
    """Write the sessions to standard output; 2 means that there is no such calendar."""
    import exchange_calendars as calendars

    try:
        exchange = calendars.get_calendar(calendar, start=start, end=end)
    except calendars.errors.InvalidCalendarName as error:
        sys.stderr.write(f"{error}\n")
        return 2
    opens = exchange.opens.astype("int64") // 1_000_000_000
    closes = exchange.closes.astype("int64") // 1_000_000_000
    sys.stdout.buffer.write(msgspec.json.encode(list(zip(opens, closes, strict=True))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
