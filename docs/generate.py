"""Write the reference pages from the code: settings, errors, events, commands, indicators.

    ./dev run python docs/generate.py

`tests/docs` fails when a page is not what this writes, so a page cannot be out of date.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import typer.main

import alphintra
from alphintra.core.errors import Problem
from alphintra.platform.settings import PREFIX, Settings

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code. Do not edit. -->"
#: Modules that act when they are imported.
NOT_IMPORTED = re.compile(r"__main__|\.migrations\.(env|versions)|\.grpc\.|_pb2")

_EVENT_TYPE = re.compile(r"[a-z][a-z_]*\.v\d+")


def modules() -> list[ModuleType]:
    """Import and return every module of the product."""
    found = pkgutil.walk_packages(alphintra.__path__, "alphintra.")
    names = sorted(info.name for info in found if not NOT_IMPORTED.search(info.name))
    return [importlib.import_module(name) for name in names]


def problems() -> list[type[Problem]]:
    """Return every refusal of the product, by code."""
    modules()

    def below(kind: type[Problem]) -> Iterator[type[Problem]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    ours = {kind for kind in below(Problem) if kind.__module__.startswith("alphintra.")}
    return sorted(ours - {Problem}, key=lambda kind: (kind.code, kind.__module__))


def event_types() -> dict[str, type[msgspec.Struct]]:
    """Return the structs of events' data by type.

    Each is named in the first words of its docstring: `order_event.v1`.

    Raises:
        ValueError: two structs claim the same type, so readers could not know what they get.
    """
    found: dict[str, type[msgspec.Struct]] = {}
    for module in modules():
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or not issubclass(kind, msgspec.Struct):
                continue
            if named := re.match(rf"`({_EVENT_TYPE.pattern})`", kind.__doc__ or ""):
                if other := found.get(named[1]):
                    raise ValueError(f"{named[1]} is both {other} and {kind}")
                found[named[1]] = kind
    return dict(sorted(found.items()))


def announced_event_types() -> set[str]:
    """Return every event type that the code names in a string."""
    source = Path(alphintra.__path__[0])
    return {
        name
        for file in source.rglob("*.py")
        for name in re.findall(rf'"({_EVENT_TYPE.pattern})"', file.read_text())
    }


def paragraph(text: str | None) -> str:
    """Return a docstring as one line that can stand in a table."""
    return " ".join(inspect.cleandoc(text or "").split()).replace("|", r"\|")


OTHER_VARIABLES = {
    "ALPHINTRA_API_KEY": "the command line and the examples: the API key to use instead of a login",
    "ALPHINTRA_COMPUTE": "searches: `local`, `local:N`, `inline`, `ray` or `ray://host:port`",
    "ALPHINTRA_CONFIG_FILE": "a TOML file with settings",
    "ALPHINTRA_GCP_PROJECT": "Google Cloud project whose Secret Manager holds settings",
    "ALPHINTRA_NATS_BIN": "a `nats-server` program to use instead of the installed wheel's",
    "ALPHINTRA_POSTGRES_BIN": "a folder with PostgreSQL's programs, instead of the wheel's",
    "ALPHINTRA_SECRETS_DIR": "a folder with one file per setting",
    "ALPHINTRA_CRASH_KEYS": "tests: how many idempotency keys the burst uses",
    "ALPHINTRA_CRASH_KILLS": "tests: how often processes are killed under load",
    "ALPHINTRA_CRASH_ORDERS": "tests: how many orders are placed meanwhile",
    "ALPHINTRA_CRASH_SEED": "tests: repeats a run with kills",
    "ALPHINTRA_DEPLOYMENT_KILLS": "tests: how often deployed strategies are killed",
    "ALPHINTRA_SIM_SEED": "tests: the one seed of the simulated desk to run again",
    "ALPHINTRA_SIM_SEEDS": "tests: how many seeds the simulated desk is run with",
    "ALPHINTRA_SIM_STEPS": "tests: how many steps each of them has",
    "ALPHINTRA_TEST_ADMIN_URL": "tests: a PostgreSQL role that may create databases",
    "ALPHINTRA_TEST_BROWSER": "tests: a Chromium; without it those of pages do not run",
    "ALPHINTRA_TEST_BUS_URL": "tests: a NATS server",
    "ALPHINTRA_TEST_DATA": "tests: a folder of recorded market data",
    "ALPHINTRA_URL": "the command line and the examples: the server to talk to",
}


SETTINGS = f"""\
# Settings

{NOTE}

A setting is looked for in this order; the first place that has it wins:

1. the environment, as `{PREFIX}<NAME>`
2. a file of that name in lower case in the folder that `{PREFIX}SECRETS_DIR` names
3. a key of that name in lower case in the TOML file that `{PREFIX}CONFIG_FILE` names
4. Google Secret Manager, in the project that `{PREFIX}GCP_PROJECT` names (install `alphintra[gcp]`)
5. the default

A wrong value stops the start with its name and the reason. `alphintra up` chooses addresses and
makes a master key by itself; what you set wins.

