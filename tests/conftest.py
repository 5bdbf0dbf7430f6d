"""What every test may ask for: real peers, a real PostgreSQL, the web door on a real port."""

import hypothesis

pytest_plugins = ["tests.peers", "tests.node_fixtures", "tests.listening", "tests.viewer_api.fixtures"]

# Examples are the same in every run; the machine's speed is no property of the product.
hypothesis.settings.register_profile("bonecraft", deadline=None, derandomize=True)
hypothesis.settings.load_profile("bonecraft")
