"""The peers by name. The first is the baseline everything is divided by."""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.peers.ctranslate import CTranslate2
from benchmarks.peers.genai import OrtGenai
from benchmarks.peers.llama_cpp import LlamaCpp, LlamaCppF32
from benchmarks.peers.openvino import OpenVino, OpenVinoGptq, OpenVinoInt8
from benchmarks.peers.pytorch import LastLogits, SeedWay
from benchmarks.peers.rlaif import RlaifFast, RlaifFastIds
from benchmarks.peers.stock_onnx import StockInt8, StockOnnx

ALL: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        SeedWay(),
        LastLogits("float32", "fp32"),
        LastLogits("bfloat16", "bf16"),
        StockOnnx(),
        StockInt8(),
        OpenVino("f32"),
        OpenVino("bf16"),
        OpenVinoInt8(),
        OpenVinoGptq(),
        OrtGenai(),
        LlamaCpp(),
        LlamaCppF32(),
        CTranslate2("float32", "f32"),
        CTranslate2("int8", "int8"),
        RlaifFast("fp32"),
        RlaifFast("int8"),
        RlaifFast("fp32", "openvino"),
        RlaifFast("fp32", "openvino-bf16"),
        RlaifFast("int8", "openvino"),
    )
}
BY_NAME = ALL | {RlaifFastIds.name: RlaifFastIds()}  # no peer of compare: shots times it
BASELINE = next(iter(ALL))
