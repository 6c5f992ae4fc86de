"""The float32 bundle of the model that an int8 bundle is of: exact, and what an engine that rounds begins from."""

from __future__ import annotations

from pathlib import Path

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import bundle_folder
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import BundleError


def companion(folder: Path, manifest: Manifest) -> Path:
    """Where the float32 bundle of an int8 one is: beside it, or in the cache folder. Raises BundleError."""
    name = folder.resolve().name
    beside = folder.with_name(name.removesuffix("-int8") + "-fp32")
    cached = bundle_folder(manifest.model.id, "fp32", manifest.model.revision)
    for path in (beside, cached, bundle_folder(manifest.model.id, "fp32")):
        if path.is_dir():
            return path
    place = "" if folder.resolve().parent == cached.parent.resolve() else f" -o {beside}"
    raise BundleError(
        f"{manifest.name}: --exact needs the float32 bundle of the same model too; to make it: rlaif-fast export"
        f" {manifest.model.id} --precision fp32{place}"
    )


def float32_of(folder: Path, manifest: Manifest) -> tuple[Path, Manifest] | None:
    """The companion of an int8 bundle, and its manifest seen through the same prompt.

    None where there is none, or it is another judge's.
    """
    if manifest.precision != "int8":
        return None
    try:
        beside = companion(folder, manifest)
        found = read_manifest(beside).through(manifest.prompt.name)
    except BundleError:
        return None
    return (beside, found) if same_judge(manifest, found) else None


def same_judge(a: Manifest, b: Manifest) -> bool:
    """Whether two manifests are of one model and prompt, whatever their precision."""
    p, q = a.prompt, b.prompt
    both = {(probe.instruction, probe.response_0): probe.reference for probe in q.probes}
    known = [(probe.reference, both.get((probe.instruction, probe.response_0))) for probe in p.probes]
    return (
        p.template == q.template
        and p.label_ids == q.label_ids
        and p.prefix_ids == q.prefix_ids
        and any(there is not None for _, there in known)
        and all(
            there is None or max(abs(x - y) for x, y in zip(here, there, strict=True)) < 1e-3 for here, there in known
        )
    )
