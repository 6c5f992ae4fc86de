"""The ONNX file: what leads out of it, or into onnxruntime's side doors, is refused before a session is made."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rlaif_fast.bundle.graph_guard import DOMAINS, check_graph
from rlaif_fast.bundle.manifest import MODEL, WEIGHTS
from rlaif_fast.bundle.protobuf import fields
from rlaif_fast.errors import BundleError

SIZE = 4096  # bytes of the weights' file
FILES = {WEIGHTS: SIZE}


def model(nodes: list[Any] | None = None, initializers: list[Any] | None = None) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])] if nodes is None else nodes
    graph = helper.make_graph(nodes, "g", [x], [y], [weight()] if initializers is None else initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def weight(dims: tuple[int, ...] = (4,), **entries: object) -> TensorProto:
    """An external float32 tensor; ``entries`` change or, with None, remove what says where it lies."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": WEIGHTS, "offset": 0, "length": 4 * int(np.prod(dims))} | entries).items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def inline() -> TensorProto:
    return numpy_helper.from_array(np.ones(4, np.float32), "w")


def refusal(content: bytes | onnx.ModelProto) -> str:
    with pytest.raises(BundleError) as caught:
        check_graph(content if isinstance(content, bytes) else content.SerializeToString(), FILES, "here")
    found = str(caught.value)
    assert found.startswith("here: no graph of a bundle (") and len(found.splitlines()) == 1
    return found


