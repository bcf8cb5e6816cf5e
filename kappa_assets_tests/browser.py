"""A real browser for the tests of the user interface: Debian's Chromium, headless, driven by selenium."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

# Root's Chromium needs --no-sandbox. The rest keeps it from talking to anybody but the page under test.
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is 64 MB in containers, and a tab that fills it crashes
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


_PICTURES = "KAPPA_SCREENSHOTS"


class Browser(webdriver.Chrome):
    """A WebDriver that knows where its pictures go."""

    screenshots: Path

    def screenshot(self, name: str) -> Path:
        """The visible page as `<name>.png` in KAPPA_SCREENSHOTS, else in the folder that the test gave."""
        folder = Path(os.environ.get(_PICTURES) or self.screenshots)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        assert self.save_screenshot(str(path)), f"{path} could not be written"
        return path

    def picture(self, name: str) -> None:
        """Take a picture for people, where `make pictures` asks for them; a test compares none, and waits for none."""
        if os.environ.get(_PICTURES):
            time.sleep(3)  # graphs and dialogs are drawn, and fold away, after their texts are there
            self.screenshot(name)


@contextmanager
def browser(screenshots: Path, *, width: int = 1600, height: int = 1000) -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own; it is ended, and its profile deleted, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="kappa-chromium-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = _found("chromium")
        for option in (*_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(option)
        # A named driver: else selenium would look for one to download.
        driver = Browser(options=options, service=Service(executable_path=_found("chromedriver")))
        driver.screenshots = screenshots
        try:
            driver.set_page_load_timeout(60)
            yield driver
        finally:
            driver.quit()


def _found(program: str) -> str:
    path = shutil.which(program)
    assert path, f"{program} is needed: apt-get install chromium chromium-driver"
    return path
