"""A bundle behind HTTP (docs/serve.md): requests in, the rows of ``judge``, ``score`` and ``rank`` out.

A request goes through ``access`` (who may ask), ``app`` (routes, limits, what an error is in HTTP), ``bodies`` (rows,
read as those of files) and ``worker``, whose one thread runs the passes, for the requests of one ``lane`` together.
Needs the extra ``serve``.
"""
