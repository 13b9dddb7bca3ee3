"""A real browser, and pages in it that tell what they ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.browser.pages import HOSTILE, report_of, small_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Opener: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: the one that DEDUPKIT_BROWSER names, one on the path, or Playwright's own."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("DEDUPKIT_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens a file in a browser that has forgotten all; every error, and every request that leaves, ends the test."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def dismiss(dialog: Any) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    def open_page(path: Path, *, context: Any = None, **options: Any) -> Any:
        if context is None:
            context = browser.new_context(accept_downloads=True, reduced_motion="reduce", **options)
            contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: wrong.append(request.url) if _leaves(request.url) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("dialog", dismiss)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with groups of every tier, pairs on both sides of the limits, and hostile names."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_of(small_set()).to_html(), encoding="utf-8")
    assert HOSTILE[0] not in path.read_text(encoding="utf-8")
    return path
