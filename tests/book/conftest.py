"""The built site, its pages, and a browser to open them in."""

import sys
import threading
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from headless_browser import browser  # noqa: F401  (a fixture)

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "site"

sys.path.insert(0, str(ROOT / "book" / "machinery"))


@dataclass(frozen=True)
class BuiltPage:
    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(SITE).as_posix()

    @cached_property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.path.read_text(encoding="utf-8"), "html.parser")

    @cached_property
    def anchors(self) -> set[str]:
        """What a link's fragment may name on this page."""
        return {str(tag[key]) for key in ("id", "name") for tag in self.soup.select(f"[{key}]")}


@cache
def built_pages() -> tuple[BuiltPage, ...]:
    return tuple(BuiltPage(path) for path in sorted(SITE.rglob("*.html")))


@pytest.fixture(scope="session")
def pages() -> tuple[BuiltPage, ...]:
    assert built_pages(), "There is no site to check: run `make site` first."
    return built_pages()


@pytest.fixture(scope="session")
def served_site(tmp_path_factory):
    """The address of the site, served under a sub-path so that links from the root would break."""
    from serve import open_server

    root = tmp_path_factory.mktemp("served")
    (root / "some" / "where").mkdir(parents=True)
    (root / "some" / "where" / "book").symlink_to(SITE, target_is_directory=True)
    with open_server(str(root), 8700) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/book"
        server.shutdown()
