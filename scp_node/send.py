"""C-STORE from the command line: `python -m scp_node.send --to AE@host:port FILE…`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.errors import BonecraftError, ConfigurationError, InputError
from scp_node.peer import Target
from scp_node.sending import OutgoingFile, send_files
from scp_node.tls_options import add_tls_options, over_tls


def main() -> None:
    """Command line; exit 0: all stored, 1: some not, 2: wrong arguments or files, 75: no association."""
    parser = argparse.ArgumentParser(prog="bonecraft send", description="Send DICOM files by C-STORE.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="DICOM files, or folders of them")
    parser.add_argument("--to", required=True, metavar="AE@host:port", help="the peer")
    parser.add_argument("--from", dest="calling", default=DEFAULT_AE_TITLE, help="our AE title (default %(default)s)")
    add_tls_options(parser)
    given = parser.parse_args()
    try:
        target = over_tls(Target.parse(given.to), given)
        files = [OutgoingFile.read(path) for path in _files(given.paths)]
        stored = _send(files, target, given.calling)
    except BonecraftError as error:
        sys.stderr.write(f"bonecraft: {error}\n")
        sys.exit(2 if isinstance(error, InputError | ConfigurationError) else 75)
    sys.exit(0 if stored == len(files) else 1)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(file for file in path.rglob("*.dcm") if file.is_file()) if path.is_dir() else [path]


def _send(files: list[OutgoingFile], target: Target, calling: str) -> int:
    """Send, telling each file's fate; gives the number stored."""
    stored = 0
    for outcome in send_files(files, target, calling=calling):
        stored += not outcome.problem
        sys.stdout.write(f"{'stored' if not outcome.problem else 'FAILED'}  {outcome.file.path}\n")
        if outcome.problem:
            sys.stderr.write(f"bonecraft: {outcome.problem}\n")
    sys.stdout.write(f"{stored} of {len(files)} stored by {target}\n")
    return stored


if __name__ == "__main__":
    main()
