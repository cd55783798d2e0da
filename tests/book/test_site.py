"""What the built pages hold: links that resolve, nothing from elsewhere, nothing that is not needed."""

import gzip
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .conftest import SITE, BuiltPage, built_pages

pytestmark = pytest.mark.site

# Attributes through which a page loads something by itself; a link that a reader follows is not among them.
LOADING = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "image": ("href",),
    "use": ("href",),
}
CSS_REFERENCE = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
LARGEST_FRAME = 60_000  # characters
LARGEST_PAGE = 120_000  # bytes, compressed as a server sends it


def is_external(address: str) -> bool:
    parts = urlsplit(address.strip())
    return parts.scheme not in ("", "data") or bool(parts.netloc)


def target_of(page: BuiltPage, address: str) -> Path:
    """The file an internal address names. Only the error page, served for any address, links from the root."""
    path = unquote(urlsplit(address).path)
    if path.startswith("/"):
        assert page.name == "404.html", f"{page.name} links from the server's root: {address}"
        target = SITE / path.lstrip("/")
    else:
        target = page.path.parent / path if path else page.path
    target = target.resolve()
    return target / "index.html" if target.is_dir() else target


def addresses(page: BuiltPage) -> list[str]:
    loaded = [
        str(tag[key]) for name, keys in LOADING.items() for key in keys for tag in page.soup.select(f"{name}[{key}]")
    ]
    return loaded + [str(tag["href"]) for tag in page.soup.select("a[href]")]


def test_every_internal_link_and_anchor_resolves(pages):
    by_path = {page.path.resolve(): page for page in pages}
    broken = []
    for page in pages:
        for address in addresses(page):
            if is_external(address) or address.startswith("data:"):
                continue
            target, fragment = target_of(page, address), unquote(urlsplit(address).fragment)
            if not target.is_file():
                broken.append(f"{page.name}: {address}: no such file")
            elif fragment and target in by_path and fragment not in by_path[target].anchors:
                broken.append(f"{page.name}: {address}: no such anchor")
    assert not broken, "\n".join(broken)


def test_no_page_loads_anything_from_elsewhere(pages):
    loaded = [
        f"{page.name}: {tag[key]}"
        for page in pages
        for name, keys in LOADING.items()
        for key in keys
        for tag in page.soup.select(f"{name}[{key}]")
        if is_external(str(tag[key]))
    ]
    assert not loaded


def test_no_style_loads_anything_from_elsewhere(pages):
    styles = {path.name: path.read_text(encoding="utf-8") for path in SITE.rglob("*.css")}
    styles |= {page.name: "\n".join(tag.get_text() for tag in page.soup.select("style")) for page in pages}
    loaded = [
        f"{name}: {address}"
        for name, style in styles.items()
        for match in CSS_REFERENCE.findall(style)
        for address in match
        if address and is_external(address)
    ]
    assert not loaded


def test_no_page_asks_material_to_fetch_a_library(pages):
    """Material's script fetches Mermaid from elsewhere as soon as a page has a diagram for it."""
    assert not [page.name for page in pages if page.soup.select(".mermaid")]


@pytest.mark.parametrize("page", built_pages(), ids=lambda page: page.name)
def test_page_says_what_it_is(page):
    assert len(page.soup.select("h1")) == 1
    assert page.soup.title.get_text(strip=True)
    assert page.soup.html["lang"] == "en"
    assert page.soup.select_one("meta[name=description]")["content"].strip()
    assert not [image for image in page.soup.select("article img") if not image.get("alt")]


def test_titles_differ(pages):
    titles = [page.soup.title.get_text(strip=True) for page in pages if page.name != "404.html"]
    assert len(titles) == len(set(titles))
    assert not [title for title in titles if title.count("Pallas in NumPy") != 1]


def test_every_page_has_a_preview(pages):
    for page in pages:
        shown = {str(tag["property"]): str(tag["content"]) for tag in page.soup.select("meta[property^='og:']")}
        assert shown["og:title"] == page.soup.title.get_text(strip=True)
        assert shown["og:description"] == page.soup.select_one("meta[name=description]")["content"]
        picture = target_of(page, shown["og:image"])
        assert picture.read_bytes().startswith(b"\x89PNG"), page.name


def test_notebook_pages_carry_no_jupyterlab(pages):
    """What is not the chapter itself, its code and its outputs, is a few kilobytes."""
    for page in pages:
        assert not page.soup.select(".jupyter-wrapper, .jp-Notebook, clipboard-copy"), page.name
        frame = len(str(page.soup)) - len(str(page.soup.article))
        assert frame < LARGEST_FRAME, f"{page.name} has {frame} characters round its article"


@pytest.mark.parametrize("page", built_pages(), ids=lambda page: page.name)
def test_pages_are_quick_to_load(page):
    assert len(gzip.compress(page.path.read_bytes())) < LARGEST_PAGE


def test_notebooks_can_be_downloaded(pages):
    chapters = [page for page in pages if page.path.with_suffix(".ipynb").is_file()]
    for page in chapters:
        button = page.soup.select_one("a[download]")
        assert button is not None, page.name
        assert target_of(page, str(button["href"])) == page.path.with_suffix(".ipynb").resolve()


def test_headings_in_the_table_of_contents_are_those_of_the_page(pages):
    for page in pages:
        headings = {str(heading["id"]) for heading in page.soup.select("article :is(h2, h3)[id]")}
        listed = {str(link["href"]).lstrip("#") for link in page.soup.select(".md-sidebar--secondary a.md-nav__link")}
        assert listed >= headings, page.name
