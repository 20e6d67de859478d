"""A real headless Chromium, driven over a pipe in the DevTools protocol: no driver program, no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 60


def chromium_path():
    """Where it is; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one page; everything that the page complained of is in `complaints`."""

    def __init__(self, profile: Path) -> None:
        to_browser, ours_out = os.pipe()
        ours_in, from_browser = os.pipe()
        # The browser reads descriptor 3 and writes descriptor 4: a shell can say so, whatever numbers the pipes have.
        start = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        command = [
            chromium_path(), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--no-first-run", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
            "--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._temporary = tempfile.mkdtemp(prefix="chromium-")  # short: there are sockets in it
        self._process = subprocess.Popen(
            ["bash", "-c", start, "chromium", *command],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._temporary},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._out, self._in, self._rest, self._number = ours_out, ours_in, b"", 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._events: list[dict] = []
        target = self._send("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = self._send("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self._send(f"{domain}.enable")
        self.size(1280, 900)

    def close(self) -> None:
        """End it, with the processes that it started."""
        family = [
            self._process.pid,
            *(child.pid for child in psutil.Process(self._process.pid).children(recursive=True)),
        ]
        try:
            self._send("Browser.close", session=None)
            self._process.wait(100)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            pass
        for pid in family:
            try:
                psutil.Process(pid).kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(100)
        shutil.rmtree(self._temporary, ignore_errors=True)
        os.close(self._out)
        os.close(self._in)

    # --- the protocol -----------------------------------------------------------------------------------

    def _send(self, method, parameters=None, session=""):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session or self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive(PATIENCE_S)
            if reply.get("id") == self._number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]
            self._note(reply)

    def _receive(self, patience_s):
        until = time.monotonic() + patience_s
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            block = os.read(self._in, 1 << 20)
            if not block:
                raise TimeoutError("the browser has ended")
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{told['entry']['source']}: {told['entry']['text']}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))
        elif method == "Audits.issueAdded":
            self.complaints.append(f"issue: {json.dumps(told['issue'])[:500]}")
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {told['message']}")
            self._events.append(event)
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        else:
            self._events.append(event)

    # --- what tests do ----------------------------------------------------------------------------------

    def size(self, width, height, scale=1):
        """The window's inside."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
        )

    def prefer(self, scheme):
        """`dark` or `light`, as the system says."""
        self._send("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def open(self, path):
        """Open a file and wait until it has been drawn."""
        self.complaints.clear()
        self.requests.clear()
        self._send("Page.navigate", {"url": Path(path).absolute().as_uri()})
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def wait(self, condition, patience_s=200):
        """Until a JavaScript expression is true."""
        until = time.monotonic() + patience_s
        while not self.run(condition):
            if time.monotonic() > until:
                raise TimeoutError(f"{condition} has not become true; the page says {self.complaints}")
            time.sleep(0.02)

    def run(self, expression):
        """The value of a JavaScript expression."""
        reply = self._send("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"].get("exception", {}).get("description", "failed"))
        return reply["result"].get("value")

    def key(self, key):
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", {"type": kind, "key": key, **(text if kind == "keyDown" else {})})

    def mouse(self, kind, x, y, **more):
        """`mousePressed`, `mouseReleased`, `mouseMoved` at a place of the window."""
        buttons = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {"buttons": more.pop("buttons", 0)}
        self._send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **buttons, **more})

    def place(self, selector):
        """The middle of an element in the window, scrolled into view."""
        return self.run(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); "
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2, box.width, box.height]; })()"
        )

    def point(self, selector):
        """Move the pointer onto an element; where it is then."""
        x, y, *_ = self.place(selector)
        self.mouse("mouseMoved", x - 2, y)
        self.mouse("mouseMoved", x, y)
        return x, y

    def click(self, selector):
        """With a real pointer."""
        x, y = self.point(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def screenshot(self, path, *, whole=False):
        """PNG of the window, or of the whole page."""
        shot = self._send("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path=None):
        """The page as it is printed."""
        made = base64.b64decode(
            self._send("Page.printToPDF", {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69})["data"]
        )
        if path is not None:
            Path(path).write_bytes(made)
        return made
