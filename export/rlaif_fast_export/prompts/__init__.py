"""Prompts: a template fitted to a model.

Its chat template, its label tokens, and token ids that all have a row. Imports ``sources``.
"""
