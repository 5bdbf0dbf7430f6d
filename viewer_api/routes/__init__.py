"""The web door's routes, one module per noun: they translate between HTTP and the house, and decide nothing."""
