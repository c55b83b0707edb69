"""What type checkers see: typed results by plain name and by pin, and errors for what cannot work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pandapon_async

ROOT = Path(pandapon_async.__file__).parents[1]

REVEALED = """\
from pandapon_async import Client, bulk

async def main(pandapon: Client) -> None:
    reveal_type(await pandapon.alibaba.refunds.get(refund_id="TQ1"))  # Refund
    reveal_type(await pandapon.v1.alibaba.refunds.get(refund_id="TQ1"))  # Refund
    reveal_type(await pandapon.alibaba.refunds.reasons(  # list[RefundReason]
        order_id=1, order_entry_ids=[2], goods_status="aftersaleBuyerReceived"
    ))
    reveal_type(await pandapon.alibaba.refunds.upload_voucher(image=b"").with_response())  # Response[Voucher]
    reveal_type(await pandapon.taobao.refunds.cancel(refund_id=1))  # CancelledRefund
    reveal_type(pandapon.taobao.refunds.pages(refund_status=10))  # AsyncIterator[RefundDetail]
    reveal_type(await pandapon.v2.alibaba.orders.preview(cargo_param_list=[]))  # OrderPreview
    reveal_type(await pandapon.alibaba.orders.preview(cargo_param_list=[]))  # OrderPreview
    reveal_type(await pandapon.alibaba.goods.get(offer_id=1))  # Product
    reveal_type(await pandapon.v1.taobao.goods.get_source(item_id=1))  # SourceProduct
    reveal_type(await pandapon.alibaba.carts.get())  # Cart
    async for one in bulk.fetch_refunds(pandapon, ["TQ1"]):
        reveal_type(one)  # Done[str, Refund] | Failed[str]
    async for other in bulk.fetch_refunds(pandapon, [1], "taobao"):
        reveal_type(other)  # Done[int, RefundDetail] | Failed[int]
"""
REFUSED = """\
from pandapon_async import Client, Settings

async def main(pandapon: Client) -> None:
    pandapon.v2.taobao.goods.get_source(item_id=1)
    pandapon.v2.alibaba.orders.get(order_id=1)
    pandapon.alibaba.refunds.get(refund="TQ1")
    pandapon.alibaba.refunds.reasons(order_id=1, order_entry_ids=[2], goods_status="gone")
    pandapon.v1.taobao.carts.add(item_map_id=1)
    pandapon.alibaba.orders.preview(address_params=1)
    pandapon.with_settings(timout=1)
    pandapon.with_settings(rate=1)
    Client.from_env(timestamp_unit="us")
    Settings(timout=1)
"""


def snippet() -> str:
    """The first program of the README, as a function."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    imports, _, body = program.partition("\n\n")
    lines = (f"    {line}\n" for line in body.splitlines() if line)
    return f"{imports}\n\nasync def main() -> None:\n" + "".join(lines)


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy --strict says of each file of a user."""
    folder = tmp_path_factory.mktemp("programs")
    programs = {"revealed.py": REVEALED, "refused.py": REFUSED, "readme.py": snippet()}
    for name, text in programs.items():
        (folder / name).write_text(text, encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--no-pretty", f"--cache-dir={ROOT / '.mypy_cache'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *programs],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert not ended.stderr, ended.stderr
    lines = ended.stdout.splitlines()
    return {name: [line for line in lines if line.startswith(f"{name}:")] for name in programs}


def pyright(text: str, folder: Path) -> tuple[dict[int, str], set[int]]:
    """What pyright, in its strict mode, says of a file of a user: types by line, lines with errors."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    options = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(options), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    revealed, errors = {}, set()
    for told in json.loads(ended.stdout)["generalDiagnostics"]:
        line = told["range"]["start"]["line"] + 1
        if told["severity"] == "error":
            errors.add(line)
        elif shown := re.search(r'is "(.+)"$', told["message"]):
            revealed[line] = shown[1]
    return revealed, errors


def wanted(text: str) -> list[str]:
    return re.findall(r"# (.+)$", text, re.MULTILINE)


@pytest.mark.timeout(240)
def test_results_are_typed(mypy: dict[str, list[str]]) -> None:
    lines = mypy["revealed.py"]
    assert [line for line in lines if " error: " in line] == []
    revealed = [
        re.sub(r"\b[a-z_]\w*\.", "", line.partition("Revealed type is ")[2].strip('"')) for line in lines
    ]
    assert revealed == wanted(REVEALED)


@pytest.mark.timeout(240)
def test_what_cannot_work_is_an_error_before_it_runs(mypy: dict[str, list[str]]) -> None:
    errors = {int(line.split(":")[1]) for line in mypy["refused.py"] if " error: " in line}
    assert errors == set(range(4, 4 + REFUSED.count("\n") - 3))


@pytest.mark.nightly
@pytest.mark.timeout(240)
def test_pyright_sees_the_same(tmp_path: Path) -> None:
    revealed, errors = pyright(REVEALED, tmp_path)
    assert errors == set()
    assert [revealed[line] for line in sorted(revealed)] == wanted(REVEALED)
    _, errors = pyright(REFUSED, tmp_path)
    assert errors == set(range(4, 4 + REFUSED.count("\n") - 3))


@pytest.mark.timeout(240)
def test_the_first_snippet_of_the_readme_is_well_typed(mypy: dict[str, list[str]]) -> None:
    assert mypy["readme.py"] == []
