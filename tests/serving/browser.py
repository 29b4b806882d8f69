"""Debian's Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium")


class Page:
    """One tab; what its console complains about and whom it asks is in `complaints` and `requests`."""

    def __init__(self, line: ClientConnection) -> None:
        self._line, self._number, self._session = line, 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": params}
        self._line.send(json.dumps(order | ({"sessionId": self._session} if self._session else {})))
        while (said := json.loads(self._line.recv(timeout=30))).get("id") != self._number:
            self._note(said)
        assert "error" not in said, said
        return dict(said["result"])

    def open(self, url: str, *, width: int = 360, height: int = 740, dark: bool = False, touch: bool = True) -> None:
        """The page at the address, in a window of that size, once it is loaded."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, *, within_s: int = 30) -> None:
        """Waits until the script's value is true."""
        waits = f"new Promise((yes, no) => {{ const end = Date.now() + {1000 * within_s}; (function look() {{ if ({script}) yes(true); "
        assert self.evaluate(waits + "else if (Date.now() > end) yes(false); else setTimeout(look, 50); })(); })"), script

    def choose(self, selector: str, file: Path) -> None:
        """What a person does in the window that a file field opens."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else ""
            )

    def picture(self, file: Path) -> None:
        """Writes what is seen, down to the page's end, as PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        if said.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif said.get("method") == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A tab of a browser of its own, whose profile is in the folder."""
    assert PROGRAM
    # The sandbox wants rights that a container's root has not, and its memory is not in /dev/shm there.
    command = [PROGRAM, "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert browser.stderr is not None
        address = next(line.split()[-1] for line in browser.stderr if line.startswith("DevTools listening on"))
        with connect(address, max_size=None) as line:
            yield Page(line)
            line.send(json.dumps({"id": 0, "method": "Browser.close"}))
            browser.communicate(timeout=30)
    finally:
        browser.kill()
        browser.wait()