def test_graphs_that_are_fine() -> None:
    for made in (model(), model(initializers=[inline()]), model(initializers=[weight((SIZE // 4,))])):
        check_graph(made.SerializeToString(), FILES, "here")


def test_the_exporters_graphs_pass(tiny_bundle: Callable[[str], Path], tiny_int8: Callable[[str], Path]) -> None:
    for folder in (tiny_bundle("llama"), tiny_int8("llama")):
        check_graph((folder / MODEL).read_bytes(), {WEIGHTS: (folder / WEIGHTS).stat().st_size}, "here")


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../model.onnx.data", f"./{WEIGHTS}", f"x/../{WEIGHTS}", "model.onnx", "", f"{WEIGHTS}\0",
     "*/_ORT_MEM_ADDR_/*", WEIGHTS.upper(), "tokenizer.json", f"file://{WEIGHTS}"],
)  # fmt: skip
def test_weights_lie_in_one_file(location: str) -> None:
    assert "external data in " in refusal(model(initializers=[weight(location=location)]))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": SIZE - 15}, "external data up to byte 4,097 of 4,096"),
        ({"offset": 10**17}, "external data up to byte"),
        ({"offset": -1}, "at a place that is no number"),
        ({"offset": "0x10"}, "at a place that is no number"),
        ({"offset": "1" * 30}, "at a place that is no number"),
        ({"length": 0}, "of 0 bytes for a tensor of another size"),
        ({"length": 17}, "of 17 bytes for a tensor of another size"),
        ({"length": None}, "other keys than"),
        ({"offset": None}, "other keys than"),
        ({"location": None}, "other keys than"),
        ({"checksum": "00"}, "other keys than"),
        ({"prepacked_0": "w|0;8;x"}, "other keys than"),
    ],
)
def test_weights_lie_within_it(entries: dict[str, object], message: str) -> None:
    assert message in refusal(model(initializers=[weight(**entries)]))


def test_tensors_that_say_two_things() -> None:
    twice = weight()
    twice.external_data.add(key="location", value="other")
    assert "other keys than" in refusal(model(initializers=[twice]))
    assert "another size" in refusal(model(initializers=[weight((-4,), length=16)]))
    odd = weight()
    odd.data_type = TensorProto.STRING
    assert "another size" in refusal(model(initializers=[odd]))
    half = weight()
    half.data_location = TensorProto.DEFAULT
    assert "external data of what is no weight" in refusal(model(initializers=[half]))
    # The last of two fields counts for other readers; here the first is not passed over.
    plain = inline().SerializeToString()
    graph = model(initializers=[]).graph.SerializeToString()
    doubled = plain + b"\x70\x01" + b"\x70\x00"
    content = _field(7, graph + _field(5, doubled))
    assert "tensor with field 14 twice" in refusal(content)


def test_a_graph_in_two_parts_is_looked_at_in_both() -> None:
    bad = onnx.GraphProto(initializer=[weight(location="/etc/passwd")]).SerializeToString()
    assert "/etc/passwd" in refusal(model().SerializeToString() + _field(7, bad))


@pytest.mark.parametrize(
    "domain", ["ai.onnx.contrib", "com.example", "ai.onnx.ml", "com.microsoft.nchwc", "é", "com.microsoft\0"]
)
def test_operators_are_onnxruntimes_own(domain: str) -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    assert "operators of domain " in refusal(model([node]))
    imported = model()
    imported.opset_import.add(domain=domain, version=1)
    assert "operators of domain " in refusal(imported)
    node.domain = "com.microsoft"
    check_graph(model([node]).SerializeToString(), FILES, "here")


def _branch(*nodes: Any, initializers: tuple[Any, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "branch", [], [], list(initializers))


def test_branches_are_looked_at() -> None:
    def within(branch: onnx.GraphProto) -> onnx.ModelProto:
        return model([helper.make_node("If", ["c"], ["y"], then_branch=branch)])

    check_graph(within(_branch(helper.make_node("Identity", ["x"], ["y"]))).SerializeToString(), FILES, "here")
    assert "operators of domain 'mine'" in refusal(within(_branch(helper.make_node("F", ["x"], ["y"], domain="mine"))))
    assert "external data of what is no weight" in refusal(within(_branch(initializers=(weight(),))))
    inner = helper.make_node("If", ["c"], ["y"], then_branch=_branch())
    assert "a graph within a branch's graph" in refusal(within(_branch(inner)))
    assert "attribute with several graphs" in refusal(model([helper.make_node("F", [], ["y"], graphs=[_branch()])]))


def test_constants_bring_their_own_values() -> None:
    check_graph(model([helper.make_node("Constant", [], ["y"], value=inline())]).SerializeToString(), FILES, "here")
    node = helper.make_node("Constant", [], ["y"], value=weight())
    assert "external data of what is no weight" in refusal(model([node]))


def test_side_doors() -> None:
    """Session options in metadata, functions, training, sparse weights."""
    made = model()
    helper.set_model_props(made, {"ort_config": '{"session_options": {"intra_op_num_threads": 99}}'})
    assert "model with metadata" in refusal(made)
    made = model()
    made.functions.add(name="f", domain="")
    assert "model with functions of its own" in refusal(made)
    made = model()
    made.training_info.add()
    assert "model with training information" in refusal(made)
    made = model()
    made.graph.sparse_initializer.add()
    assert "graph with sparse weights" in refusal(made)
    made = model()
    made.graph.node[0].overload = "x"
    assert "node with field 8" in refusal(made)
    assert "model with field 99" in refusal(model().SerializeToString() + _field(99, b""))


@pytest.mark.parametrize(
    "content",
    [b"\x00", b"\xff", b"\x3a\x05a", b"\x3b", b"\x3c", b"\x38" + b"\xff" * 11, b"\xba\x80\x80\x80\x10\x00", b"\x3d\x00",
     b"\x38\x00", b"\x08" + b"\xff" * 9 + b"\x7f"],
    ids=["field 0", "cut number", "cut message", "group", "group end", "endless", "key over 32 bits", "cut float",
         "number", "65 bits"],
)  # fmt: skip
def test_what_is_no_protobuf(content: bytes) -> None:
    refusal(content)


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    try:
        check_graph(content, FILES, "here")
    except BundleError:
        return
    _agrees(content)


def test_what_passes_is_what_onnx_reads() -> None:
    """Thousands of damaged graphs: where both readers take one, onnx's sees nothing that is refused."""
    rng = random.Random(5)
    branch = _branch(helper.make_node("Constant", [], ["b"], value=inline()))
    nodes = [helper.make_node("If", ["x"], ["y"], then_branch=branch), helper.make_node("Add", ["x", "w"], ["z"])]
    whole = model(nodes, [weight(), inline()]).SerializeToString()
    passed = 0
    for _ in range(20_000):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 3))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            check_graph(bytes(content), FILES, "here")
        except BundleError:
            continue
        passed += _agrees(bytes(content))
    assert passed > 100


def _agrees(content: bytes) -> bool:
    """Whether onnx reads it; then all it says must be allowed."""
    try:
        read = onnx.ModelProto.FromString(content)
    except Exception:  # its decoder's own, which is not public
        return False
    assert not read.functions and not read.metadata_props and not read.training_info
    graphs = [read.graph]
    for graph in graphs:
        tensors = list(graph.initializer)
        assert not graph.sparse_initializer
        for node in graph.node:
            assert node.domain in DOMAINS
            for attribute in node.attribute:
                assert not attribute.graphs and not attribute.tensors
                graphs += [attribute.g] if attribute.HasField("g") else []
                assert attribute.t.data_location != TensorProto.EXTERNAL
        for tensor in tensors:
            if tensor.data_location == TensorProto.EXTERNAL:
                where = {entry.key: entry.value for entry in tensor.external_data}
                assert graph is read.graph and where["location"] == WEIGHTS
                assert 0 <= int(where["offset"]) <= int(where["offset"]) + int(where["length"]) <= SIZE
    return True


def test_fields_are_read_as_onnx_writes_them() -> None:
    read = dict(fields(memoryview(helper.make_opsetid("com.microsoft", 300).SerializeToString())))
    assert (bytes(read[1]), read[2]) == (b"com.microsoft", 300)  # type: ignore[arg-type]
