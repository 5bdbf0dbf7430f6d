"""Names what the system lacks, with the one apt line that brings it, before anything is installed."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import sys

APT_LINE = "sudo apt-get install git make python3-venv libegl1 libgl1 libx11-6 libusb-1.0-0"
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libusb-1.0.so.0": "libusb-1.0-0",
}
"""Shared libraries that Open3D links, and the Debian packages that hold them."""


def missing() -> list[str]:
    """Debian packages that are not there."""
    absent = [tool for tool in ("git", "make") if shutil.which(tool) is None]
    if importlib.util.find_spec("ensurepip") is None:
        absent.append("python3-venv")
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            absent.append(package)
    return absent


def main() -> int:
    """Print what is missing; 0 when nothing is."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python there is runs this first
        print(f"Bonecraft needs Python 3.11 or later; this is {sys.version.split()[0]} (make PYTHON=python3.11 …)")  # noqa: T201
        return 1
    absent = missing()
    if absent:
        print(f"missing on this machine: {', '.join(absent)}\n  {APT_LINE}")  # noqa: T201
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
