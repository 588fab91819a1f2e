"""Forms with one file (`multipart/form-data`, RFC 7578), streamed to disk as they arrive."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Final

from alphintra.market.datasets.errors import MalformedForm, UploadTooLarge

FIELDS_MAX: Final = 40
FIELD_BYTES_MAX: Final = 16_384
HEAD_BYTES_MAX: Final = 8_192
_BOUNDARY_MAX: Final = 70
_FILE_FIELD: Final = "file"


@dataclass(slots=True)
class Form:
    """What was sent besides the file's bytes."""

    file_name: str = ""
    has_file: bool = False
    fields: dict[str, str] = field(default_factory=dict)


async def read_form(
    body: AsyncIterator[bytes], *, content_type: str, target: Path, bytes_max: int
) -> Form:
    """Write the part named `file` to `target` and return the other fields.

    Raises:
        MalformedForm: the body is not such a form, or has no file.
        UploadTooLarge: the file has more than `bytes_max`.
    """
    form = Form()
    with target.open("xb") as file:
        reader = _Reader(_boundary(content_type), form, file, bytes_max)
        async for chunk in body:
            reader.feed(chunk)
        reader.finish()
    if not form.has_file:
        raise MalformedForm("the form has no file; its part is named file")
    return form


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise MalformedForm("the body has to be multipart/form-data with a boundary")
    if not 0 < len(boundary) <= _BOUNDARY_MAX or not boundary.isascii():
        raise MalformedForm(f"a boundary has 1 to {_BOUNDARY_MAX} plain characters")
    return b"\r\n--" + boundary.encode()


class _Reader:
    """Cuts the stream at its boundaries; keeps back only what may be the start of one."""

    def __init__(self, delimiter: bytes, form: Form, file: IO[bytes], bytes_max: int) -> None:
        self._delimiter = delimiter
        self._form = form
        self._file = file
        self._left = bytes_max
        self._bytes_max = bytes_max
        # The first boundary may be the very beginning, without a line before it.
        self._waiting = b"\r\n"
        self._part: str | None = None  # the part we are in; "" outside of all
        self._value = b""
        self._state = self._in_part
        self._is_over = False

    def feed(self, chunk: bytes) -> None:
        self._waiting += chunk
        while not self._is_over and self._state():
            pass
        if self._is_over:
            self._waiting = b""

    def finish(self) -> None:
        if not self._is_over:
            raise MalformedForm("the form ends before its last boundary")

    def _in_part(self) -> bool:
        """Pass on what is before the next boundary; say whether there is more to do."""
        at = self._waiting.find(self._delimiter)
        if at < 0:
            keep = len(self._delimiter) - 1
            if len(self._waiting) > keep:
                self._take(self._waiting[:-keep])
                self._waiting = self._waiting[-keep:]
            return False
        self._take(self._waiting[:at])
        self._waiting = self._waiting[at + len(self._delimiter) :]
        self._close()
        self._state = self._at_boundary
        return True

    def _at_boundary(self) -> bool:
        if len(self._waiting) < 2:
            return False
        if self._waiting.startswith(b"--"):
            self._is_over = True
            return False
        end = self._waiting.find(b"\r\n\r\n")
        if end < 0:
            if len(self._waiting) > HEAD_BYTES_MAX:
                raise MalformedForm("a part of the form has too much above its content")
            return False
        if not self._waiting.startswith(b"\r\n"):
            raise MalformedForm("a boundary is not the end of its line")
        self._open(self._waiting[2:end])
        self._waiting = self._waiting[end + 4 :]
        self._state = self._in_part
        return True

    def _open(self, head: bytes) -> None:
        message = Message()
        for line in head.split(b"\r\n"):
            header, _, value = line.partition(b":")
            if header.strip().lower() == b"content-disposition":
                message["content-disposition"] = value.strip().decode("utf-8", "replace")
        name = message.get_param("name", header="content-disposition")
        if not isinstance(name, str) or len(self._form.fields) >= FIELDS_MAX:
            raise MalformedForm("a part of the form has no name, or there are too many")
        if name == _FILE_FIELD:
            if self._form.has_file:
                raise MalformedForm("one file is taken at a time")
            self._form.has_file = True
            self._form.file_name = message.get_filename() or ""
        elif name in self._form.fields:
            raise MalformedForm(f"the field {name[:40]!r} is there twice")
        self._part = name

    def _take(self, data: bytes) -> None:
        if self._part is None:
            return  # what stands before the first boundary means nothing
        if self._part == _FILE_FIELD:
            self._left -= len(data)
            if self._left < 0:
                raise UploadTooLarge(f"an upload has at most {self._bytes_max:,} bytes")
            self._file.write(data)
            return
        self._value += data
        if len(self._value) > FIELD_BYTES_MAX:
            raise MalformedForm(f"the field {self._part[:40]!r} is too long")

    def _close(self) -> None:
        if self._part is not None and self._part != _FILE_FIELD:
            try:
                self._form.fields[self._part] = self._value.decode()
            except UnicodeDecodeError as error:
                raise MalformedForm(f"the field {self._part[:40]!r} is no text") from error
        self._part, self._value = None, b""
