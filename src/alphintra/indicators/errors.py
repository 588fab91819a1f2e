"""What an indicator refuses."""

from alphintra.core.errors import BadRequest


class IndicatorUnknown(BadRequest):
    """There is no indicator of that name. Take one of the reference page of indicators."""

    code = "indicator_unknown"


class IndicatorParameterInvalid(BadRequest):
    """The indicator has no such parameter, or not in that range. The detail names what it takes."""

    code = "indicator_parameter_invalid"


class IndicatorInputMissing(BadRequest):
    """The indicator needs a column that was not given. The detail names it."""

    code = "indicator_input_missing"


class IndicatorLengthsDiffer(BadRequest):
    """The columns given to an indicator have different lengths. Give one value of each per bar."""

    code = "indicator_lengths_differ"


class IndicatorInputInvalid(BadRequest):
    """A column has a gap or no number in it. Only its beginning may be NaN; repair the data."""

    code = "indicator_input_invalid"
