"""What the site's build does to the notebooks, and to each page's description.

mkdocs-jupyter runs a notebook and turns it into JupyterLab's HTML: 600 KB of styles and scripts for each page, its own
copy buttons, and links that MkDocs never sees. `on_page_content` rewrites that into the markup which Material gives a
Markdown page, so that both kinds of page look, search and link the same, and only the content is left.
"""

import base64
import html
import logging
import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag
from markdown.extensions.toc import nest_toc_tokens, slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import get_toc

log = get_plugin_logger("book")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
DESCRIPTION_LENGTH = 200
GLOSSARY = "reference/glossary.md"
SEARCH = 'data-md-component="search" role="dialog"'
run_started = {"notebook": 0, "at": 0.0}


def on_startup(command: str, dirty: bool) -> None:
    # The reader's own Jupyter settings must not change the book.
    os.environ["JUPYTER_CONFIG_DIR"] = str(Path(__file__).parent / "jupyter")
    for name in ("mkdocs.mkdocs-jupyter", "mkdocs.plugins.mkdocs_jupyter"):
        logging.getLogger(name).setLevel(logging.WARNING)


def is_notebook(page: Page) -> bool:
    return page.file.src_uri.endswith(".ipynb")


def on_pre_build(config: MkDocsConfig) -> None:
    run_started["notebook"] = 0


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if is_notebook(page):
        notebooks = sum(file.src_uri.endswith(".ipynb") for file in files.documentation_pages())
        run_started.update(notebook=run_started["notebook"] + 1, at=time.monotonic())
        log.info(f"running notebook {run_started['notebook']} of {notebooks}: {page.file.src_uri}")
    return markdown


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if is_notebook(page):
        log.info(f"  ran in {time.monotonic() - run_started['at']:.1f} s")
        content = slim_notebook(content, page, files)
    if "description" not in page.meta:
        first = BeautifulSoup(content, "html.parser").select_one("p:not(.notebook-line)")
        page.meta["description"] = shorten(first.get_text()) if first else config.site_description
    page.meta["description"] = html.escape(page.meta["description"])  # the templates put it between quotes
    return content


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    # Material's dialog for the search has no name that a screen reader could say.
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')


def shorten(text: str) -> str:
    """`text` on one line, cut after the last whole sentence or word that fits a search result."""
    text = " ".join(text.split())
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    head = text[:DESCRIPTION_LENGTH]
    return head[: head.rindex(". ") + 1] if ". " in head else head.rsplit(" ", 1)[0] + "…"


# --- From JupyterLab's HTML to Material's ----------------------------------------------------------------------------


def slim_notebook(content: str, page: Page, files: Files) -> str:
    """The notebook's cells in Material's markup; sets the page's title and table of contents on the way."""
    soup = BeautifulSoup(content, "html.parser")
    cells = [cell for cell in soup.select(".jp-Cell") if not cell.select(".jp-Cell")]
    slim = BeautifulSoup("\n".join(map(slim_cell, cells)), "html.parser")
    for block in slim.select(".highlight > pre"):
        if block.code is None:
            wrap_in_code(slim, block)
    for output in slim.select(".output > pre"):
        output["tabindex"] = "0"  # So that the keyboard can scroll a long line.
    for table in slim.select("table.dataframe"):
        del table["class"], table["border"]
    for link in slim.select("a[href]"):
        link_to_page(link, page, files)
    link_terms(slim, page, files)
    page.toc = get_toc(nest_toc_tokens(link_headings(slim)))
    if slim.h1 is not None:
        page.title = heading_text(slim.h1)
        slim.h1.insert_after(BeautifulSoup(download_line(page), "html.parser"))
    return str(slim)


def slim_cell(cell: Tag) -> str:
    if text := cell.select_one(".jp-MarkdownOutput"):
        return text.decode_contents()
    source = cell.select_one(".highlight-ipynb pre")
    code = f'<div class="language-python highlight">{source}</div>' if source else ""
    outputs = "".join(slim_output(output) for output in cell.select(".jp-OutputArea-output"))
    return code + (f'<div class="outputs">{outputs}</div>' if outputs else "")


