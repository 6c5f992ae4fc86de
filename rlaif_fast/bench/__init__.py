"""Benchmarks: how fast a bundle judges, and how faithfully; what this machine can do (``tune``, ``doctor``).

In come pairs and a bundle, out come a report (JSON, Markdown, HTML), thresholds that were missed, an engine's name.
Imports ``judging`` and below; the reference runs in the exporter's half.
"""
