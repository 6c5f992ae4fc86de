"""Classes of processors that qemu-user computes as, and a Python for each.

An x86-64 machine's own Python runs on an emulated x86-64 as it is. For ARM64 there is a small root of Debian's packages
(apt resolves them, dpkg unpacks them, neither as root nor into the system) and wheels of the runtime's dependencies.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
# The kernels that are compared; another version has others, and it is the processor that is to differ.
_SAME = ("onnxruntime", "tokenizers")
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
_ARM = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3"
    " asimddp sha512 asimdfhm"
)


class MissingTool(Exception):
    """Something this machine lacks; the text is one line that says what to install."""


@dataclass(frozen=True)
class Kind:
    """A class of processors.

    Attributes:
        program: of qemu-user.
        cpu: as it has it. 7.2, which Debian 12 has, knows no ARM processor with i8mm but ``max``, whose SVE and SME
            are off: SME has kernels of its own, and neither belongs to a laptop's M2 or a phone.
        features: what /proc/cpuinfo has to say on ARM64, where onnxruntime asks it on import.
        part: number of the core's maker, there too.
    """

    what: str
    program: str
    cpu: str
    features: str = ""
    part: str = ""


CLASSES = {
    "x86-avx2": Kind("AVX2, no VNNI, no AVX-512: Intel before Ice Lake, AMD before Zen 4", "qemu-x86_64", "Haswell"),
    "arm64-dot": Kind(
        "dot product, no i8mm: Apple M1, Graviton 2", "qemu-aarch64", "neoverse-n1",
        _ARM.replace(" jscvt fcma", "").replace(" sha3", "").replace(" sha512 asimdfhm", ""), "0xd0c",
    ),
    "arm64-i8mm": Kind(
        "dot product and i8mm: Apple M2, Graviton 3", "qemu-aarch64", "max,sve=off,sme=off",
        f"{_ARM} i8mm bf16", "0xd40",
    ),
}  # fmt: skip


def require(kinds: Sequence[Kind]) -> None:
    """Raises MissingTool where a class cannot be set up; asked before minutes are spent on exports."""
    for kind in kinds:
        if kind.features:
            for tool in ("apt-get", "dpkg"):
                _require_program(tool, "the ARM64 classes are set up from Debian's packages: run it on Debian")
            if importlib.util.find_spec("pip") is None:
                raise MissingTool("no pip in this Python: run `python -m ensurepip`")
        elif platform.machine() != "x86_64":
            raise MissingTool(f"{kind.cpu} runs this machine's own Python, which is not one for x86-64")
        _require_program(kind.program, "install qemu-user (apt-get install qemu-user)")


def command(kind: Kind, state: Path) -> tuple[list[str], dict[str, str]]:
    """The emulated interpreter and its environment, set up in ``state`` unless it is there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "RLAIF_FAST_HOME": str(state / "home")}
    emulator = [kind.program, "-cpu", kind.cpu]
    if not kind.features:
        return [*emulator, sys.executable], environment
    root = _root(state / "arm64")
    # Files are looked up under the root first. The host's cpuinfo, an x86 one, makes onnxruntime crash.
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(_cpuinfo(kind))
    environment["PYTHONPATH"] = str(_site(state / "arm64", _python(root).name.removeprefix("python")))
    return [*emulator, "-L", str(root), str(_python(root))], environment


def _root(state: Path) -> Path:
    """A folder with Debian's Python for ARM64 and what it needs."""
    root, ready = state / "root", state / "root.ready"
    if ready.exists():
        return root
    shutil.rmtree(state, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial", "dpkg"):
        (state / folder).mkdir(parents=True)
    (state / "dpkg/status").touch()  # as if nothing were installed: what is needed comes whole
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # its own user could not write here; nobody else becomes root by it
        "Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::State::status": state / "dpkg/status",
        "Dir::Cache": state, "Dir::Cache::archives": state / "archives",
    }  # fmt: skip
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    hint = "the ARM64 classes need packages for arm64, which Debian's sources have: run it on Debian"
    _run([*apt, "update"], hint)
    _run([*apt, "install", "--download-only", "-y", "python3", "libstdc++6"], hint)
    for package in sorted((state / "archives").glob("*.deb")):
        _run(["dpkg", "-x", package, root], "a package cannot be unpacked")
    if not (root / "lib").exists():  # packages newer than Debian 12's leave this link to one that is not needed
        (root / "lib").symlink_to("usr/lib")
    ready.touch()
    return root


def _python(root: Path) -> Path:
    """The root's interpreter by its whole name, which tells the version."""
    return (root / "usr/bin/python3").resolve()


def _site(state: Path, python: str) -> Path:
    """A folder with the dependencies of the lean runtime for ARM64, in the versions that compute here."""
    site, ready = state / "site", state / "site.ready"
    stated = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [*stated, *(f"{name}=={version(name)}" for name in _SAME)]
    if ready.exists() and ready.read_text() == repr(wanted):
        return site
    shutil.rmtree(site, ignore_errors=True)
    ready.unlink(missing_ok=True)
    platforms = [word for name in _PLATFORMS for word in ("--platform", f"{name}_aarch64")]
    _run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", site, "--only-binary=:all:", "--implementation=cp",
         f"--python-version={python}", *platforms, *wanted],
        "pip finds no ARM64 wheels of the runtime's dependencies",
    )  # fmt: skip
    ready.write_text(repr(wanted))
    return site


def _cpuinfo(kind: Kind) -> str:
    """/proc/cpuinfo as Linux on ARM64 has it, with as many processors as there are here."""
    return "\n".join(_entries(kind))


def _entries(kind: Kind) -> Iterator[str]:
    for number in range(os.cpu_count() or 1):
        yield (
            f"processor\t: {number}\nBogoMIPS\t: 50.00\nFeatures\t: {kind.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {kind.part}\nCPU revision\t: 1\n"
        )


def _require_program(name: str, hint: str) -> None:
    if shutil.which(name) is None:
        raise MissingTool(f"no {name} here: {hint}")


def _run(command: Sequence[str | Path], hint: str) -> None:
    """Raises MissingTool with the hint and the last line of what the command said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        said = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        raise MissingTool(f"{hint} ({Path(command[0]).name}: {said[-1]})")
