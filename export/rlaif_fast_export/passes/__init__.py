"""Graph passes, one a file: from a graph of leaves to the bundle's graph. Imports ``graph`` and ``int8``."""
