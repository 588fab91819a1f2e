"""What market data refuses, and why."""

from alphintra.core.errors import BadRequest, Conflict, NotFound, Unavailable


class UnknownInstrument(NotFound):
    """There is no such instrument. `GET /market-data/instruments` lists those there are."""

    code = "unknown_instrument"


class InvalidInstrument(BadRequest):
    """The instrument cannot be. Correct what the detail names."""

    code = "invalid_instrument"


class UnknownTimeframe(BadRequest):
    """There is no such timeframe. Take one of those that the detail lists."""

    code = "unknown_timeframe"


class InvalidTimeRange(BadRequest):
    """The end is not after the start, or a time has no zone. Send ISO 8601 with an offset."""

    code = "invalid_time_range"


class UnknownCalendar(BadRequest):
    """There is no such calendar of sessions. Take ALWAYS, or an exchange's code such as XNYS."""

    code = "unknown_calendar"


class NoQuoteYet(NotFound):
    """Nothing has been heard of this instrument's price. Start a feed or import data for it."""

    code = "no_quote_yet"


class UnknownHistoryRequest(NotFound):
    """There is no such request for historical data, or it is not yours."""

    code = "unknown_history_request"


class InvalidSource(BadRequest):
    """The name of the source cannot be. Take a word of small letters."""

    code = "invalid_source"


class FileNotReadable(BadRequest):
    """The file is not one that can be read: damaged, of another format, or beyond the bounds."""

    code = "file_not_readable"


class FileTooLarge(BadRequest):
    """The file is larger than an import takes. Split it, by time for instance."""

    code = "file_too_large"


class ColumnsNotRecognised(BadRequest):
    """The columns could not be told apart. Name them in order with `columns`."""

    code = "columns_not_recognised"


class TimezoneRequired(BadRequest):
    """The times have no zone. Say which one they are in with `timezone`, e.g. America/New_York."""

    code = "timezone_required"


class TimesNotUnderstood(BadRequest):
    """The times can be read in more than one way, or in none. Give their form as `date_format`."""

    code = "times_not_understood"


class UnknownTimezone(BadRequest):
    """There is no such time zone. Use an IANA name such as Europe/Berlin."""

    code = "unknown_timezone"


class TimeframeRequired(BadRequest):
    """The file has candles, and their timeframe was not said. Add `timeframe`, e.g. 1m."""

    code = "timeframe_required"


class FeedInUse(Conflict):
    """Another process publishes this feed at the moment. Stop it first, or wait for its end."""

    code = "feed_in_use"


class HistoryServiceUnavailable(Unavailable):
    """The history service does not answer. Ask again shortly."""

    code = "history_service_unavailable"


class HistoryServiceUnprotected(Conflict):
    """The history service would listen beyond this machine without a secret. Set the master key."""

    code = "history_service_unprotected"
