"""``rlaif-fast list``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rlaif_fast.bundle.cache import Entry


_WIDE = 1000  # characters: a name is copied from the table, so it is not folded on a narrow terminal


@dataclass(frozen=True)
class Listed:
    """A bundle at hand; ``asdict`` of it is the JSON.

    Attributes:
        name: what ``-b`` takes.
        kind: ``judge``, or ``reward model``.
        default: whether it is what commands take without ``-b``.
        bytes: on the disk.
        prompts: see :attr:`Manifest.prompts_by_kind`.
        engine: what ``--engine auto`` takes on this machine.
        judged_by: name of the bundle that it takes: maybe the float32 one of the same model.
        tuned: whether that was measured; else it is what every bundle begins with.
        lacking: files that are missing or cut off, in words; it cannot judge then.
    """

    name: str
    kind: str
    model: str
    default: bool
    precision: str
    bytes: int
    prompts: dict[str, list[str]]
    engine: str
    judged_by: str
    tuned: bool
    folder: str
    lacking: list[str]


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes are in bytes.")
def list_(as_json: bool) -> None:
    """The bundles at hand, as -b takes them: kind, precision, size on disk, engine chosen, prompts.

    They are those of the cache folder, exported or downloaded. `prompt list` shows all prompts of one, `cache list`
    what else is in that folder and can be removed.
    """
    from rlaif_fast.bundle import cache
    from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle
    from rlaif_fast.reports.terminal import say

    entries = cache.entries()
    found = [_listed(entry) for entry in entries if _is_bundle(entry)]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    if found:
        _print(found)
    if default_bundle() is None:
        say(f"the embedded default, {DEFAULT_MODEL}, is not exported yet; the first `rlaif-fast judge` does it")
    if spoilt := [entry.name for entry in entries if entry.kind in ("damaged", "leftover")]:
        say(f"not listed: {', '.join(spoilt)} (damaged or left over, see `rlaif-fast cache list`)")


def _is_bundle(entry: Entry) -> bool:
    """Whether it can be read as one; a link may lead to one."""
    from rlaif_fast.bundle.manifest import MANIFEST

    if entry.kind == "link":
        return (entry.path / MANIFEST).is_file()
    return entry.kind in ("bundle", "download", "incomplete")


def _listed(entry: Entry) -> Listed:
    from rlaif_fast.bundle.folder import lacking, read_manifest
    from rlaif_fast.bundle.home import default_bundle, name_of
    from rlaif_fast.bundle.hub import published_name
    from rlaif_fast.runtime.engine_choice import remembered
    from rlaif_fast.runtime.engines import DEFAULT

    manifest, table = read_manifest(entry.path), remembered(entry.path)
    judged_by, tuned = entry.name, table is not None and table.choice.ms is not None
    if table is not None and Path(table.choice.folder) != entry.path.resolve():
        judged_by = published_name(Path(table.choice.folder)) or name_of(Path(table.choice.folder))
    return Listed(
        entry.name, "reward model" if manifest.is_reward_model else "judge", manifest.model.id,
        entry.path == default_bundle(), manifest.precision, entry.bytes, manifest.prompts_by_kind,
        DEFAULT if table is None else table.choice.engine, judged_by, tuned, str(entry.path),
        lacking(entry.path, manifest) if entry.kind == "incomplete" else [],
    )  # fmt: skip


def _print(found: list[Listed]) -> None:
    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import Table

    rows = [
        [f"{one.name}{' *' if one.default else ''}", one.kind, one.precision, f"{one.bytes / 1e6:,.1f}", _engine(one),
         _prompts(one)]
        for one in found
    ]  # fmt: skip
    console = stdout()
    console.width = _WIDE
    columns = ["kind", "precision", "MB", "engine", "prompts"]
    console.print(Table("bundle", columns, rows).printed(), soft_wrap=True)
    if any(one.default for one in found):
        console.print("* what is taken without -b", style="dim")
    if any(one.lacking for one in found):
        console.print(
            "incomplete: cannot judge; export or download it again after `rlaif-fast cache remove BUNDLE`", style="dim",
            soft_wrap=True,
        )  # fmt: skip
    if not all(one.tuned or one.lacking for one in found):
        console.print(
            "not tuned: `rlaif-fast tune BUNDLE` finds the fastest engine on this machine", style="dim", soft_wrap=True
        )


def _prompts(one: Listed) -> str:
    first, *others = [name for names in one.prompts.values() for name in names]
    return f"{first} and {len(others)} more" if others else first


def _engine(one: Listed) -> str:
    """What judges, in a few words, or why nothing does."""
    if one.lacking:
        return f"incomplete: {', '.join(one.lacking)}"
    if not one.tuned:
        return f"{one.engine}, not tuned"
    return one.engine if one.judged_by == one.name else f"{one.engine} on {one.judged_by}"
