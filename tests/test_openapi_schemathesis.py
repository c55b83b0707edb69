"""Cases that Schemathesis makes from the OpenAPI document, against the sandbox.

Whatever fits the document must be understood, whatever does not must be refused or ignored: never a
5xx, never an answer that is not as the document says. Each case is signed anew, since the sandbox
refuses a nonce that it has seen.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pandapon_async.api.registry import endpoints
from pandapon_async.core.signing import signed_headers
from pandapon_async.declare.fields import JsonTextField
from pandapon_async.openapi import document
from pandapon_async.sandbox import Sandbox

CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
# How the sandbox refuses an argument by its declaration; that no such order exists is another matter.
WRONG_KIND = re.compile(r"(\w+: )+(item \d+: )?(is required|must be an? \w+$)")
# What a text holds cannot be said such that a generator of cases would know it.
JSON_TEXTS = {
    parameter.wire
    for endpoint in endpoints().values()
    for parameter in endpoint.parameters
    if isinstance(parameter.rule, JsonTextField)
}
BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def sign(case: Any, sandbox: Sandbox) -> None:
    """Put fresh signed headers on a case, and the same into the query where the page wants it there."""
    keys = sandbox.credentials
    timestamp, nonce = str(round(time.time() * 1000)), uuid.uuid4().hex
    headers = signed_headers(keys.access_key, keys.access_secret, keys.user_id, timestamp, nonce)
    case.headers = headers
    if "/pp/logistics/" in case.path:
        case.query = {**(case.query or {}), "timestamp": timestamp, "sign": headers["signature"]}


def drive(sandbox: Sandbox, examples: int, every: int = 1) -> Counter[tuple[str, int]]:
    """Send `examples` cases of either kind for every so many operations; how often each code came back."""
    schema: Any = schemathesis.openapi.from_dict(document(inferred=True, server=sandbox.base_url))
    codes: Counter[tuple[str, int]] = Counter()
    with requests.Session() as session:
        for found in list(schema.get_all_operations())[::every]:
            operation = found.ok()
            for mode in BOTH:
                run(operation, mode, examples, sandbox, session, codes)
    return codes


def run(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    sandbox: Sandbox,
    session: requests.Session,
    codes: Counter[tuple[str, int]],
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=HEALTH,
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        sign(case, sandbox)
        case.body = whole(case.body)
        answer = case.call_and_validate(sandbox.base_url, session=session, checks=CHECKS)
        code = answer.json()["code"]
        codes[mode.value, code] += 1
        assert code != 401
        assert not 500 <= code < 600, answer.json()
        if mode is GenerationMode.POSITIVE:
            assert code != 400 or not is_contradiction(answer.json()["msg"]), (case.body, answer.json())

    one()


def is_contradiction(words: str) -> bool:
    """Whether the sandbox refused by its declaration what the document allows."""
    return words.partition(":")[0] not in JSON_TEXTS and WRONG_KIND.match(words) is not None


def whole(value: Any) -> Any:
    """1.0 is a whole number to JSON schema, but to no program that reads money and ids."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


async def test_a_case_of_every_third_operation() -> None:
    async with Sandbox(refunds=100) as sandbox:
        codes = await asyncio.to_thread(drive, sandbox, 1, every=3)
    assert codes["positive", 200] > 12


@pytest.mark.nightly
@pytest.mark.timeout(1200)
async def test_thousands_of_cases() -> None:
    async with Sandbox(refunds=1000) as sandbox:
        codes = await asyncio.to_thread(drive, sandbox, 25)
        assert sandbox.counters.requests == codes.total() >= 2000
    assert codes["positive", 200] > 1000
