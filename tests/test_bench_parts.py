"""The bench's parts: turns, fresh processes, rates, margins. No test looks at how long anything took."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from rlaif_fast import Judge, Pair, RlaifFastError
from rlaif_fast.bench import measure
from rlaif_fast.bench.rate import ShapeRate, combined, matrix_rate
from rlaif_fast.bundle.agreement import agreement
from rlaif_fast.runtime import onnx_product as wire


def test_flips_are_counted_in_the_bin_of_the_references_margin() -> None:
    reference = np.array([[0.01, 0.01], [0.03, 0.03], [-0.15, -0.15], [3.0, 1.0], [-0.6, 0.46]])
    bundle = np.array([[-0.01, -0.01], [0.02, 0.02], [0.15, 0.05], [-3.0, -1.0], [-0.6, 0.46]])
    found = agreement(bundle, reference)
    assert (found.flips, found.flip_share, found.single_flip_share) == (3, 0.6, 0.6)
    assert [(b.low, b.high, b.pairs, b.flips) for b in found.by_margin] == [
        (0.0, 0.02, 1, 1), (0.02, 0.05, 1, 0), (0.05, 0.1, 1, 0), (0.1, 0.2, 1, 1), (0.2, 0.5, 0, 0),
        (0.5, None, 1, 1),
    ]  # fmt: skip
    assert found.max == 6.0
    assert agreement(bundle[:2], reference[:2]).r is None


def test_sides_take_turns_at_going_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_SETTLE", 0)
    calls: list[tuple[str, str]] = []

    def side(name: str, answer: float) -> measure.Side:
        def judge(pair: Pair) -> tuple[float, float]:
            calls.append((name, pair.instruction))
            return answer, float(len(pair.instruction))

        return judge

    pairs = [Pair(text, "x", "y") for text in ("a", "bb", "ccc")]
    timed = measure.interleave([side("ours", 1), side("theirs", 2)], pairs, 2, lambda what, share: None)
    warm, turns = calls[:4], calls[4:]
    assert warm == [("ours", "a"), ("ours", "ccc"), ("theirs", "a"), ("theirs", "ccc")]
    assert [text for _, text in turns] == ["a", "a", "bb", "bb", "ccc", "ccc"] * 2
    assert [name for name, _ in turns[::2]] == ["ours", "theirs", "ours", "theirs", "ours", "theirs"]
    assert all({turns[i][0], turns[i + 1][0]} == {"ours", "theirs"} for i in range(0, len(turns), 2))
    assert timed.seconds.shape == (2, 3, 2) and (timed.seconds > 0).all()
    assert timed.log_odds.tolist() == [[[1, 1], [1, 2], [1, 3]], [[2, 1], [2, 2], [2, 3]]]


def test_memory_of_a_fresh_process_is_its_own() -> None:
    ballast = np.ones(75_000_000)  # 600 MB here must not be counted there
    small = measure._run([sys.executable, "-c", "pass"])
    large = measure._run([sys.executable, "-c", "b = bytearray(200_000_000); b[::4096] = b[::4096]"])
    assert ballast[-1] and small.peak_mb < 100 < 200 < large.peak_mb < 300


def test_a_fresh_process_that_fails_is_said_in_a_line() -> None:
    with pytest.raises(RlaifFastError, match=r"^a fresh process of -c raise .* failed: gone$"):
        measure._run([sys.executable, "-c", "raise SystemExit('gone')"])


def test_products_are_those_onnx_reads(llama: Path) -> None:
    model = onnx.load(llama / "model.onnx", load_external_data=False)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    want = [tuple(weights[node.input[1]].dims) for node in model.graph.node
            if node.op_type == "MatMul" and node.input[1] in weights]  # fmt: skip
    found = wire.products((llama / "model.onnx").read_bytes())
    assert want and [(product.k, product.n) for product in found] == want
    assert {product.weights for product in found} == {wire.FLOAT}


def test_the_products_are_the_manifests_linear_work(llama: Path) -> None:
    found = wire.products((llama / "model.onnx").read_bytes())
    linear = [product.k * product.n for product in found if product.n != 2]  # the label head is not counted
    assert sum(linear) == Judge.load(llama).manifest.cost.per_token


def test_the_model_of_one_product_multiplies() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((5, 300), np.float32), rng.standard_normal((300, 7), np.float32)
    model = wire.one_product("MatMul", w, 5, (wire.FLOAT, wire.FLOAT, wire.FLOAT))
    parsed = onnx.load_from_string(model)
    onnx.checker.check_model(parsed, full_check=True)
    assert np.array_equal(numpy_helper.to_array(parsed.graph.initializer[0]), w)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"x": x})[0], x @ w, atol=1e-4)


def test_the_rate_of_int8_products_is_taken_with_int8(tmp_path: Path) -> None:
    weights = np.ones((8, 4), np.int8)
    path = tmp_path / "m.onnx"
    path.write_bytes(wire.one_product("MatMulInteger", weights, 2, (wire.UINT8, wire.INT8, wire.INT32)))
    rate = matrix_rate(path.read_bytes(), 2, 1)
    assert rate is not None and rate.kinds == "int8"
    assert [(shape.k, shape.n, shape.count) for shape in rate.shapes] == [(8, 4, 1)]


def test_rates_combine_as_work_over_time() -> None:
    shapes = [ShapeRate(10, 10, 3, "fp32", 100.0), ShapeRate(10, 30, 1, "fp32", 50.0)]
    assert combined(shapes) == pytest.approx(600 / (300 / 100 + 300 / 50))


def test_doubtful_times_are_doubted() -> None:
    assert measure.doubts(0.2, 2, (100.0, 110.0)) == []
    assert measure.doubts(None, 2, None) == []
    busy, moved = measure.doubts(1.5, 2, (100.0, 140.0))
    assert "load 1.5 on 2 cores" in busy and "from 100 to 140 GOP/s" in moved


def test_a_leaning_to_a_position_is_told_from_one_to_a_response() -> None:
    reference = np.array([[0.1, 0.2], [-0.3, 0.4]])
    first_position, first_response = np.array([0.05, -0.05]), np.array([0.05, 0.05])
    assert agreement(reference + first_position, reference).position_shift == pytest.approx(0.05)
    assert agreement(reference + first_response, reference).position_shift == pytest.approx(0)
