"""Other processors: does an int8 bundle exported on this one answer the same there?

::

    python -m tests.cpus                                         # every class, every tiny family, the default
    python -m tests.cpus x86-avx2 --family llama phi --no-default --keep FOLDER
    python -m tests.cpus --bundle FOLDER --probes 8              # one that is there already, on all its probes

Emulated by qemu-user, so what is computed can be told, not how fast. Status 1 where a bundle's answers are on
average more than 0.01 in log-odds from those stored in its manifest, or one more than 0.05; 2 where something must be
installed first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.manifest import WEIGHTS
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.runtime.selftest import differences
from tests.cpus import bundles
from tests.cpus.answers import shortest
from tests.cpus.emulated import CLASSES, PROJECT, Kind, MissingTool, command, require

LIMIT = 0.01  # log-odds, mean: sums of float32 in another order, and now and then a value rounded to the next int8
WORST = 0.05  # of one answer: more is no last bit
_PROBES = 2  # of a bundle, the shortest: a tiny model's takes seconds, a real one's (_LARGE) minutes
_LARGE = 32 << 20  # bytes of weights
_ROW = "{:<11} {:<34} {:>6} {:>11} {:>9} {:>17} {:>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    asked = _parsed(arguments)
    kinds = {name: CLASSES[name] for name in asked.classes or CLASSES}
    try:
        require(list(kinds.values()))
        with _folder(asked.keep) as state:
            folders = list(_wanted(asked, state))
            print(_ROW.format("class", "bundle", "probes", "mean |diff|", "max", "error to PyTorch", "seconds"))
            offenders = [
                line for name, kind in kinds.items() for line in _compared(name, kind, folders, state, asked.probes)
            ]
    except (MissingTool, RlaifFastError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, MissingTool) else 1
    for line in offenders:
        print(line, file=sys.stderr)
    return 1 if offenders else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    shown = "\n".join(f"  {name:<11} {kind.what}" for name, kind in CLASSES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.cpus", description=f"{__doc__}\nClasses:\n\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("classes", nargs="*", metavar="CLASS", help="default: all")
    parser.add_argument("--family", nargs="+", metavar="NAME", help="tiny models of tests/families.py; default: all")
    parser.add_argument("--bundle", nargs="+", type=Path, metavar="FOLDER", help="check these and export none")
    parser.add_argument(
        "--probes", type=int, metavar="N", help="of each bundle, the shortest; default: 2, or 1 if large"
    )
    parser.add_argument("--no-default", action="store_true", help="without the embedded default model")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the emulated system and the bundles, reused")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.classes if name not in CLASSES]:
        parser.error(f"no class {unknown[0]}; there are {', '.join(CLASSES)}")
    if (asked.family or not asked.bundle) and (known := bundles.families()):
        if unknown := [name for name in asked.family or () if name not in known]:
            parser.error(f"no family {unknown[0]}; there are {', '.join(known)}")
        asked.family = asked.family or known
    return asked


def _wanted(asked: argparse.Namespace, state: Path) -> Iterator[Path]:
    yield from bundles.tiny(asked.family or (), state)
    yield from (folder.resolve() for folder in asked.bundle or ())
    if not asked.bundle and not asked.no_default:
        yield bundles.default(state)


def _compared(name: str, kind: Kind, folders: Iterable[Path], state: Path, probes: int | None) -> Iterator[str]:
    """Prints a row a bundle, as it comes; a line for everything that is not as it should be."""
    interpreter, environment = command(kind, state)
    for limit, left in _by_size(folders, probes).items():
        while left:
            run = [*interpreter, "-m", "tests.cpus.answers", str(limit), *map(str, left)]
            with (
                tempfile.TemporaryFile("w+") as messages,
                subprocess.Popen(
                    run, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=messages, text=True
                ) as process,
            ):
                for line in process.stdout or ():
                    yield from _row(name, left.pop(0), limit, json.loads(line))
                if left:  # a crash; go on behind the bundle that it came with
                    status = process.wait()
                    messages.seek(0)
                    said = messages.read().strip().splitlines() or ["nothing said"]
                    yield f"{name}, {left.pop(0).name}: ended with status {status} ({said[-1]})"


def _row(name: str, folder: Path, limit: int, found: dict[str, Any]) -> Iterator[str]:
    if "error" in found:
        print(_ROW.format(name, folder.name[-34:], *["-"] * 5), flush=True)
        yield f"{name}, {folder.name}: {found['error']}"
        return
    probes, answers = shortest(read_manifest(folder).prompt.probes, limit), found["answers"]
    moved = differences(answers, [probe.answer for probe in probes])
    error = differences(answers, [probe.reference for probe in probes])
    mean, worst = _mean(moved), max(moved)
    figures = (f"{mean:.5f}", f"{worst:.5f}", f"{_mean(error):.4f}", f"{found['seconds']:.1f}")
    print(_ROW.format(name, folder.name[-34:], len(probes), *figures), flush=True)
    if not mean <= LIMIT:  # a NaN is beyond it as well
        yield f"{name}, {folder.name}: answers differ by {mean:.2g} in log-odds on average (limit {LIMIT})"
    if not worst <= WORST:
        yield f"{name}, {folder.name}: one answer differs by {worst:.2g} in log-odds (limit {WORST})"


def _by_size(folders: Iterable[Path], probes: int | None) -> dict[int, list[Path]]:
    """Number of probes to try -> the bundles."""
    found: dict[int, list[Path]] = {}
    for folder in folders:
        large = read_manifest(folder).files[WEIGHTS].bytes > _LARGE
        found.setdefault(probes or (1 if large else _PROBES), []).append(folder)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Where everything is made: the user's, or one that is gone afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="cpus-") as folder:
        yield Path(folder).resolve()


if __name__ == "__main__":
    sys.exit(main())