| variable | default | meaning |
| --- | --- | --- |
"""


def settings_page() -> str:
    lines = []
    for name, field in sorted(Settings.model_fields.items()):
        default = field.get_default(call_default_factory=True)
        shown = str(getattr(default, "get_secret_value", lambda value=default: value)())
        shown = "" if shown == "[]" else shown
        lines.append(
            f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if shown else '(empty)'} "
            f"| {paragraph(field.description)} |"
        )
    lines += [
        "",
        "## Variables that are not settings",
        "",
        "These are read from the environment only.",
        "",
        "| variable | meaning |",
        "| --- | --- |",
    ]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in sorted(OTHER_VARIABLES.items())]
    return SETTINGS + "\n".join(lines) + "\n"


#: Answers that the HTTP layer gives before any of our code is asked.
HTTP_CODES = {
    "http_error": ("4xx", "The request was refused; the detail says why."),
    "internal_error": (500, "A fault of ours. Report it with the correlation id."),
    "invalid_request": (422, "The request does not have the form that this route takes."),
    "method_not_allowed": (405, "The route does not take that method; see the Allow header."),
    "no_such_route": (404, "There is no such route. The reference is at /docs."),
}


ERRORS = f"""\
# Errors

{NOTE}

Every refusal is a problem document (RFC 9457) with a `code` that does not change:

```json
{{"type": "urn:alphintra:problem:forbidden", "title": "…", "status": 403, "code": "forbidden",
 "detail": "what happened this time", "correlation_id": "…", "retryable": false}}
```

Decide by `code`, show `detail`, log `correlation_id`. Where `retryable` is true, the same request
may succeed later; an order is sent again with the same `client_order_id`. A refused risk check has
the code `risk_<rule>`; the rules are in [concepts/risk.md](../concepts/risk.md).

| code | status | retryable | what to do |
| --- | --- | --- | --- |
"""


def errors_page() -> str:
    rows = {code: (str(status), "no", text) for code, (status, text) in HTTP_CODES.items()}
    for kind in problems():
        retryable = "yes" if kind.retryable else "no"
        rows.setdefault(kind.code, (str(kind.status), retryable, paragraph(kind.__doc__)))
    return ERRORS + "".join(f"| `{code}` | {' | '.join(rows[code])} |\n" for code in sorted(rows))


def type_name(kind: Any) -> str:
    """Return a type as a reader of JSON thinks of it."""
    if get_origin(kind) in {Union, UnionType}:
        return " or ".join(type_name(part) for part in get_args(kind))
    if (origin := get_origin(kind)) in {list, tuple}:
        return f"list of {type_name(get_args(kind)[0])}"
    if origin is dict:
        return "object"
    if isinstance(origin, type) or origin is not None:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    names = {
        "str": "string",
        "int": "integer",
        "float": "number",
        "bool": "boolean",
        "NoneType": "null",
        "Decimal": "decimal string",
        "UUID": "uuid",
        "datetime": "time (ISO 8601, UTC)",
        "Raw": "object",
    }
    if hasattr(kind, "__supertype__"):
        return type_name(kind.__supertype__)
    if isinstance(kind, type) and hasattr(kind, "__members__"):
        return " or ".join(f"`{member}`" for member in kind)  # type: ignore[attr-defined]
    return names.get(getattr(kind, "__name__", ""), getattr(kind, "__name__", str(kind)))


EVENTS = f"""\
# Events

{NOTE}

What happened, as it is published on the bus. The envelope has the attributes of CloudEvents 1.0; a
message is a JSON array of envelopes in the order of their commits. How to read them safely is in
[concepts/events.md](../concepts/events.md).

"""


def events_page() -> str:
    lines: list[str] = []
    for name, kind in event_types().items():
        text = paragraph(kind.__doc__).removeprefix(f"`{name}`").lstrip(".:, ")
        text = text[:1].upper() + text[1:]
        lines += [f"## {name}", "", *([text, ""] if text else [])]
        lines += ["| field | type |", "| --- | --- |"]
        for field in msgspec.structs.fields(kind):
            lines.append(f"| `{field.encode_name}` | {type_name(field.type)} |")
        lines.append("")
    return EVENTS + "\n".join(lines).rstrip() + "\n"


def commands() -> dict[str, Any]:
    """Return every command by its words, groups included."""
    from alphintra.cli.app import app

    def below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield words, command
        for name, child in getattr(command, "commands", {}).items():
            yield from below(f"{words} {name}", child)

    return dict(below("alphintra", typer.main.get_command(app)))


def with_examples(text: str) -> Iterator[str]:
    """Yield the lines of a help text, with the commands in it as a block that can be copied."""
    fenced = False
    for line in inspect.cleandoc(text).replace("\b\n", "").splitlines():
        is_command = line.startswith("alphintra ")
        if is_command != fenced:
            yield "```sh" if is_command else "```"
            fenced = is_command
        yield line
    if fenced:
        yield "```"


CLI = f"""\
# The command line

{NOTE}

