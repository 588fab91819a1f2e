"""The HTTP face of blocks: the palette, and what is wrong with a graph."""

import asyncio
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Body

from alphintra.platform.http import Page
from alphintra.platform.security import Permission, Principal, requires
from alphintra.strategies.blocks.forms import Category
from alphintra.strategies.blocks.palette import palette
from alphintra.strategies.blocks.schemas import (
    BlockTypeView,
    ValidationView,
    block_type_view,
    fault_view,
)
from alphintra.strategies.blocks.validation import validate

router = APIRouter(tags=["blocks"])

Reader = Annotated[Principal, requires(Permission.STRATEGIES_READ)]
Document = Annotated[dict[str, Any], Body(description="a graph; docs/concepts/blocks.md")]


@cache
def _views() -> tuple[BlockTypeView, ...]:
    return tuple(map(block_type_view, palette()))


@router.get("/blocks")
async def list_blocks(caller: Reader, category: Category | None = None) -> Page[BlockTypeView]:
    """Every kind of block with its form, its ports, its documentation and its Python."""
    found = await asyncio.to_thread(_views)
    return Page(items=[one for one in found if category in (None, one.category)])


@router.post("/blocks/validate")
async def validate_blocks(graph: Document, caller: Reader) -> ValidationView:
    """All that is wrong with a graph, by block and field; nothing is kept."""
    faults = await asyncio.to_thread(validate, graph)
    return ValidationView(valid=not faults, faults=[fault_view(one) for one in faults])
