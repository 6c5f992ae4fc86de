"""The model card of a published bundle: its README.md on the hub, made from the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import BundlePrompt
from rlaif_fast.prompts.kinds import FOR_PAIRS
from rlaif_fast.reports.tables import Table

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")  # as the hub lists them; another text is a licence's name
_IN_FULL = {"int8": "8-bit integers", "fp32": "float32"}


def model_card(manifest: Manifest, repository: str, speed: str = "") -> str:
    """README.md of the bundle, as Markdown with the hub's front matter.

    Args:
        repository: where it will be, ``owner/name``.
        speed: Markdown that says how fast it is and where that was measured; empty where nobody measured.
    """
    parts = [_front_matter(manifest), *_introduction(manifest, repository), *_fidelity(manifest)]
    if speed:
        parts += ["## Speed", speed]
    return "\n\n".join([*parts, *_origin(manifest)]) + "\n"


def _front_matter(manifest: Manifest) -> str:
    licence, model = manifest.model.licence, manifest.model.id
    found: dict[str, object] = {"library_name": "rlaif-fast"}
    if licence is not None and _LICENCE_ID.fullmatch(licence):
        found["license"] = licence
    elif licence is not None:
        found |= {"license": "other", "license_name": licence}
    if _HUB_ID.fullmatch(model):
        found["base_model"] = model
        if manifest.precision == "int8":
            found["base_model_relation"] = "quantized"
    found["tags"] = ["rlaif-fast", "rlaif", "llm-as-a-judge", "preference", "onnx", manifest.precision]
    # JSON's strings and lists are YAML's.
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in found.items()), "---"])


def _introduction(manifest: Manifest, repository: str) -> Iterator[str]:
    model = manifest.model
    reads = "two responses to one instruction and answers with the logits of the labels"
    if manifest.is_reward_model:
        reads = "one response to an instruction and answers with its reward"
    elif manifest.by_rewards:
        reads = "one response to an instruction and answers with the logits of the labels"
    yield f"# {model.id} as a preference judge, {manifest.precision}"
    yield (
        f"[rlaif-fast](https://pypi.org/project/rlaif-fast/) made this *bundle* of {model.id} ({model.architecture},"
        f" {model.parameters / 1e6:,.1f} M parameters): a graph for ONNX Runtime that reads {reads}, its"
        f" tokenizer, and its prompts. It computes in {_IN_FULL[manifest.precision]} on a CPU, without PyTorch."
        " It holds no Python code and no pickle, and it generates no text."
    )
    yield "## How to use it"
    yield (
        "    pip install rlaif-fast\n"
        f"    rlaif-fast judge pairs.jsonl -b {repository} -o verdicts.jsonl\n\n"
        "`pairs.jsonl` has one JSON object a line with `instruction`, `response_0` and `response_1`. In Python:"
    )
    yield (
        "```python\n"
        "from rlaif_fast import Judge, Pair\n\n"
        f"judge = Judge.load({json.dumps(repository)})\n"
        'verdict = judge.judge(Pair("Name a prime number.", "Seven.", "Nine."))\n'
        "print(verdict.p1)  # the probability that the first response is preferred\n"
        "```"
    )
    yield (
        f"`-b {repository}@COMMIT` pins one commit. Every file is compared with the sha256 in `manifest.json`"
        f" before it is used. A prompt takes {manifest.maximum_length:,} tokens at most."
    )


def _fidelity(manifest: Manifest) -> Iterator[str]:
    rows = [_fidelity_row(prompt) for prompt in manifest.prompts]
    columns = ["judges", "mean", "p99", "largest", "labels that differ", "on"]
    yield "## Prompts, and how faithful it is through each"
    yield (
        "The difference to PyTorch in float32 on the model's own weights, measured when the bundle was made: in"
        " log-odds of p1 for pairs, in score for single responses. The first prompt is the default, `--template NAME`"
        " takes another."
    )
    yield "\n".join(Table("prompt", columns, rows).to_markdown()).rstrip()


def _fidelity_row(prompt: BundlePrompt) -> list[str]:
    of = prompt.fidelity
    kind = "pairs" if isinstance(prompt.template, FOR_PAIRS) else "single responses"
    figures = (f"{of.mean:.2g}", f"{of.p99:.2g}", f"{of.max:.2g}", f"{100 * of.flips:.1f} %")
    return [f"`{prompt.name}`", kind, *figures, of.prompts]


def _origin(manifest: Manifest) -> Iterator[str]:
    model = manifest.model
    revision = f" at revision `{model.revision}`" if model.revision else ""
    licence = f"licence: {model.licence}" if model.licence else "the licence is not stated there: ask its authors"
    yield "## Origin and licence"
    yield f"The weights are those of {model.id}{revision} ({licence}). The bundle is a derived work of that model."
    made = ", ".join(f"{name} {version}" for name, version in sorted(manifest.tools.items()))
    yield f"Made with {made}."
