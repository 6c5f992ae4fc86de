"""From a row as some data set has it to the contract's row: instruction, response_0, response_1, maybe id.

::

    kinds      the usual shapes of pairs, and which one a row has
    mapping    the shape that --fields names
    shape      what a shape is; what of a row was used, shown and carried
    context    columns beside the instruction that belong to the question
    asked      question and responses told apart, each shown once
    messages   a conversation's turns, and as text
    contents   what one message says: parts, thoughts, calls of tools
    frames     prompts that responses repeat in a template
    words      what data sets call the parts of a question
    cells      lists and objects that stand as text in a cell
"""

from rlaif_fast.shapes.kinds import OWN, TRL, listed, recognise
from rlaif_fast.shapes.mapping import shape_of_fields
from rlaif_fast.shapes.shape import NAMES, Row, Shape, Taken

__all__ = ["NAMES", "OWN", "TRL", "Row", "Shape", "Taken", "listed", "recognise", "shape_of_fields"]
