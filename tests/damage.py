"""Damage a bundle in many ways and give each to the real command.

``python -m tests.damage BUNDLE SEED COUNT [signed]``

One JSON line a case, written before it is tried and completed behind it, so that the case that kills the process is
the last, incomplete one. With ``signed`` the digests are made to fit the damage, as somebody who means harm would.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rlaif_fast.bundle.folder import entry, read_manifest, write_manifest
from rlaif_fast.bundle.manifest import FILES, MANIFEST, MODEL, TOKENIZER
from rlaif_fast.cli import _run

PAIR = {"instruction": "The quick brown fox.", "response_0": "a fox", "response_1": "a dog"}


def damage(folder: Path, name: str, rng: random.Random) -> str:
    """Change one file in one way; returns how."""
    path = folder / name
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    kind = rng.choice(["flip", "flip", "flip", "cut", "zero", "copy", "insert"])
    if kind == "flip":
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[at:]
    elif kind == "zero":
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    elif kind == "copy":
        other = rng.randrange(len(content))
        content[at : at + 16] = content[other : other + 16]
    else:
        content[at:at] = rng.randbytes(3)
    if bytes(content) == path.read_bytes():
        content[at] ^= 1
    path.write_bytes(bytes(content))
    return f"{name}: {kind} at {at}"


def sign(folder: Path) -> None:
    """Make the digests fit the files."""
    manifest = read_manifest(folder)
    prompts = []
    for prompt in manifest.prompts:
        signed = replace(prompt, file=entry(folder / prompt.path))
        if signed.path != prompt.path:
            shutil.copy(folder / prompt.path, folder / signed.path)
        prompts.append(signed)
    files = {name: entry(folder / name) for name in manifest.files}
    write_manifest(folder, replace(manifest, prompts=tuple(prompts), files=files))


def attempt(folder: Path, pairs: Path) -> dict[str, object]:
    """What the command made of the bundle."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = _run(["judge", str(pairs), "-b", str(folder), "--threads", "1", "--nice", "0"], False)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def main(bundle: str, seed: str, count: str, signed: str = "") -> None:
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as scratch:
        pairs = Path(scratch) / "pairs.jsonl"
        pairs.write_text(json.dumps(PAIR) + "\n")
        for number in range(int(count)):
            folder = Path(scratch) / str(number)
            shutil.copytree(bundle, folder)
            prompt = read_manifest(folder).prompt.path
            names = [MODEL, TOKENIZER, prompt] if signed else [MANIFEST, *FILES, prompt]
            how = damage(folder, rng.choice(names), rng)
            if signed:
                sign(folder)
            print(json.dumps({"damage": how}), flush=True)
            print(json.dumps({"damage": how, **attempt(folder, pairs)}), flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
