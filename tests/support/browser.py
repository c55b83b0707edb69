"""A real Chromium without a window, driven over its protocol, for the report's tests and pictures."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser of this machine, if it has one."""


class Page:
    """One page. Coordinates and sizes are CSS pixels."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def send(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol; events are passed over."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    async def open(self, path: Path, *, width: int = 1280, height: int = 900, phone: bool = False) -> None:
        """Show a file."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        await self.send("Page.enable")
        await self.send("Page.navigate", url=path.absolute().as_uri())
        while await self.run("document.readyState") != "complete":  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.02)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    async def picture(self, path: Path, *, whole: bool = False, height: int | None = None) -> None:
        """What is seen, as PNG."""
        more: dict[str, Any] = {}
        if height is not None:
            width = await self.run("innerWidth")
            more = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        answer = await self.send(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole or height is not None, **more
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    async def pdf(self) -> bytes:
        """The page as it is printed."""
        answer = await self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"])


@contextlib.asynccontextmanager
async def chromium(*, dark: bool = False, scripts: bool = True) -> AsyncIterator[Page]:
    """A browser with one empty page.

    Args:
        dark: whether the reader's device is dark.
        scripts: whether pages may run scripts.
    """
    assert FOUND is not None, "install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            FOUND, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
            f"--user-data-dir={folder}", "--hide-scrollbars", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await asyncio.wait_for(_port(Path(folder)), 60)
            async with ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
                    await page.send("Emulation.setEmulatedMedia", features=scheme)
                    await page.send("Emulation.setScriptExecutionDisabled", value=not scripts)
                    yield page
        finally:
            process.kill()
            await process.wait()


async def _port(folder: Path) -> str:
    while True:
        with contextlib.suppress(OSError, IndexError):
            return (folder / "DevToolsActivePort").read_text().split()[0]
        await asyncio.sleep(0.05)
