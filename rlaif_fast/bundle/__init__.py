"""Bundles: what ``export`` wrote, read back and checked.

In comes a folder or an exported model's id, out a manifest, a graph and a tokenizer that are what the digests say and
nothing that runs code. Imports ``prompts`` for the templates in the manifest.
"""
