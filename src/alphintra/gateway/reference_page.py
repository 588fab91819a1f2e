"""The OpenAPI document as a page for people: every route, field and refusal, on one page that needs
no script, no font and nobody else's server.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

Json = Mapping[str, Any]  # a part of an OpenAPI document, which has no types

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #59636e; --line: #d5dae0;
  --page: #fff; --raised: #f6f8fa; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #9aa4af; --line: #343b44;
  --page: #14171b; --raised: #1d2127; --link: #8ab4f8; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--page);
  font: 15px/1.5 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; } a:hover, a:focus { text-decoration: underline; }
code, pre, .path { font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .75rem; background: var(--raised); border-radius: 6px; }
nav { position: fixed; inset: 0 auto 0 0; width: 15rem; overflow-y: auto; padding: 1rem;
  border-right: 1px solid var(--line); background: var(--raised); }
nav a { display: block; padding: .15rem 0; }
main { margin-left: 15rem; padding: 1rem 2rem 4rem; max-width: 70rem; }
h1 { font-size: 1.6rem; margin: .5rem 0; } h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem; }
h3 { margin: 1.25rem 0 .35rem; font-size: 1rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; display: flex; gap: .75rem; flex-wrap: wrap;
  align-items: baseline; }
summary:focus-visible { outline: 2px solid var(--link); }
details[open] > summary { border-bottom: 1px solid var(--line); background: var(--raised); }
.inside { padding: .25rem .75rem .75rem; }
.method { font-weight: 600; min-width: 4.5rem; font-size: .8rem; letter-spacing: .03em; }
.path { font-weight: 600; overflow-wrap: anywhere; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-top: 1px solid var(--line); }
td p { margin: 0; } th { font-weight: 600; white-space: nowrap; }
thead th { border-top: 0; color: var(--quiet); }
@media (max-width: 50rem) { nav { position: static; width: auto; border: 0; }
  main { margin: 0; padding: 1rem; } }
"""
#: All that the page may load is its own style.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_BOUNDS: Final = {
    "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {} items", "maxItems": "at most {} items", "pattern": "matches {}",
}  # fmt: skip
_DEPTH_MAX: Final = 6


def reference_page(document: Json) -> str:
    """Return the page for a whole OpenAPI document."""
    tags = _by_tag(document["paths"])
    schemas: Json = document.get("components", {}).get("schemas", {})
    title = f"{document['info']['title']} API {document['info']['version']}"
    links = "".join(f'<a href="#tag-{_anchor(tag)}">{escape(tag)}</a>' for tag in tags)
    routes = "".join(
        f'<section><h2 id="tag-{_anchor(tag)}">{escape(tag)}</h2>{"".join(operations)}</section>'
        for tag, operations in tags.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<nav aria-label="Sections"><a href="/">Alphintra</a>'
        f'<a href="#access">Access</a>{links}<a href="#schemas">Schemas</a>'
        '<a href="/openapi.json">openapi.json</a></nav>'
        f"<main><h1>{escape(title)}</h1>{_prose(document['info'].get('description', ''))}"
        f"{_access(document)}{routes}"
        f'<section><h2 id="schemas">Schemas</h2>{"".join(_schemas(schemas))}</section>'
        "</main></body></html>\n"
    )


def _by_tag(paths: Json) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, item in paths.items():
        for method in _METHODS:
            if (operation := item.get(method)) is not None:
                tag = (operation.get("tags") or ["platform"])[0]
                found.setdefault(tag, []).append(_operation(method, path, operation))
    return found


def _access(document: Json) -> str:
    ways = document.get("components", {}).get("securitySchemes", {})
    rows = [
        (f"<code>{escape(name)}</code>", _plain(way.get("description", "")), _header_of(way))
        for name, way in ways.items()
    ]
    return f'<section><h2 id="access">Access</h2>{_table(("Way", "", "Sent as"), rows)}</section>'


def _header_of(way: Json) -> str:
    if way["type"] == "http":
        return "<code>Authorization: Bearer …</code>"
    return f"<code>{escape(way['name'])}: …</code>"


