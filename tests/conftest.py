"""What every test may ask for: real peers (`tests/peers.py`) and a real PostgreSQL (`tests/node_fixtures.py`)."""

pytest_plugins = ["tests.peers", "tests.node_fixtures"]
