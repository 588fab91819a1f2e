"""What the reports refuse."""

from alphintra.core.errors import BadRequest


class ReportFormatUnknown(BadRequest):
    """A report cannot be written in this form. Name a file that ends in .html, .pdf or .json."""

    code = "report_format_unknown"
