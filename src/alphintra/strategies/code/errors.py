"""How the work on a text can end without an answer."""

from alphintra.core.errors import BadRequest, TooManyRequests


class CodeOutOfTime(BadRequest):
    """The text took longer than it may. Look for a loop that does not end, or write it shorter."""

    code = "code_out_of_time"


class CodeOutOfMemory(BadRequest):
    """The text needed more memory than it may. Look for what grows without end."""

    code = "code_out_of_memory"


class CodeBrokeOff(BadRequest):
    """The process that worked on the text ended by itself. The detail says what is known."""

    code = "code_broke_off"


class CodeServiceBusy(TooManyRequests):
    """Too many texts are being worked on. Ask again in a moment."""

    code = "code_service_busy"
