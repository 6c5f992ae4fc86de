"""The reference: PyTorch's answers in float32, what an export is held against. Imports ``sources`` and ``prompts``."""
