"""The exporter: from a causal language model to a bundle. Needs PyTorch; the runtime never imports it.

``exporter`` goes through the rooms in this order: ``sources`` (find, read, check a model), ``prompts`` (fit a template
to it), ``reference`` (PyTorch's answers), ``graph`` (a trace of leaves), ``int8`` (calibrate, round, choose),
``passes`` (the bundle's graph), ``writing`` (its manifest and its place).
"""
