"""A real browser without a window: Chromium, driven through its DevTools protocol with the events of a keyboard and a mouse."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.waiting import wait_until

_STARTS_S = 60
# Key codes of Windows, which Chromium goes by; a letter's or digit's is that of its capital.
_CODES = {"Enter": 13, "Escape": 27, "Backspace": 8, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}


def chromium() -> str:
    """The browser's command; a test that needs it says so where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("there is no chromium on this machine: install Debian's package chromium")
    return found


class Browser:
    """One page of the browser."""

    def __init__(self, connection: ClientConnection, downloads: Path) -> None:
        self._connection, self._session, self._asked = connection, "", 0
        self.events: list[dict[str, Any]] = []
        self.downloads = downloads
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads), eventsEnabled=True)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The answer to a command of the protocol; events that come meanwhile are kept."""
        self._asked += 1
        given: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            given["sessionId"] = self._session
        self._connection.send(json.dumps(given))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == self._asked:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    def open(self, address: str) -> None:
        """Loads what is there and waits until its script has run."""
        self.call("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href === new URL({address!r}).href")

    def value(self, expression: str) -> Any:
        """What the expression gives in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until the expression holds in the page."""
        wait_until(lambda: bool(self.value(expression)), _STARTS_S, expression, pause_s=0.05)

    def press(self, *keys: str, control: bool = False) -> None:
        """Presses and lets go each key, named as KeyboardEvent.key names it."""
        for key in keys:
            code = _CODES.get(key) or ord(key.upper())
            text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
            down: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
            shown = {} if control or not text else {"text": text}
            self.call("Input.dispatchKeyEvent", type="keyDown" if shown else "rawKeyDown", **down, **shown)
            self.call("Input.dispatchKeyEvent", type="keyUp", **down)

    def click(self, selector: str) -> None:
        """Presses the mouse in the middle of the element."""
        box = self.value(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **middle, button="left", clickCount=1)

    def choose(self, selector: str, file: Path) -> None:
        """What a person does in the window that a file field opens."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Shows pages so large from now on; a narrow screen is a phone's, that is touched."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def photograph(self, path: Path) -> None:
        """Writes the page down to its end as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]))

    def requests(self) -> list[str]:
        """The addresses that the page asked for so far."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Errors of scripts and of the page's policy so far."""
        thrown = [event["params"]["exceptionDetails"]["text"] for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        return thrown + [event["params"]["entry"]["text"] for event in self.events if event["method"] == "Log.entryAdded"]

    def downloaded(self, n: int = 1) -> Path:
        """The newest of n files, once so many have come whole."""

        def there() -> list[Path]:
            return sorted((file for file in self.downloads.glob("*.csv")), key=lambda file: file.stat().st_mtime_ns)

        wait_until(lambda: len(there()) >= n, _STARTS_S, f"{n} downloads in {self.downloads}", pause_s=0.05)
        return there()[-1]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Chromium with a profile of its own below the folder, ended behind the block."""
    profile, downloads = folder / "profile", folder / "downloads"
    downloads.mkdir(parents=True)
    words = [chromium(), "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--disable-gpu", "--no-first-run"]
    # A container's root has no namespaces to build the sandbox of.
    words += ["--disable-dev-shm-usage", "--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
    try:
        told = profile / "DevToolsActivePort"
        wait_until(lambda: told.exists() and len(told.read_text().split()) == 2, _STARTS_S, "port of chromium", pause_s=0.05)
        port, path = told.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None) as connection:
            yield Browser(connection, downloads)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(30)
