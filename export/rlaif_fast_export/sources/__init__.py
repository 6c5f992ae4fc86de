"""Sources: a model by hub id, folder, ``.gguf`` file or the embedded default, checked and loaded.

In comes a name, out configuration, tokenizer and weights that are the files' own, or one line why not. To support a
family, add it to ``families`` and its keys to ``config_keys``. Imports nothing of the exporter's other rooms.
"""
