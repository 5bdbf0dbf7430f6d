"""The stages of a reconstruction, each a pure function from values to values."""