Commands talk to a server over HTTP, as whoever logged in with `alphintra user login` (kept in
`~/.config/alphintra/credentials.json`) or with the key in `ALPHINTRA_API_KEY`. The server is the
one of `--url`, else of `ALPHINTRA_URL`, else of the last login. `--json` prints JSON.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | refused, or something is wrong; the text says what to do |
| 2 | the command line itself is wrong |
| 3 | the server could not be reached, or the outcome is unknown |

"""


def cli_page() -> str:
    lines: list[str] = []
    for words, command in commands().items():
        if words == "alphintra":
            continue
        lines += [f"## {words}", "", *with_examples(command.help or ""), ""]
        parameters = [
            parameter
            for parameter in command.params
            if not getattr(parameter, "hidden", False) and parameter.name != "help"
        ]
        if parameters:
            lines += ["| parameter | meaning |", "| --- | --- |"]
        for parameter in parameters:
            shown = (
                (parameter.metavar or parameter.name.upper())
                if parameter.param_type_name == "argument"
                else ", ".join(parameter.opts + parameter.secondary_opts)
            )
            lines.append(f"| `{shown}` | {paragraph(getattr(parameter, 'help', ''))} |")
        lines.append("")
    return CLI + "\n".join(lines).rstrip() + "\n"


INDICATORS = f"""\
# Indicators

{NOTE}

`alphintra.indicators` has all functions of TA-Lib under TA-Lib's names, and some that it lacks
(marked with +). Each is computed over arrays or bar by bar, with the same bits either way:

```python
from alphintra import indicators

indicators.compute("SMA", {{"close": [1.0, 2.0, 3.0]}}, timeperiod=2)["real"]
line = indicators.stream("SMA", timeperiod=2)
line.update(close=1.0)
```

- An input is found under its own name or under the column that it stands for: `real` is the close
  unless you give something else under `real`. Other columns are ignored.
- Only the beginning of an input may be NaN, as that of another indicator is; a gap or an infinity
  further on is refused with its row.
- An output is NaN until it has a value. The warm-up is how many bars that takes, with the defaults.
- ↺: the value goes on depending on where the series began (exponential averages, running sums).
  Give it several times its period before you rely on it; the recursion check shows how much it
  matters.
- Nothing looks ahead. So there is no ZigZag, whose last leg is drawn again with each bar, and no
  lagging span of Ichimoku, which is a later bar's close. A fractal stands at the bar that confirms
  it.

Other programs may differ, by convention and not by error. TA-Lib begins the two averages of a MACD
at the same bar, and Wilder's sums of ADX, DX and the directional indicators with one bar less:
both are forgotten after some periods. OBV begins with the first volume, not with 0. ADXR looks
`timeperiod - 1` bars back. STOCH and STOCHRSI show the fast line when the slow one is there.
Bollinger bands and z-scores take the deviation of the population. A candlestick pattern is 100,
-100 or 0; some also give 80 or 200. `matype` is the name or the number of a moving average.

"""


def indicators_page() -> str:
    from alphintra.indicators import IndicatorInfo, ParameterInfo, catalogue

    def shown(parameter: ParameterInfo) -> str:
        default = f"{parameter.default:g}"
        if parameter.choices:
            return f"`{parameter.name}` = {parameter.choices[int(parameter.default)]}"
        low, high = parameter.minimum, parameter.maximum
        bounds = f"{low:g} … {high:g}" if low is not None and high is not None else ""
        if low is not None and high is None:
            bounds = f"≥ {low:g}"
        return f"`{parameter.name}` = {default}" + (f" ({bounds})" if bounds else "")

    def row(info: IndicatorInfo) -> str:
        marks = "" if info.source == "TA-Lib" else " +"
        title = paragraph(f"{info.title}{' ↺' if info.recursive else ''}. {info.note}").rstrip(". ")
        outputs = ", ".join(f"`{output.name}` {output.shape}" for output in info.outputs)
        cells = (
            f"`{info.name}`{marks}",
            title,
            ", ".join(
                f"`{source.name}`" + (f" ({source.column})" if source.name != source.column else "")
                for source in info.inputs
            ),
            ", ".join(map(shown, info.parameters)),
            outputs,
            "price" if info.overlay else "own",
            str(info.warm_up()),
        )
        return f"| {' | '.join(cells)} |"

    every = list(catalogue().values())
    averages = next(p.choices for p in catalogue()["MA"].parameters if p.choices)
    numbered = ", ".join(f"{number} {name}" for number, name in enumerate(averages))
    lines = [f"Moving averages: {numbered}.", ""]
    for group in sorted({info.group for info in every}):
        lines += [
            f"## {group}",
            "",
            "| name | what it is | inputs | parameters | outputs | pane | warm-up |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(row(info) for info in every if info.group == group),
            "",
        ]
    return INDICATORS + "\n".join(lines).rstrip() + "\n"


PAGES = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "cli.md": cli_page,
    "indicators.md": indicators_page,
}


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())


if __name__ == "__main__":
    main()
