"""Weights, shape models and their cards; `models.training` holds how they were made. Never in the wheel."""
