"""Can this machine judge? Looks, and says what it found with what to do about it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rlaif_fast.bundle import cache
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.home import DEFAULT_MODEL, bundle_folder, default_bundle, find_bundle, home
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.runtime import cgroup, cpu, memory, processor, selftest
from rlaif_fast.runtime.forward import of_longest
from rlaif_fast.version import __version__
from rlaif_fast.wording import counted

State = Literal["ok", "warning", "broken"]
_RUNTIME = ("onnxruntime", "tokenizers", "numpy")
# Extra -> a package of it that nothing else brings, and what it is for.
_EXTRAS = {"export": ("torch", "to export models"), "formats": ("pyarrow", "Parquet, datasets folders, zstd")}
_BUSY = "others keep the machine busy: judging takes longer, and gives way"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``advice`` is empty where there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine(bundle: str | None) -> Iterator[Finding]:
    """Everything, in the order people read it; ``bundle`` as commands take it, None for the embedded default."""
    folder = default_bundle() or bundle_folder(DEFAULT_MODEL) if bundle is None else find_bundle(bundle)
    yield from _versions()
    yield _processor()
    yield _threads()
    yield _cache()
    try:
        opened = Bundle(folder)
        opened.check_files()
    except RlaifFastError as error:
        missing = bundle is None and not folder.exists()
        yield _memory(None)
        yield _no_default(folder) if missing else Finding("bundle", "broken", str(error))
        return
    enough = _memory(opened)
    yield enough
    more = len(opened.manifest.prompts) - 1
    others = f", {counted(more, 'more prompt')}" if more else ""
    yield Finding("bundle", "ok", f"{opened.manifest.name}{others}, digests match, {folder}")
    if enough.state != "broken":
        yield _self_test(opened)


def worst(findings: list[Finding]) -> State:
    """ "broken" if anything is, else "warning" if anything is."""
    states = {finding.state for finding in findings}
    return "broken" if "broken" in states else "warning" if "warning" in states else "ok"


def _versions() -> Iterator[Finding]:
    yield Finding("rlaif-fast", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()}")
    for package in _RUNTIME:
        found = _version(package)
        advice = f"pip install {package}"
        yield Finding(package, "ok", found) if found else Finding(package, "broken", "not installed", advice)
    for extra, (package, purpose) in _EXTRAS.items():
        found = _version(package)
        said = f"installed ({package} {found})" if found else f"not installed: pip install 'rlaif-fast[{extra}]'"
        yield Finding(f"extra {extra}", "ok", f"{said}, {purpose}")


def _processor() -> Finding:
    has = processor.features()
    if has is None:
        return Finding("processor", "ok", f"{processor.name()}; what it can do is not told here")
    found = f"{processor.name()}; " + ", ".join(f"{title} {'yes' if there else 'no'}" for title, there in has.items())
    if has.get("AVX2") is False:
        return Finding("processor", "warning", found, "without AVX2 judging is many times slower")
    if not processor.int8_is_fast(has):
        found += "; int8 gains little here but memory"
    return Finding("processor", "ok", found)


def _threads() -> Finding:
    quota = cgroup.cpu_quota()
    granted = "no quota" if quota is None else f"a quota of {quota:g}"
    found = (
        f"{cpu.usable_cores()} used by default: {cpu.physical_cores()} physical cores within an affinity of"
        f" {counted(len(cpu.affinity()), 'processor')}, {granted}"
    )
    return Finding("threads", "warning", found, _BUSY) if cpu.busy() else Finding("threads", "ok", found)


def _memory(bundle: Bundle | None) -> Finding:
    """Against what the bundle takes with a pair as long as its context allows."""
    left, total = memory.left(), memory.total()
    if left is None:
        return Finding("memory", "ok", "not told here")
    found = f"{_gb(left)} left" + ("" if total is None else f" of {_gb(total)}")
    if bundle is None:
        return Finding("memory", "ok", found)
    manifest = bundle.manifest
    start = memory.of_bundle(manifest)
    longest = start + of_longest(bundle)
    found += (
        f"; the bundle takes about {_gb(start)}, {_gb(longest)} with a prompt of {manifest.maximum_length:,} tokens"
    )
    if left < start:
        return Finding("memory", "broken", found, "close other programs, or take a smaller or an int8 model")
    if left < longest:
        return Finding("memory", "warning", found, "long prompts will not fit: judge shorter rows")
    return Finding("memory", "ok", found)


def _cache() -> Finding:
    held = cache.entries()
    if not held:
        return Finding("cache folder", "ok", f"{home()}, empty")
    bundles = sum(entry.kind in ("bundle", "download", "link") for entry in held)
    size = _gb(sum(entry.bytes for entry in held))
    found = f"{home()}: {size}, {counted(bundles, 'bundle')} (rlaif-fast cache list shows all)"
    spoilt = [entry.name for entry in held if entry.kind in ("damaged", "leftover")]
    if spoilt:
        return Finding("cache folder", "warning", found, f"rlaif-fast cache remove {' '.join(spoilt)}")
    return Finding("cache folder", "ok", found)


def _no_default(folder: Path) -> Finding:
    found, command = f"the default is not exported yet: {folder}", f"rlaif-fast export {DEFAULT_MODEL}"
    if _version("torch"):
        return Finding("bundle", "warning", found, f"the first judge does it, or {command}")
    return Finding("bundle", "broken", found, f"pip install 'rlaif-fast[export]', then {command}")


def _self_test(bundle: Bundle) -> Finding:
    """The probes of the bundle's first prompt, judged here and now, whether they passed before or not."""
    from rlaif_fast.judging.sessions import session_of

    try:
        session = session_of(bundle.manifest.prompt.template)(bundle)
        largest = selftest.check(bundle.manifest, session.answer)
    except RlaifFastError as error:
        return Finding("self-test", "broken", str(error))
    before = "passed here before too" if selftest.record_of(bundle.manifest).is_file() else "the first time here"
    probes = len(bundle.manifest.prompt.probes)
    found = f"{counted(probes, 'probe')} answered as where it was exported, within {largest:.2g}; {before}"
    return Finding("self-test", "ok", found)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
