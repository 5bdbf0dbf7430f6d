"""What every test may ask for: real peers, a real PostgreSQL, the web door on a real port."""

from importlib.util import find_spec

import hypothesis

pytest_plugins = ["tests.peers", "tests.node_fixtures", "tests.ward", "tests.listening", "tests.viewer_api.fixtures"]

# Examples are the same in every run; the machine's speed is no property of the product.
hypothesis.settings.register_profile("bonecraft", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bonecraft")

# Networks are trained with PyTorch, which neither the product nor its tests need: `make test-training` installs it.
_HAS_TORCH = find_spec("torch") is not None
collect_ignore_glob = [] if _HAS_TORCH else ["training/with_torch/*"]


def pytest_report_header() -> str | None:
    """Say what is left out."""
    return None if _HAS_TORCH else "without PyTorch: tests/training/with_torch is for make test-training"
