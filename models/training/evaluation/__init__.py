"""How far reconstructions are from the truth: studies of people whom no model saw, through the product's whole road."""