def _operation(method: str, path: str, operation: Json) -> str:
    told = operation.get("description", "")
    permissions = operation.get("x-permissions", [])
    who = ", ".join(f"<code>{escape(one)}</code>" for one in permissions)
    if not who:
        who = "everybody" if operation.get("security") == [] else "everybody who is logged in"
    parts = [_prose(told), f"<p>Permission: {who}</p>"]
    parameters = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            _type(one.get("schema", {})),
            _plain(one.get("description", "")),
        )
        for one in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(f"<h3>Parameters</h3>{_table(('Name', 'In', 'Type', ''), parameters)}")
    if body := operation.get("requestBody"):
        parts.append("<h3>Body</h3>" + "".join(_contents(body.get("content", {}))))
    responses = [
        (
            f"<code>{escape(status)}</code>",
            _plain(response.get("description", "")),
            "".join(_contents(response.get("content", {}))),
        )
        for status, response in operation.get("responses", {}).items()
    ]
    parts.append(f"<h3>Answers</h3>{_table(('Status', '', 'Body'), responses)}")
    name = operation.get("operationId", f"{method}{path}")
    return (
        f'<details id="{_anchor(name)}"><summary><span class="method">{method.upper()}</span>'
        f'<span class="path">{escape(path)}</span>'
        f'<span class="quiet">{_plain(_first_sentence(told))}</span>'
        f'</summary><div class="inside">{"".join(parts)}</div></details>'
    )


def _contents(contents: Json) -> Iterator[str]:
    for kind, content in contents.items():
        schema = content.get("schema", {})
        yield f'<p><span class="quiet">{escape(kind)}</span> {_type(schema)}</p>'
        if "properties" in schema:
            yield _fields(schema)


def _schemas(schemas: Json) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        told = schema.get("description", "")
        inside = _fields(schema) if "properties" in schema else f"<p>{_type(schema)}</p>"
        yield (
            f'<details id="{_schema_anchor(name)}"><summary>'
            f'<span class="path">{escape(name)}</span>'
            f'<span class="quiet">{_plain(_first_sentence(told))}</span></summary>'
            f'<div class="inside">{_prose(told)}{inside}</div></details>'
        )


def _fields(schema: Json) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (
            f"<code>{escape(name)}</code>",
            "required" if name in required else "",
            _type(field),
            _plain(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    ]
    return _table(("Field", "", "Type", ""), rows)


def _type(schema: Json, depth: int = 0) -> str:
    """Return what a value may be, in words, as HTML."""
    if depth > _DEPTH_MAX:
        return "…"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_schema_anchor(name)}">{escape(name)}</a>'
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return _with_bounds(
                schema, " or ".join(_type(one, depth + 1) for one in schema[joined])
            )
    if "allOf" in schema:
        return " and ".join(_type(one, depth + 1) for one in schema["allOf"])
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return _with_bounds(schema, " or ".join(map(_value, schema["enum"])))
    kind = schema.get("type", "any value")
    if kind == "array":
        return _with_bounds(schema, f"list of {_type(schema.get('items', {}), depth + 1)}")
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        inner = _type(schema["additionalProperties"], depth + 1)
        return _with_bounds(schema, f"object of {inner} by name")
    words = escape(kind if isinstance(kind, str) else " or ".join(kind))
    if "format" in schema:
        words += f" ({escape(schema['format'])})"
    return _with_bounds(schema, words)


def _with_bounds(schema: Json, words: str) -> str:
    bounds = [
        form.format(_value(schema[name]) if name == "pattern" else escape(str(schema[name])))
        for name, form in _BOUNDS.items()
        if name in schema
    ]
    if schema.get("default") is not None:
        bounds.append(f"default {_value(schema['default'])}")
    return ", ".join([words, *bounds])


def _value(value: object) -> str:
    return f"<code>{escape(json.dumps(value, ensure_ascii=False))}</code>"


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; the cells are HTML."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _prose(text: str) -> str:
    """Return a docstring as paragraphs."""
    parts = [part for part in re.split(r"\n\s*\n", text.strip()) if part]
    return "".join(f"<p>{_plain(part)}</p>" for part in parts)


def _plain(text: str) -> str:
    """Return words as HTML; what stands between backticks is code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).partition(". ")[0][:160]


def _anchor(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-").lower()


def _schema_anchor(name: str) -> str:
    return f"schema-{_anchor(name)}"
