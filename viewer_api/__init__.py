"""The web door: each institution's small authenticated viewer."""
