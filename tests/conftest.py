"""What every test may ask for: real peers (`tests/peers.py`) and a real PostgreSQL (`tests/node_fixtures.py`)."""

import hypothesis

pytest_plugins = ["tests.peers", "tests.node_fixtures"]

# Examples are the same in every run; the machine's speed is no property of the product.
hypothesis.settings.register_profile("bonecraft", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bonecraft")
