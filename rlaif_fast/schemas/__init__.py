"""Row schemas: what the columns of a data set mean.

In comes a row as some data set has it, out the contract's fields (instruction, responses, id, human label) and what is
carried along. Imports nothing of the package but its errors. To add a schema, describe it in ``known``; a
spelling of labels, in ``human_labels``; a column that belongs to the question, in ``column_names``.
"""