def slim_output(output: Tag) -> str:
    """One output, named by its kind: text, stderr, HTML, Markdown or a picture."""
    kind = str(output.get("data-mime-type", "")).rpartition("/")[2].rpartition(".")[2]
    body = output.decode_contents()
    if kind == "svg+xml" and output.img is not None:
        # Inline, so that the picture follows the page's colours and keeps its own description.
        kind, body = "svg", base64.b64decode(str(output.img["src"]).partition("base64,")[2]).decode()
    return f'<div class="output output-{kind}">{body}</div>'


def wrap_in_code(soup: BeautifulSoup, block: Tag) -> None:
    """Puts a `code` element inside `pre`, where Material's styles and copy button look for it."""
    code = soup.new_tag("code")
    code.extend(list(block.contents))
    block.append(code)


def link_to_page(link: Tag, page: Page, files: Files) -> None:
    """Turns a link to a source file (`../kernel.md`) into one to its page, as MkDocs does in Markdown.

    Jupyter names a section as it is written, `#What-it-cost`, and a page in small letters.
    """
    parts = urlsplit(str(link["href"]))
    if parts.scheme or parts.netloc or not parts.path.endswith((".md", ".ipynb", ".py")):
        return
    source = os.path.normpath(os.path.join(os.path.dirname(page.file.src_uri), parts.path)).replace(os.sep, "/")
    file = files.get_file_from_path(page_of(source))
    if file is None:
        log.warning(f"'{page.file.src_uri}' links to '{link['href']}', and there is no such page.")
        return
    link["href"] = file.url_relative_to(page.file) + (f"#{parts.fragment.lower()}" if parts.fragment else "")


def page_of(source: str) -> str:
    """The page for a file, both seen from `book/`. An exercise is a file for Jupyter, and has a page on the site."""
    if not source.startswith("../exercises/"):
        return source
    name = os.path.basename(source)
    return "exercises/index.md" if name == "README.md" else f"exercises/{os.path.splitext(name)[0]}.md"


def link_terms(soup: BeautifulSoup, page: Page, files: Files) -> None:
    """Links the terms that a chapter introduces, which it *emphasises*, to the glossary: each once."""
    glossary = files.get_file_from_path(GLOSSARY)
    if glossary is None:
        return
    sections = sections_of_terms(glossary.content_string)
    for emphasised in soup.select("p em, li em"):
        section = sections.get(emphasised.get_text().lower())
        if (
            section is None
            or emphasised.find_parent(["a", *HEADINGS])
            or soup.find("a", href=re.compile(f"#{section}$"))
        ):
            continue
        emphasised.wrap(soup.new_tag("a", href=f"{glossary.url_relative_to(page.file)}#{section}"))


def sections_of_terms(glossary: str) -> dict[str, str]:
    """From each term in the glossary, and the forms it has in a sentence, to its section."""
    sections = {}
    for heading in re.findall(r"^## (.*)$", glossary, re.MULTILINE):
        for term in heading.lower().split(", "):
            for form in (term, f"{term}s", f"{term.removesuffix('e')}ing"):
                sections[form] = slugify(heading, "-")
    return sections


def link_headings(soup: BeautifulSoup) -> list[dict]:
    """Gives every heading Material's permanent link; returns the headings for the table of contents."""
    tokens = []
    for heading in soup.find_all(HEADINGS):
        link = heading.select_one(".anchor-link")
        if link is None:
            continue  # A heading in an output belongs to the output, not to the chapter.
        link.decompose()
        name = html.escape(heading_text(heading), quote=False)
        tokens.append({"level": int(heading.name[1]), "id": heading["id"], "name": name})
        permalink = soup.new_tag("a", href=f"#{heading['id']}", title="Link to this section")
        permalink["class"] = "headerlink"
        permalink.string = "¶"
        heading.append(permalink)
    return tokens


def heading_text(heading: Tag) -> str:
    return heading.get_text().removesuffix("¶").strip()


def download_line(page: Page) -> str:
    name = os.path.basename(page.file.src_uri)
    return (
        f'<p class="notebook-line"><a class="md-button" href="{name}" download>Download this notebook</a> '
        "<span>This page is a notebook, shown as it ran when the site was built. To run it yourself, type "
        "<code>make notebooks</code> in the repository, or open the download in any Jupyter that has "
        "<code>pallas_np</code> installed.</span></p>"
    )
