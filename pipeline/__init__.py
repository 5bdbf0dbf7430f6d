"""The house: domain values, reconstruction, records; both doors (`scp_node`, `viewer_api`) build on it."""

import os

# ONNX Runtime notes usage and a device's identity in the home folder and reports them to its maker, from the moment of
# its import. Nothing leaves a hospital's network unasked, so it is told before anybody here can import it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
