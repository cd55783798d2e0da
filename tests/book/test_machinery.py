"""What builds and serves the site: a notebook's way to a page, its failures, and a port that is taken."""

import json
import socket

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.site


def text(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str) -> dict:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


CHAPTER = [
    text("# The `get` *rule*\n\nIt [copies](other.md#Why-a-copy); see [below](#a-run-its-output)."),
    text("## A run & its output\n\nHere *refs* are read; *refs* again, and *not* a term."),
    code("print('<b>' + 'bold' + '</b>')\n1 + 1"),
    code('from IPython.display import SVG\nSVG(\'<svg role="img" aria-label="A dot"></svg>\')'),
]
OTHER_PAGE = "# Other\n\n## Why a copy\n\nSee [the rule](chapter.ipynb).\n"


def build(folder, cells, **settings):
    """Builds a site of one notebook and one page with the book's own configuration; returns the notebook's page."""
    from bs4 import BeautifulSoup
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    docs = folder / "docs"
    docs.mkdir()
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    cells = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (docs / "chapter.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (docs / "other.md").write_text(OTHER_PAGE, encoding="utf-8")
    (docs / "reference").mkdir()
    (docs / "reference" / "glossary.md").write_text("# Glossary\n\n## Ref\n\nMemory.\n", encoding="utf-8")
    configuration = load_config(
        str(ROOT / "mkdocs.yml"),
        docs_dir=str(docs),
        site_dir=str(folder / "site"),
        nav=["chapter.ipynb", "other.md", "reference/glossary.md"],
        extra_css=[],
        hooks=["book/machinery/hooks.py"],
        strict=True,
        **settings,
    )
    configuration.plugins.on_startup(command="build", dirty=False)
    mkdocs_build(configuration)
    return BeautifulSoup((folder / "site" / "chapter.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    return build(tmp_path_factory.mktemp("book"), CHAPTER)


def test_title_keeps_the_code_in_the_heading(chapter):
    assert chapter.title.get_text() == "The get rule - Pallas in NumPy"
    assert chapter.h1["id"]


def test_links_to_sources_become_links_to_pages(chapter):
    assert chapter.select_one("article p:not(.notebook-line) a")["href"] == "other.html#why-a-copy"


def test_a_term_is_linked_to_the_glossary_once(chapter):
    links = chapter.select('article a[href="reference/glossary.html#ref"]')
    assert [link.get_text() for link in links] == ["refs"]
    assert [str(em) for em in chapter.select("article em")].count("<em>not</em>") == 1


def test_sections_are_in_the_table_of_contents(chapter):
    links = chapter.select(".md-sidebar--secondary a.md-nav__link")
    assert [(link["href"], link.get_text(strip=True)) for link in links] == [
        ("#a-run-its-output", "A run & its output")
    ]
    assert chapter.h2["id"] == "a-run-its-output"


def test_printed_markup_stays_text(chapter):
    assert chapter.select_one(".output-plain pre").get_text() == "<b>bold</b>\n"


def test_code_has_the_markup_that_material_gives_code(chapter):
    assert "1 + 1" in chapter.select_one("div.highlight > pre > code").get_text()


def test_pictures_are_inline(chapter):
    assert chapter.select_one(".output-svg > svg")["aria-label"] == "A dot"


def test_description_is_the_first_paragraph(chapter):
    assert chapter.select_one("meta[name=description]")["content"] == "It copies; see below."


def test_a_cell_that_fails_stops_the_build(tmp_path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="integer division"):
        build(tmp_path, [text("# Fails"), code("1 // 0")])


def test_a_link_to_no_page_stops_the_build(tmp_path):
    from mkdocs.exceptions import Abort

    with pytest.raises(Abort, match="1 warnings"):
        build(tmp_path, [text("# Lost\n\nSee [nothing](nowhere.md).")])


def test_exercises_are_files_in_jupyter_and_pages_on_the_site():
    from hooks import page_of

    assert page_of("../exercises/phase2/p2_08_the_grid.py") == "exercises/p2_08_the_grid.md"
    assert page_of("../exercises/README.md") == "exercises/index.md"
    assert page_of("phases/phase2.ipynb") == "phases/phase2.ipynb"


def test_terms_are_linked_in_the_forms_they_have_in_a_sentence():
    from hooks import sections_of_terms

    sections = sections_of_terms("# Glossary\n\n## Cold, warm\n\nTimes.\n\n## Discharge\n\nTo rewrite.\n")
    assert sections["cold"] == sections["warm"] == "cold-warm"
    assert sections["discharge"] == sections["discharges"] == sections["discharging"] == "discharge"


def previewed(page) -> dict[str, str]:
    return {tag["property"].removeprefix("og:"): tag["content"] for tag in page.select("meta[property^='og:']")}


def test_previews_are_found_in_any_folder(chapter):
    shown = previewed(chapter)
    assert shown["title"] == chapter.title.get_text() and shown["description"] == "It copies; see below."
    assert shown["image"] == "images/preview.png" and "url" not in shown


def test_previews_have_whole_addresses_where_the_build_is_told(tmp_path):
    shown = previewed(build(tmp_path, [text("# Told\n\nWhere it is.")], site_url="https://example.org/book/"))
    assert shown["url"] == "https://example.org/book/chapter.html"
    assert shown["image"] == "https://example.org/book/images/preview.png"


def test_descriptions_are_safe_between_quotes(tmp_path):
    page = build(tmp_path, [text('# Quoted\n\nIt says "no" & <code>x &lt; 1</code>.')])
    assert page.select_one("meta[name=description]")["content"] == 'It says "no" & x < 1.'


def test_a_busy_port_is_passed_over(tmp_path, capsys):
    from serve import open_server

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with open_server(str(tmp_path), port) as server:
            assert port < server.server_port < port + 50
    assert f"Port {port} is taken; trying {port + 1}." in capsys.readouterr().out
