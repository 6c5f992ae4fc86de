"""Files: rows in, rows out, and runs that can be resumed.

In comes a path or a pipe, out its rows as they are, each with its place; results go back through a journal into a file
that is whole or not there. Imports nothing of the package but its errors. To add an input format, write its reader
and name it in ``opening``; an output format is in ``writing``.
"""
