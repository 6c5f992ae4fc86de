"""Int8 that keeps the verdicts: what to observe, how to round, and which products deserve more than 8 bits."""
