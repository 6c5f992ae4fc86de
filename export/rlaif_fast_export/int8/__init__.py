"""Int8: calibrate on prompts, round with error compensation, choose which products pay. Imports ``graph``."""
