"""A headless Chromium, for pages that a person would open; what it asked for and what it complained about."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager

import pytest

_NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")


class Browser:
    """One window. ``driver`` is selenium's."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, fragment=""):
        """Open a file as a new page; what was asked for and said before is forgotten."""
        self.driver.get("about:blank")
        self.requests()
        self.complaints()
        self.driver.get(path.as_uri() + (f"#{fragment}" if fragment else ""))
        return self

    def run(self, script, *arguments):
        """What a script returns that runs in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition, seconds=20):
        """Wait until an expression is true in the page; its value."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.05).until(lambda d: d.execute_script(f"return {condition}"))

    def texts(self, selector):
        """The texts of all elements, as they are shown."""
        return self.run(f"return [...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText.trim())")

    def complaints(self):
        """Lines of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [
            m["params"] for m in messages if m["method"] in {"Network.requestWillBeSent", "Network.webSocketCreated"}
        ]
        return [each.get("request", each).get("url", "") for each in sent]

    def size(self, width, height, *, mobile=False):
        """Make the window that large."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def theme(self, name):
        """Let the system be ``dark`` or ``light``."""
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@contextmanager
def headless():
    """A browser with its own profile and no way to the network. Skips the test where none is installed."""
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    service = shutil.which("chromedriver")
    if binary is None or service is None:
        pytest.skip("no browser: install chromium and chromium-driver (chromedriver) to test pages in one")
    webdriver = pytest.importorskip("selenium.webdriver")
    os.environ["SE_OFFLINE"] = "true"  # selenium would look for a driver elsewhere
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--force-device-scale-factor=1",
        "--window-size=1300,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
