"""The code blocks of docs/frontend.md, which are the files of the module; `python -m tests.web.page` writes them anew.

A block names its file. The blocks of a file are the whole file, each from its first line to the next block's.
"""

import re
from pathlib import Path

from tests.web.node import WEB

PAGE = Path(__file__).parents[2] / "docs" / "frontend.md"
MODULE = WEB / "src" / "sentinel"
NOT_SHOWN = {"index.ts", "schema.ts"}
"""Only exports, and what `make types` makes."""
_BLOCK = re.compile(r'```ts title="(\w+\.ts)"\n(.*?)```', re.DOTALL)


def shown() -> set[str]:
    """Return the files that the page has blocks of."""
    return {name for name, _ in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))}


def written() -> str:
    """Return the page with the code of the module. Raises ValueError if a block's first line is not in its file."""
    page = PAGE.read_text(encoding="utf-8")
    left = {name: _parts(name, [code for other, code in _BLOCK.findall(page) if other == name]) for name in shown()}
    return _BLOCK.sub(lambda block: f'```ts title="{block[1]}"\n{left[block[1]].pop(0)}```', page)


def _parts(name: str, blocks: list[str]) -> list[str]:
    text = (MODULE / name).read_text(encoding="utf-8")
    begins = [text.index(block.partition("\n")[0] + "\n") for block in blocks]
    if begins != sorted({0, *begins}):
        raise ValueError(f"the blocks of {name} do not begin with the file, or are not in its order")
    return [text[begin:end].rstrip("\n") + "\n" for begin, end in zip(begins, [*begins[1:], None], strict=True)]


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
