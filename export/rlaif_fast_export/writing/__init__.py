"""Writing: the manifest of a finished graph, and the folder moved to its place."""
