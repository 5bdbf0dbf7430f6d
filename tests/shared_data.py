"""Real bones and radiographs, no part of the project: where BONECRAFT_SHARED_DATA says, or beside the clone."""

import os
from pathlib import Path

DATA = Path(os.environ.get("BONECRAFT_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
BONES = DATA / "bones.csv"
"""Lists the bone collection."""
