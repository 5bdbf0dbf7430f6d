"""Ship a trained model: copy its file to `models/` and note its digest in `models/manifest.toml`.

python -m models.training.release --name perception --version 1 DIR/perception.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

MODELS = Path(__file__).parents[1]


def with_digest(manifest: str, name: str, *, sha256: str, version: str) -> str:
    """The manifest's text with another digest and version for one model.

    Raises:
        ValueError: The manifest names no such model.
    """
    tables = re.split(r"(?m)^(?=\[\[models\]\])", manifest)
    for number, table in enumerate(tables):
        if re.search(rf'(?m)^name = "{re.escape(name)}"$', table):
            table = re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{sha256}"', table)
            tables[number] = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', table)
            return "".join(tables)
    raise ValueError(f"the manifest names no model {name!r}: write its table first, with licence and training data")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    manifest = MODELS / "manifest.toml"
    digest = hashlib.sha256(given.file.read_bytes()).hexdigest()
    text = with_digest(manifest.read_text(), given.name, sha256=digest, version=given.version)
    target = MODELS / given.file.name
    if given.file.resolve() != target.resolve():
        shutil.copyfile(given.file, target)
    manifest.write_text(text)
    print(target.name, digest)


if __name__ == "__main__":
    main()
