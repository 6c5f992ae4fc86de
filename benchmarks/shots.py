"""What worked examples cost a pair, baked or not: ``python -m benchmarks.shots PAIRS --exemplars ROWS``.

*Baked* is the bundle's prompt with the examples in its constant head. *Rendered* is the one without any, which is given
the same prompts, token for token: it computes the examples once a pair, for both orders. The cost is the processor's
time, which other work on the machine changes less than the time on the clock.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.compare import say
from benchmarks.figures import conditions, row, write
from benchmarks.machine import head, machine
from benchmarks.peers.base import Setup, Task
from benchmarks.peers.rlaif import RlaifFastIds
from benchmarks.workers import Worker, omp_wait_policy
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL, home
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.few_shot import read_labelled, with_exemplars, worked
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.packing import pack

SHOTS = (0, 1, 4, 8)


@dataclass
class Variant:
    """So many examples, given one way, and what was measured of it."""

    shots: int
    way: str
    worker: Worker
    tasks: list[dict[str, Any]]
    computed: list[int]  # tokens of each pair's tree
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    log_odds: list[list[float]] = field(default_factory=list)

    def judge(self, number: int) -> dict[str, Any]:
        """One pair, both orders."""
        return self.worker.ask("judge", **self.tasks[number])

    def figures(self) -> dict[str, Any]:
        """Of every pair and repeat."""
        return {
            "shots": self.shots,
            "way": self.way,
            "tokens_computed": float(np.mean(self.computed)),
            "median_ms": 1e3 * float(np.median(self.seconds)),
            "median_cpu_ms": 1e3 * float(np.median(self.cpu_seconds)),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "log_odds": self.log_odds,
        }


@click.command()
@click.argument("pairs_file", metavar="PAIRS")
@click.option("--exemplars", required=True, help="Rows with a person's label.")
@click.option("--limit", type=click.IntRange(min=1), default=6, show_default=True, help="The first N pairs.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Write NAME.json and NAME.md.", metavar="NAME")
def main(pairs_file: str, exemplars: str, limit: int, repeats: int, output: Path | None) -> None:
    """Time PAIRS with 0, 1, 4 and 8 worked examples, fp32, the embedded default; all variants take turns."""
    with open_pairs(pairs_file) as intake:
        pairs = list(islice(intake.pairs(), limit))
    host = {**machine(usable_cores()), "omp_wait_policy": omp_wait_policy()}
    templates = {shots: _template(exemplars, shots) for shots in SHOTS}
    bundle = _bundle(templates, exemplars)
    tokenizer = PromptTokenizer.from_file(bundle / "tokenizer.json")
    workers: dict[int, Worker] = {}
    try:
        for shots, template in templates.items():
            say(f"{shots} examples: loading")
            workers[shots] = Worker(RlaifFastIds.name, home() / "peers" / "logs" / f"shots-{shots}.log")
            workers[shots].ask("load", setup=_setup(bundle, template).to_dict())
        variants = [
            _variant(tokenizer, templates[shots], pairs, shots, way, workers[shots if way == "baked" else 0])
            for shots in SHOTS
            for way in ("baked", "rendered")[: 2 if shots else 1]
        ]
        _measure(variants, len(pairs), repeats)
    finally:
        for worker in workers.values():
            worker.kill()
    prompts = [len(ids) for task in variants[0].tasks for ids in task["prompts"]]
    report = {
        **head(DEFAULT_MODEL, "benchmarks.shots", host),
        "set": {"source": Path(pairs_file).name, "pairs": len(pairs), "mean_tokens": float(np.mean(prompts))},
        "repeats": repeats,
        "prefix": {shots: len(tokenizer.prefix_ids(template)) for shots, template in templates.items()},
        "variants": [variant.figures() for variant in variants],
    }
    page = markdown(report)
    if output is not None:
        write(output, report, page)
    click.echo(page)


def _template(exemplars: str, shots: int) -> Template:
    wording = BUILT_IN["summary"]
    return template_of(with_exemplars(wording, worked(read_labelled(exemplars, shots))) if shots else wording)


def _bundle(templates: dict[int, Template], exemplars: str) -> Path:
    """A bundle of its own, with a prompt for each of ``templates``."""
    folder = home() / "peers" / "shots-fp32"
    if not folder.exists():
        say("exporting")
        _run("export", DEFAULT_MODEL, "--precision", "fp32", "--template", templates[0].name, "-o", str(folder))
    there = [prompt.name for prompt in read_manifest(folder).prompts]
    for shots, template in templates.items():
        if template.name not in there:
            say(f"{shots} examples: adding the prompt")
            words = ["--template", templates[0].name, "--exemplars", exemplars, "--shots", str(shots)]
            _run("prompt", "add", str(folder), *words)
    return folder


def _run(*words: str) -> None:
    if subprocess.run([sys.executable, "-m", "rlaif_fast", *words], stdout=subprocess.DEVNULL).returncode:
        raise click.ClickException(f"rlaif-fast {words[0]} failed, see above")


def _setup(bundle: Path, template: Template) -> Setup:
    """What the bundle's peer reads of it: the folder, the prompt and the threads."""
    return Setup(
        model=DEFAULT_MODEL, folder=bundle, gguf=None, bundle=bundle, cache=home(), threads=usable_cores(),
        label_ids=(0, 0), prefix_ids=(), longest=0, template=template.name,
    )  # fmt: skip


