"""Row schemas: what the columns of a data set mean.

In comes a row as some data set has it, out the contract's fields (instruction, responses, id, human label) and what is
carried along. Imports nothing of the package but its errors. To add a schema, describe it in ``known``; a
spelling of labels, in ``human_labels``; a column that belongs to the question, in ``column_names``.
"""

from rlaif_fast.schemas.field_mapping import field_mapping
from rlaif_fast.schemas.known import OWN, TRL, listed, recognise
from rlaif_fast.schemas.schema import NAMES, Row, RowSchema, Taken

__all__ = ["NAMES", "OWN", "TRL", "Row", "RowSchema", "Taken", "field_mapping", "listed", "recognise"]
