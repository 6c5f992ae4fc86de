"""Models of the Hugging Face hub: a hub of our own on the loopback, and the real one where there is one."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.manifest import Manifest
from tests.conftest import ROOT, Run
from tests.hub_server import HubServer, Seen

PHI = "microsoft/phi-1_5"
TOKEN = "hf_for_the_loopback_only"
WEIGHTS = "model.safetensors"
ONLINE = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@dataclass
class Export:
    """An export from the loopback's hub: what it printed, what it made, what the hub saw."""

    run: Run
    output: Path
    seen: list[Seen]

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.output)

    @property
    def downloads(self) -> list[str]:
        return [s.file for s in self.seen if s.method == "GET" and s.status == 200 and s.file]


@pytest.fixture(scope="module")
def hub(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """Phi with a second branch ``flipped`` that prefers the other response, a gated copy, and what is no judge."""
    root = tmp_path_factory.mktemp("hub")
    phi, flipped = root / "phi", root / "flipped"
    for folder in (phi, flipped):
        shutil.copytree(tiny_folder("phi"), folder)
    (phi / "README.md").write_text("---\nlicense: mit\n---\n# Phi\n", encoding="utf-8")
    (flipped / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Phi\n", encoding="utf-8")
    weights = load_file(flipped / WEIGHTS)
    weights |= {name: -weights[name] for name in ("lm_head.weight", "lm_head.bias")}
    save_file(weights, flipped / WEIGHTS, {"format": "pt"})
    with HubServer() as server:
        server.put(PHI, phi)
        server.put(PHI, flipped, branch="flipped")
        server.put("someone/gated", phi, gated=True)
        for kind in ("t5", "mamba"):
            folder = root / kind
            shutil.copytree(phi, folder)
            (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
            server.put(f"someone/{kind}", folder)
        server.put("someone/gated-t5", root / "t5", gated=True)
        yield server


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's HF_HOME."""
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def export(
    hub: HubServer, cache: Path, rlaif_fast: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Export]:
    """Run ``rlaif-fast export`` against the loopback's hub, into a folder that is not there yet."""

    def run(*arguments: str, token: str = "") -> Export:
        output = tmp_path_factory.mktemp("exports") / "bundle"
        before = len(hub.seen)
        environment = {**ONLINE, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, **_home(cache)}
        done = rlaif_fast("export", *arguments, "--precision", "fp32", "-o", output, **environment)
        return Export(done, output, hub.seen[before:])

    return run


@pytest.fixture(scope="module")
def unreachable(
    rlaif_fast: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Future[Run], Path]]:
    """An export from a hub that is down, running beside the others: huggingface_hub tries for 23 seconds."""
    folder = tmp_path_factory.mktemp("unreachable")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes the port
        environment = {**ONLINE, "HF_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}", "HF_TOKEN": ""}
        with ThreadPoolExecutor(1) as pool:
            output = folder / "bundle"
            yield pool.submit(rlaif_fast, "export", PHI, "-o", output, **environment, **_home(folder / "hf")), output


@pytest.fixture(scope="module")
def first(export: Callable[..., Export], unreachable: object) -> Export:
    return export(PHI, token=TOKEN)


@pytest.fixture(scope="module")
def second(first: Export, export: Callable[..., Export]) -> Export:
    return export(PHI)


@pytest.fixture(scope="module")
def flipped(first: Export, export: Callable[..., Export]) -> Export:
    return export(PHI, "--revision", "flipped")


def _home(folder: Path) -> dict[str, str]:
    return {"HF_HOME": str(folder), "HF_HUB_CACHE": str(folder / "hub")}  # a user's own HF_HUB_CACHE would win


def test_export_says_where_the_model_is_from(hub: HubServer, first: Export) -> None:
    assert (first.run.status, first.run.out) == (0, f"{first.output}\n")
    model = first.manifest.model
    assert (model.id, model.architecture, model.licence) == (PHI, "phi", "mit")
    assert model.revision == hub.repositories[PHI].branches["main"]
    by_branch = {s.file for s in first.seen if "/resolve/main/" in s.path}
    assert by_branch <= {"adapter_config.json", "config.json"}, "the rest is of the commit that config.json is of"


def test_token_is_sent_as_a_bearer_and_only_if_there_is_one(first: Export, second: Export) -> None:
    of_the_model = [s for s in first.seen if PHI in s.path]  # huggingface_hub 2 asks once what it is run by
    assert {s.authorization for s in of_the_model} == {f"Bearer {TOKEN}"}
    assert {s.authorization for s in second.seen} == {None}


def test_second_export_downloads_nothing_again(first: Export, second: Export) -> None:
    assert first.downloads.count(WEIGHTS) == 1
    assert len(first.downloads) == len(set(first.downloads))
    assert second.run.status == 0
    assert second.downloads == []
    assert second.manifest == first.manifest


def test_revision_is_another_model(hub: HubServer, first: Export, flipped: Export) -> None:
    """The branch's head is negated: every answer is the other response's, exactly."""
    assert flipped.run.status == 0
    assert flipped.manifest.model.revision == hub.repositories[PHI].branches["flipped"]
    assert flipped.manifest.model.revision != first.manifest.model.revision
    answers = [probe.reference for probe in first.manifest.prompt.probes]
    assert all(abs(d) > 1e-3 for pair in answers for d in pair)
    assert [probe.reference for probe in flipped.manifest.prompt.probes] == [(-a, -b) for a, b in answers]


def test_licence_is_the_revisions(flipped: Export) -> None:
    assert flipped.manifest.model.licence == "apache-2.0"


@pytest.mark.parametrize(
    ("arguments", "token", "reason"),
    [
        (["someone/unknown"], "", "someone/unknown is not a local folder and is not a valid model identifier"),
        ([PHI, "--revision", "unknown"], "", "unknown is not a valid git identifier"),
        (["someone/gated"], "", "You are trying to access a gated repo."),
        (["someone/t5"], "", "architecture 't5' has an encoder; a judge must be a decoder alone"),
        (["someone/mamba"], "", "architecture 'mamba' cannot be exported: its layers are recurrent"),
        # With a token a gated repository is read: it gets as far as its architecture.
        (["someone/gated-t5"], TOKEN, "architecture 't5' has an encoder; a judge must be a decoder alone"),
    ],
)
def test_refusal_is_one_line_before_the_weights(
    arguments: list[str], token: str, reason: str, export: Callable[..., Export]
) -> None:
    done = export(*arguments, token=token)
    assert (done.run.status, done.run.out) == (1, "")
    assert len(done.run.err.splitlines()) == 1
    assert done.run.err.startswith(f"error: {arguments[0]}: ")
    assert reason in done.run.err
    assert done.seen, "the hub was not asked"
    assert WEIGHTS not in [s.file for s in done.seen], "the weights were asked for"
    assert list(done.output.parent.iterdir()) == []


def test_hub_that_is_down_is_one_line(unreachable: tuple[Future[Run], Path]) -> None:
    future, output = unreachable
    done = future.result()
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"error: {PHI}: cannot be loaded (We couldn't connect to ")
    assert len(done.err.splitlines()) == 1
    assert not output.exists()


@pytest.mark.hub
def test_notebook_on_the_hub(rlaif_fast: Callable[..., Run], tmp_path: Path) -> None:
    """The seed notebook's model and pairs give the six digits the notebook prints."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("0", "", "false", "no", "off"):
        pytest.skip("HF_HUB_OFFLINE is set")
    try:
        socket.create_connection(("huggingface.co", 443), timeout=2).close()
    except OSError as error:
        pytest.skip(f"huggingface.co cannot be reached ({error})")
    exported = rlaif_fast("export", PHI, "--precision", "fp32", "-o", tmp_path / "bundle")
    assert exported.status == 0, exported.err
    rows = (ROOT / "examples" / "pairs.jsonl").read_bytes().splitlines(keepends=True)
    pairs = b"".join(row for row in rows if json.loads(row)["id"] in ("notebook-1", "notebook-2"))
    done = rlaif_fast("judge", "-", "-b", tmp_path / "bundle", "--orders", "forward", stdin=pairs)
    assert done.status == 0, done.err
    verdicts = [json.loads(line) for line in done.out.splitlines()]
    assert [v["id"] for v in verdicts] == ["notebook-1", "notebook-2"]
    assert [v["p1"] for v in verdicts] == pytest.approx([0.672001, 0.676235], rel=0, abs=1e-5)
    assert [v["p2"] for v in verdicts] == pytest.approx([0.327999, 0.323765], rel=0, abs=1e-5)
