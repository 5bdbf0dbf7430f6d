"""No library that the product loads keeps or reports how it is used."""

from __future__ import annotations

import os
import subprocess
import sys

LOAD_EVERYTHING = "import pipeline.weights, pipeline.study, open3d, onnxruntime, time; time.sleep(1)"


def test_loading_the_models_writes_nothing_into_the_home_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", LOAD_EVERYTHING], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
