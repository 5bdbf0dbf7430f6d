"""The node's memory: the only place that speaks SQL (with `pipeline.migrations`).

`tables` says what is remembered; each sibling module holds the questions of one noun (instances, studies, ...).
Every function takes an open `sqlalchemy.Connection` first; whoever opens the transaction owns its commit.
"""
