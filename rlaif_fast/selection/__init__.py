"""Selection: which prompt judges a user's own pairs best.

In come labelled pairs and a bundle, out come a report of what was tried, a recommendation where there is one, and a
profile that ``judge`` reads. Imports ``evaluation`` and the rooms before it. docs/select.md says how it decides.
"""
