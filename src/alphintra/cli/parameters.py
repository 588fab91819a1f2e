"""Parameters of strategies as people type them."""

from collections.abc import Sequence

from alphintra.cli.errors import CommandFailed


def parameter_values(texts: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE as they were typed; whoever runs the strategy reads each as declared.

    Raises:
        CommandFailed: one is not NAME=VALUE.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandFailed(f"--param {text}: give it as NAME=VALUE", code="parameter_refused")
        values[name.strip()] = value.strip()
    return values
