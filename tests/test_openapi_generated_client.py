"""A client that another tool generates from the OpenAPI document makes a call against the sandbox.

Nightly only: the generator needs other versions than this project and so has an environment of its own.
`make nightly` makes it and names it in OPENAPI_PYTHON_CLIENT.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from pandapon_async.openapi import document
from pandapon_async.sandbox import Sandbox
from tests.support import generated_call

GENERATOR = os.environ.get("OPENAPI_PYTHON_CLIENT")


async def run(*command: str | Path, folder: Path) -> str:
    """What a program prints; fails with what it says if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.skipif(GENERATOR is None, reason="set OPENAPI_PYTHON_CLIENT to the program of that name")
async def test_a_generated_client_makes_a_call(tmp_path: Path) -> None:
    program = Path(GENERATOR or "").resolve()
    (tmp_path / "openapi.json").write_text(json.dumps(document()), encoding="utf-8")
    options = ("--path", "openapi.json", "--output-path", "generated", "--meta", "none")
    said = await run(program, "generate", *options, folder=tmp_path)
    assert "unsupported" not in said.lower()
    assert "ignor" not in said.lower()
    async with Sandbox(refunds=10) as sandbox:
        keys = sandbox.credentials
        printed = await run(
            program.with_name("python"),
            Path(generated_call.__file__).resolve(),
            tmp_path,
            sandbox.base_url,
            keys.access_key,
            keys.access_secret,
            keys.user_id,
            folder=tmp_path,
        )
        assert [entry.endpoint for entry in sandbox.log] == ["alibaba.refunds.reasons"]
    found = json.loads(printed)
    assert found["type"] == "V1AlibabaRefundsReasonsResponse200"
    assert found["answer"]["code"] == 200
    assert {"id", "name", "needVoucher", "noRefundCarriage"} <= found["answer"]["data"][0].keys()
