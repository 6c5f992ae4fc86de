"""Prompts: from an item to token ids.

In come items and a template (built in, from a file, with few-shot examples), out come the tokens of every prompt and
the ids of the label tokens. Imports ``rows`` and what that imports. To add a template, write it in ``built_in``.
"""
