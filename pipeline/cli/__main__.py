"""`python -m pipeline.cli`: the same as `bonecraft`, for processes that start others with their own interpreter."""

from pipeline.cli import main

main()
