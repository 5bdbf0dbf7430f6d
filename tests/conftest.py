"""What every test may ask for: real peers (`tests/peers.py`)."""

pytest_plugins = ["tests.peers"]
