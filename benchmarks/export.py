"""Time, memory and disk of an export beside what a user would pick instead: ``python -m benchmarks.export``.

Every way begins from the model's Hugging Face folder (or GGUF file) with nothing made yet, in a process of its own, one
after the other; memory is the largest sum of the resident sets of a process and its children, ten times a second.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.figures import write
from benchmarks.machine import head, machine
from benchmarks.models import find_setup
from benchmarks.peers import ALL
from benchmarks.peers.base import Setup
from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.runtime.cpu import usable_cores

# What prepares something, and our own command.
PEERS = (
    "ort-fp32", "ort-int8", "openvino-int8", "openvino-int4-gptq", "ort-genai", "llamacpp-f32", "ctranslate2-int8",
)  # fmt: skip
OWN = {
    "rlaif-fast-fp32": ("--precision", "fp32"),
    "rlaif-fast-int8-fast": ("--precision", "int8", "--quality", "fast"),
    "rlaif-fast-int8": ("--precision", "int8", "--quality", "best"),
}
_PREPARE = """
import json, sys
from pathlib import Path
from benchmarks.peers import BY_NAME
from benchmarks.peers.base import Setup, Unavailable
peer = BY_NAME[sys.argv[1]]
if reason := peer.available():
    sys.exit(reason)
try:
    peer.prepare(Setup.from_dict(json.loads(sys.argv[2])))
except Unavailable as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Cost:
    """Of one export."""

    seconds: float
    peak_mb: float
    disk_mb: float


def measure(arguments: list[str], folder: Path, log: Path) -> Cost:
    """Run a command that fills ``folder``. Raises ClickException with its last line where it fails."""
    started, peak = time.perf_counter(), 0
    with log.open("wb") as said:
        process = subprocess.Popen(arguments, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, _family(process.pid))))
            time.sleep(0.1)
    seconds = time.perf_counter() - started
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise click.ClickException(lines[-1][:300])
    files = [file for file in folder.rglob("*") if file.is_file()]
    return Cost(seconds, peak / 1e6, sum(file.stat().st_size for file in files) / 1e6)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident(pid: int) -> int:
    """Bytes; 0 of a process that is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * 4096


def _arguments(name: str, setup: Setup, folder: Path) -> list[str]:
    if name in OWN:
        model = setup.model if setup.model == DEFAULT_MODEL else str(setup.folder)
        return [sys.executable, "-m", "rlaif_fast", "export", model, *OWN[name], "-o", str(folder / "bundle")]
    alone = replace(setup, cache=folder)
    return [sys.executable, "-c", _PREPARE, name, json.dumps(alone.to_dict())]


@click.command()
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="The embedded default or a Hugging Face folder."
)
@click.option("--peers", help=f"Names with commas between. [default: {','.join((*PEERS, *OWN))}]")
@click.option("--output", type=click.Path(path_type=Path), help="Write NAME.json and NAME.md.", metavar="NAME")
def main(model: str, peers: str | None, output: Path | None) -> None:
    """What it costs to make MODEL ready to judge."""
    names = [*PEERS, *OWN] if peers is None else [name.strip() for name in peers.split(",")]
    if unknown := [name for name in names if name not in (*PEERS, *OWN)]:
        raise click.UsageError(f"no peer {', '.join(unknown)}; there is {', '.join((*PEERS, *OWN))}")
    host, found, skipped = machine(usable_cores()), {}, {}
    with tempfile.TemporaryDirectory(prefix="rlaif-fast-export-") as made:
        try:
            setup, _ = find_setup(model, None, Path(made) / "model", usable_cores(), [])
        except RlaifFastError as error:
            raise click.ClickException(str(error)) from None
        for name in names:
            print(name, file=sys.stderr, flush=True)
            folder = Path(made) / name
            folder.mkdir()
            try:
                found[name] = vars(measure(_arguments(name, setup, folder), folder, Path(made) / f"{name}.log"))
            except click.ClickException as error:
                skipped[name] = error.message
            shutil.rmtree(folder)
    report = {
        **head(model, "benchmarks.export", host),
        "exports": found,
        "skipped": skipped,
    }
    page = markdown(report)
    if output is not None:
        write(output, report, page)
    click.echo(page)


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    host = report["machine"]
    lines = [
        f"# Exporting {report['model']}", "",
        f"{host['cpu']}, {host['cores']} cores, {', '.join(host['flags'])}; {report['date']}.",
        f"`{report['command']}`", "",
        "| | seconds | peak of memory, MB | disk, MB |", "| --- | ---: | ---: | ---: |",
    ]  # fmt: skip
    for name, cost in report["exports"].items():
        what = f"`export {' '.join(OWN[name])}`" if name in OWN else ALL[name].what
        lines.append(f"| {name}: {what} | {cost['seconds']:,.0f} | {cost['peak_mb']:,.0f} | {cost['disk_mb']:,.0f} |")
    lines += ["", *(f"Left out: {name}, {reason}." for name, reason in report["skipped"].items()), ""]
    lines += ["Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + "."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