def _variant(
    tokenizer: PromptTokenizer, template: Template, pairs: list[Pair], shots: int, way: str, worker: Worker
) -> Variant:
    tasks = []
    for pair in pairs:
        texts = [template.render(pair.instruction, a, b) for a, b in _orders(pair)]
        tasks.append(Task(pair, tokenizer.encode_many(texts)))
    prefix = tokenizer.prefix_ids(template if way == "baked" else BUILT_IN["summary"].template())
    computed = [pack(task.prompts, prefix).tokens for task in tasks]
    return Variant(shots, way, worker, [task.to_dict() for task in tasks], computed)


def _orders(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    return (pair.response_0, pair.response_1), (pair.response_1, pair.response_0)


def _measure(variants: list[Variant], pairs: int, repeats: int) -> None:
    """Every pair by every variant, ``repeats`` times; who goes first moves on."""
    for variant in variants:
        variant.judge(0)
    turns = [number for _ in range(repeats) for number in range(pairs)]
    for turn, number in enumerate(turns):
        first = turn % len(variants)
        for variant in [*variants[first:], *variants[:first]]:
            answer = variant.judge(number)
            variant.seconds.append(answer["seconds"])
            variant.cpu_seconds.append(answer["cpu_seconds"])
            variant.log_odds.append(answer["log_odds"])
        say(f"turn {turn + 1} of {len(turns)}")


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    found = {(variant["shots"], variant["way"]): variant for variant in report["variants"]}
    zero = found[0, "baked"]
    title = f"# {report['model']}, fp32: worked examples on {report['set']['pairs']} pairs of {report['set']['source']}"
    columns = ["examples", "way", "tokens baked", "tokens computed", "CPU ms a pair", "against none", "ms a pair"]
    out = [title, "", row([*columns, "largest difference"]), row(["---:", "---", *["---:"] * 6])]
    for (shots, way), variant in found.items():
        difference = np.abs(np.array(variant["log_odds"]) - np.array(found[shots, "baked"]["log_odds"])).max()
        out.append(row([
            str(shots), way if shots else "", f"{report['prefix'][shots if way == 'baked' else 0]:,}",
            f"{variant['tokens_computed']:,.0f}", f"{variant['median_cpu_ms']:,.0f}",
            f"{variant['median_cpu_ms'] / zero['median_cpu_ms']:.2f}", f"{variant['median_ms']:,.0f}",
            f"{difference:.1e}" if way == "rendered" else "",
        ]))  # fmt: skip
    out += [
        "",
        f"Medians of a pair in both orders, {report['repeats']} times each, all variants by turns. *Baked*: the",
        "examples are in the prompt's constant head. *Rendered*: the prompt without examples is given the same texts,",
        "token for token, and computes the examples once a pair, for both orders; the difference is of the two ways'",
        "log-odds. Tokenizing is not in the times.",
    ]
    return "\n".join([*out, *conditions(report)])


if __name__ == "__main__":
    main()
