"""The house: domain values, reconstruction, records; both doors (`scp_node`, `viewer_api`) build on it."""
