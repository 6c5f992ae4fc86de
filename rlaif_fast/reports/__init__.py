"""How results are shown: text on a terminal, tables, plots as SVG, self-contained pages.

In come figures and texts, out goes what people see. Imports nothing of the package but its errors.
"""
