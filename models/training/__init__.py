"""How the shape models and networks in `models/` were made; importable from a clone, never in the wheel."""
