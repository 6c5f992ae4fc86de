"""The manifest: what is written reads back, and nothing else is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif_fast.bundle.agreement import MarginBin
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.manifest import FILES, SCHEMA, Cost, Manifest, ModelSource
from rlaif_fast.bundle.prompt import BundlePrompt, Fidelity, FileEntry, Probe
from rlaif_fast.errors import BundleError
from rlaif_fast.prompts.template import SUMMARY
from tests.fuzz.manifest import signed

PROMPT = BundlePrompt(
    template=SUMMARY,
    label_ids=(17, 18),
    prefix_ids=(1, 2, 3),
    ending=5,
    fidelity=Fidelity("8 probe pairs", 8, 1e-6, 0.1 + 0.2, 5e-324, 0.125, 0.999, (MarginBin(0.0, 0.1, 8, 1),)),
    bfloat16=Fidelity("8 probe pairs", 8, 0.05, 0.1, 0.2, 0.125, 0.9, ()),
    error_bound=0.03,
    probes=(Probe("é\n", "a", "b", (0.1, -1 / 3), (0.2, 0.3)), Probe("i", "c", "d", (2.0, 3.0), (1.0, 2.0))),
    file=FileEntry("1" * 64, 9),
)
EXAMPLE = Manifest(
    model=ModelSource("owner/name", "c0ffee", "mit", "llama", 123),
    precision="fp32",
    maximum_length=2048,
    cost=Cost(1000, 10),
    passes={"fused_attention": 2, "attention_of_judged": 1},
    operators={"MatMul": 9},
    tools={"torch": "2"},
    prompts=(PROMPT,),
    files={name: FileEntry("0" * 64, 7) for name in FILES},
)
RAW: dict[str, Any] = json.loads(EXAMPLE.to_json())
del RAW["digest"]
Path_ = tuple[str | int, ...]


def walk(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every value of the manifest with its place."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from walk(inner, (*path, key))


def changed(path: Path_, value: Any) -> str:
    """The example with another value in one place."""
    raw = copy.deepcopy(RAW)
    inner = raw
    for key in path[:-1]:
        inner = inner[key]  # type: ignore[index]
    inner[path[-1]] = value  # type: ignore[index]
    return json.dumps(raw)


def read_or_reason(text: str) -> Manifest | str:
    """The manifest in ``text``, with its own digest put before, or the one line that says why it is none."""
    try:
        return Manifest.from_json(signed(text.removeprefix("{").encode("utf-8", "surrogatepass")), "here")
    except BundleError as error:
        reason = str(error)
    assert reason.startswith("here: ")
    assert len(reason.splitlines()) == 1
    return reason


def refusal(text: str) -> str:
    reason = read_or_reason(text)
    assert isinstance(reason, str), "it was accepted"
    return reason


def dotted(path: Path_) -> str:
    return ".".join(map(str, path))


PLACES = {dotted(path): (path, value) for path, value in walk(RAW)}
# Names of passes, operators and tools are data; so are the files, whose absence the bundle reports.
REQUIRED = {
    name: path for name, (path, _) in PLACES.items()
    if (isinstance(path[-1], str) and path[0] not in ("passes", "operators", "tools", "files")) or len(path) == 1
    or (path[0] == "files" and len(path) == 3)
}  # fmt: skip
NULLABLE = {"model.revision", "model.licence"} | {
    f"prompts.0.{name}" for name in ("fidelity.r", "bfloat16", "bfloat16.r", "error_bound", "fidelity.by_margin.0.high")
}


def test_what_is_written_reads_back() -> None:
    assert Manifest.from_json(EXAMPLE.to_json().encode(), "here") == EXAMPLE
    nothing = replace(
        EXAMPLE,
        model=replace(EXAMPLE.model, revision=None, licence=None),
        prompts=(replace(PROMPT, fidelity=replace(PROMPT.fidelity, r=None)),),
        files={},
    )
    assert Manifest.from_json(nothing.to_json().encode(), "here") == nothing


def test_a_real_one_reads_back(llama: Path) -> None:
    manifest = read_manifest(llama)
    assert Manifest.from_json(manifest.to_json().encode(), "here") == manifest
    assert (llama / "manifest.json").read_text(encoding="utf-8") == manifest.to_json()
    assert manifest.schema == SCHEMA and set(manifest.files) == set(FILES)
    assert hash(manifest.prompt.template) == hash(SUMMARY)


def test_a_template_is_written_as_it_always_was() -> None:
    """A key more would change the digest of every judge: its calibrations, profiles and unfinished runs were lost."""
    (prompt,) = json.loads(EXAMPLE.to_json())["prompts"]
    assert sorted(prompt["template"]) == ["labels", "name", "text"]


def test_text_is_readable_and_ends_its_line() -> None:
    text = EXAMPLE.to_json()
    assert '"é\\n"' in text and text.endswith("}\n")


def test_what_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(EXAMPLE, prompts=(replace(PROMPT, fidelity=replace(PROMPT.fidelity, max=float("nan"))),)).to_json()


@pytest.mark.parametrize("name", REQUIRED)
def test_every_field_is_required(name: str) -> None:
    raw = copy.deepcopy(RAW)
    inner: Any = raw
    for key in REQUIRED[name][:-1]:
        inner = inner[key]
    del inner[REQUIRED[name][-1]]
    assert str(REQUIRED[name][-1]) in refusal(json.dumps(raw))


@pytest.mark.parametrize("name", PLACES)
def test_no_field_of_another_type(name: str) -> None:
    path, value = PLACES[name]
    wrong: list[Any] = [{"x": [1]}, [[1], [2], [3]], True]
    if not isinstance(value, str):
        wrong.append("text")
    if isinstance(value, str) or not isinstance(value, int | float):
        wrong.append(7)
    if isinstance(value, int):
        wrong.append(1.5)
    if name not in NULLABLE:
        wrong.append(None)
    assert [other for other in wrong if isinstance(read_or_reason(changed(path, other)), Manifest)] == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_that_is_none(number: str) -> None:
    refusal(json.dumps(RAW).replace("0.125", number))


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None, [1]])
def test_another_schema(schema: Any) -> None:
    """A newer one may look like anything: nothing else of it is read."""
    for text in (changed(("schema",), schema), json.dumps({"schema": schema})):
        assert refusal(text) == f"here: manifest schema {schema!r}, this version reads {SCHEMA}; export it again"


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "3", '"schema"', "[]", '["schema"]', "{}", "[" * 100_000, "1" * 9999],
    ids=["empty", "half", "null", "number", "text", "array", "names", "object", "deep", "long"],
)
def test_what_is_no_manifest_at_all(text: str) -> None:
    assert refusal(text).startswith("here: no manifest of a bundle (")


@pytest.mark.parametrize("name", ["x", "../model.onnx", "", "manifest.json"])
def test_unknown_files_are_refused(name: str) -> None:
    text = changed(("files", name), {"sha256": "0", "bytes": 1})
    assert refusal(text) == f"here: the manifest is not valid (unknown file {name!r}); export it again"


def test_a_pass_costs_something() -> None:
    """Prompts are compared by what a pass costs."""
    assert "cost cannot be so" in refusal(changed(("cost", "per_token"), 0))


def test_template_that_is_none() -> None:
    assert "needs {instruction}, {first} and {second} once each" in refusal(
        changed(("prompts", 0, "template", "text"), "x")
    )
    for labels in (["1", "1"], ["1"], ["1", "2", "3", "4"], ["1", "2", "1"], [], ["1", "2", ""]):
        assert "needs two different labels" in refusal(changed(("prompts", 0, "template", "labels"), labels))


def test_as_many_tokens_as_labels() -> None:
    three = changed(("prompts", 0, "template", "labels"), ["1", "2", "tie"])
    assert "prompt summary cannot be so" in refusal(three)
    read = read_or_reason(three.replace("[17, 18]", "[17, 18, 19]"))
    assert isinstance(read, Manifest) and read.pair_template.ties


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RAW, "\n"]), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    _JSON | st.fixed_dictionaries({"schema": st.just(SCHEMA)}, optional=dict.fromkeys(RAW.keys() - {"schema"}, _JSON))
)
def test_any_json_is_no_manifest(value: Any) -> None:
    refusal(json.dumps(value))


@settings(deadline=None)
@given(st.sampled_from(sorted(PLACES)), _JSON)
def test_any_json_in_one_place_is_refused_or_kept(name: str, value: Any) -> None:
    manifest = read_or_reason(changed(PLACES[name][0], value))
    if isinstance(manifest, Manifest):
        assert Manifest.from_json(manifest.to_json().encode(), "here") == manifest


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_no_manifest(text: str) -> None:
    refusal(text)
