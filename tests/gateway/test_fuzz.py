"""Every operation of the reference, with requests that fit it and requests that do not.

No faults, and answers as the reference says. Seeds are fixed; a failure comes again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from alphintra import identity
from tests.gateway.product import Person, Product

SEED = 20_261_122
EXAMPLES = 6
#: They would end the session or the account that the others are called with, or call the outside.
LEFT_OUT = {
    "log_out",
    "change_password",
    "revoke_session",
    "disable_user",
    "set_roles",
    "set_up_totp",
    "verify_totp",
    "disable_totp",
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: What a machine under load may take; one request must never hold the process up.
SLOW_S = 10.0


@pytest.fixture(scope="module")
async def administrator(product: Product) -> Person:
    # Its sandbox opens while the first request waits, or before.
    await product.app.state.strategies.room.open()
    return await product.person("fuzz", identity.Role.ADMIN)


def _run(product: Product, headers: dict[str, str], mode: GenerationMode) -> tuple[int, list[str]]:
    """Call everything; return how many requests were sent and what was wrong with the answers."""
    schema = schemathesis.openapi.from_dict(product.app.openapi())
    failures: list[str] = []
    sent = 0

    def check(case: Case[Any]) -> None:
        nonlocal sent
        sent += 1
        started_s = time.perf_counter()
        response = case.call(base_url=product.url, headers=headers)
        if time.perf_counter() - started_s > SLOW_S:
            raise AssertionError(f"slow: {case.as_curl_command()}")
        if response.status_code == 503:
            # "The outcome is unknown, ask again" is an answer, and the documented one.
            assert response.json()["retryable"], response.text
            return
        assert "Traceback" not in response.text
        case.validate_response(response, checks=CHECKS)

    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        name = operation.definition.raw["operationId"]
        if name in LEFT_OUT:
            continue
        test: Callable[[], None] = seed(SEED)(
            settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(case=operation.as_strategy(generation_mode=mode))(check))
        )
        try:
            test()
        except Unsatisfiable:
            # Without parameters and body there is nothing that could be wrong.
            assert mode is GenerationMode.NEGATIVE, operation.path
        except Exception as failure:
            failures.append(f"{operation.method} {operation.path}: {failure}")
    return sent, failures


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "anonymous"])
async def test_every_operation_answers_as_the_reference_says(
    product: Product, administrator: Person, mode: GenerationMode, is_known: bool
) -> None:
    headers = administrator.headers if is_known else {}
    sent, failures = await asyncio.to_thread(_run, product, headers, mode)
    assert not failures, "\n\n".join(failures)
    assert sent > 100
