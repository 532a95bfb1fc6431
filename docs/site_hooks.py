"""What MkDocs does beside its own: links that leave docs/ lead to files of the source tree, which a site has not."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parent.parent
#: A Markdown link to a relative path outside of docs/: its words and the path.
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page, **_) -> str:
    """``markdown`` with links to source files as what they say, followed by the path if they do not name it. Raises for files that
    are not there."""

    def words(link: re.Match[str]) -> str:
        text, path = link.groups()
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_path}: links to ../{path}, which is not in the source tree")
        return text if Path(path).name in text else f"{text} (`{path}`)"

    return OUTSIDE.sub(words, markdown)
