"""The runtime: token ids in, label logits out.

Prompts that begin alike are packed as one tree and read in one forward pass of an engine; memory, threads and the
choice of the engine are decided here. Imports ``bundle``. To add an engine, add a file to ``engines``.
"""
