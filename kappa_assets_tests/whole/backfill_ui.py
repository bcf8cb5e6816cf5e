"""Materialize in the browser: a range of slices chosen, a config typed, and the backfill watched to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from kappa_assets_tests.whole.dagster_ui import eventually, seen

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

    from kappa_assets_tests.browser import Browser
    from kappa_assets_tests.whole.dagster_ui import Running

_ENDED = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")


def backfill(running: Running, driver: Browser, asset: str, slices: str, config: str, picture: str) -> None:
    """Press Materialize on an asset, choose `slices`, launch with `config`, and wait until all of it has succeeded."""
    before = {b["id"] for b in _backfills(running)}
    driver.get(f"{running.url}/assets/{asset}?view=partitions")
    click(driver, "Materialize…")
    seen(driver, "Launch backfill")
    choose(driver, slices)
    driver.find_elements(By.XPATH, "//*[text()='Config']")[-1].click()
    click(driver, "Add config")
    seen(driver, "Config Editor")
    driver.execute_script("document.querySelector('.CodeMirror').CodeMirror.setValue(arguments[0])", config)
    seen(driver, "No errors")
    click(driver, "Save config")
    seen(driver, "Config saved")
    driver.picture(picture)
    click(driver, "Launch backfill")

    def ended() -> dict[str, str] | None:
        found = next((b for b in _backfills(running) if b["id"] not in before), None)
        return found if found and found["status"] in _ENDED else None

    found = eventually(ended, f"the backfill of {asset} to end", moves=running.movement)
    assert found["status"] == "COMPLETED_SUCCESS", f"{running.url}/runs/b/{found['id']}: {found['status']}"


def choose(driver: Browser, slices: str) -> None:
    """Type a range into the box of the dialog's slices. It shows an example, once it knows which slices there are.

    The page below the dialog has such a box too.
    """

    def box() -> WebElement | None:
        inputs = driver.find_elements(By.CSS_SELECTOR, ".bp5-portal input")
        shown = ((i, i.get_attribute("placeholder") or "") for i in inputs if i.is_displayed())
        return next((i for i, example in shown if example.startswith(("ex: ", "No matching partitions"))), None)

    found = eventually(box, "the box of slices", 60)
    found.click()
    found.send_keys(Keys.CONTROL, "a")
    found.send_keys(slices)
    found.send_keys(Keys.ENTER)


def click(driver: Browser, label: str) -> None:
    """Click the newest button with this text, once it is there."""

    def clicked() -> bool:
        try:
            found = [b for b in driver.find_elements(By.TAG_NAME, "button") if b.text.strip() == label]
            if found and found[-1].is_enabled():
                found[-1].click()
                return True
        except (StaleElementReferenceException, ElementClickInterceptedException):
            pass  # the page was drawn anew between two questions, or what lay above the button still folds away
        return False

    eventually(clicked, f"the button {label!r}", 60)


def _backfills(running: Running) -> list[dict[str, str]]:
    found: list[dict[str, str]] = running.ask(
        "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"
    )["partitionBackfillsOrError"]["results"]
    return found
