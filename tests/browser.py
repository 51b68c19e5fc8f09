"""Chromium without a window, driven by Selenium: a page as a person has it before them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def missing() -> str | None:
    """Why no page can be looked at here; None where it can."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install '.[test]'"
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} not found: apt-get install chromium chromium-driver" if lacking else None


class Browser:
    """One window; `asked` are the addresses that its pages asked for, `said` what they wrote to the console."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, size: tuple[int, int] = SIZES["desktop"], dark: bool = False) -> None:
        """Load a page from disk."""
        self.asked(), self.said()  # what came before is not this page's
        phone = size[0] < 500
        shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(page.absolute().as_uri())

    def run(self, script: str, *values: object) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *values)

    def picture(self, whole: bool = False) -> NDArray[np.uint8]:
        """What the window shows, or the whole page, `(h, w, 3)` RGB."""
        import base64

        told = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            told["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        png = self.driver.execute_cdp_cmd("Page.captureScreenshot", told)["data"]
        flat = np.frombuffer(base64.b64decode(png), np.uint8)
        return np.asarray(cv2.imdecode(flat, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)

    def asked(self) -> list[str]:
        """Every address that was asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            event["params"]["request"]["url"][:500]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def said(self) -> list[str]:
        """Every message of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it; nothing of it stays."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
