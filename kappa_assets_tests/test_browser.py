"""The browser that the end-to-end tests look through."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from kappa_assets_tests.browser import browser

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_a_page_runs_its_script_and_is_photographed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<h1>Bronze</h1><p id=p></p><script>p.textContent = 'Silver' + ' and Gold'</script>")
    with browser(tmp_path / "shots") as driver:
        driver.get(page.as_uri())
        assert driver.find_element(By.ID, "p").text == "Silver and Gold"
        picture = driver.screenshot("page")
    assert picture.read_bytes().startswith(PNG)
