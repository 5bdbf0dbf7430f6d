"""Writes docs/settings.md from `pipeline/settings.py`: `python -m tests.settings_page`."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from pipeline.settings import NodeSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """# Settings of a node

<!-- Written by `python -m tests.settings_page` from pipeline/settings.py; a test compares them. -->

What a process needs to know before it can reach its database. Each setting is looked for in the environment
(`BONECRAFT_` and its name in capitals), then in a file of that name in `/run/secrets` (`bonecraft_database_url`), then
in `node.toml` (`bonecraft serve --config node.toml`), then it has its default. A name that is not known stops the node.

Institutions, peers, sources, rules and users are no settings but data: [administrators.md](administrators.md) says how
they are set.

| setting | default | what it means |
|---|---|---|
"""


def settings_page() -> str:
    """The whole page."""
    meanings = _meanings()
    return HEAD + "".join(
        f"| `{name}` | {_default(field.default)} | {meanings[name]} |\n"
        for name, field in NodeSettings.model_fields.items()
    )


def _default(value: object) -> str:
    return "" if value in (None, "") else f"`{value}`"


def _meanings() -> dict[str, str]:
    """The sentence below each field."""
    (body,) = ast.parse(inspect.getsource(NodeSettings)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(below.value)).replace("\n", " ")
    return found


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
