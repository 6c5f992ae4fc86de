"""The graph of leaves: a model traced into nodes that name its modules, and its weights one tensor at a time."""
