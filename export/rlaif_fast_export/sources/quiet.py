"""Keep the libraries' own chatter off standard error; what matters is raised."""

from __future__ import annotations

import logging
import os
import warnings
from functools import partial


def quiet_libraries() -> None:
    """Errors only, no progress bars but the hub's downloads."""
    from tqdm import tqdm
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    gguf.tqdm = partial(tqdm, disable=True)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it reports each retry; the last one raises
    logging.getLogger("optimum").setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
