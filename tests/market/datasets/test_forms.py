"""Forms cut into pieces anywhere say the same."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphintra.market.datasets.errors import MalformedForm, UploadTooLarge
from alphintra.market.datasets.forms import Form, read_form

BOUNDARY = "xYz"


def form(content: bytes, *, name: str = "a.csv", fields: dict[str, str]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    parts.append(head.encode() + b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def read(body: bytes, cuts: list[int], target: Path, bytes_max: int = 10_000) -> Form:
    async def stream() -> AsyncIterator[bytes]:
        edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
        for start, end in pairwise(edges):
            yield body[start:end]

    return await read_form(
        stream(),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        target=target,
        bytes_max=bytes_max,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=200).map(lambda one: one + b"\r\n--xY\r\n-" * 3),
    fields=st.dictionaries(
        st.sampled_from(["symbol", "name", "timezone"]),
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20),
    ),
    cuts=st.lists(st.integers(0, 2_000), max_size=30),
)
async def test_pieces_do_not_matter(
    content: bytes, fields: dict[str, str], cuts: list[int], tmp_path: Path
) -> None:
    target = tmp_path / uuid4().hex
    found = await read(form(content, fields=fields), cuts, target)
    assert found.fields == fields
    assert found.file_name == "a.csv"
    assert target.read_bytes() == content


async def test_file_is_stopped_at_its_bound(tmp_path: Path) -> None:
    body = form(b"x" * 5_000, fields={})
    await read(body, list(range(0, 6_000, 100)), tmp_path / "a", bytes_max=5_000)
    with pytest.raises(UploadTooLarge):
        await read(body, list(range(0, 6_000, 100)), tmp_path / "b", bytes_max=4_999)


@pytest.mark.parametrize(
    "body",
    [
        form(b"x", fields={})[:-8],
        form(b"x", fields={"a": "b" * 20_000}),
        form(b"x", fields={str(at): "x" for at in range(50)}),
        form(b"x", fields={}).replace(b'name="file"; ', b""),
        form(b"x", fields={}).replace(b'name="file"', b'name="other"'),
        form(b"x", fields={"file": "twice"}),
        b"",
    ],
)
async def test_what_is_no_form_is_refused(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(MalformedForm):
        await read(body, [], tmp_path / "a")
