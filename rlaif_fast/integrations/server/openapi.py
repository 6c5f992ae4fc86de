"""The OpenAPI document of a server: what may be sent, and what comes back."""

from __future__ import annotations

from typing import Any, get_args

from rlaif_fast.integrations.server.lanes import Lanes
from rlaif_fast.judging.judge import Orders
from rlaif_fast.version import __version__

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_P: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_ID: Schema = {"description": "any JSON scalar; by default the row's number in the request"}
_ERRORS = {
    400: "No JSON, or no such parameter.", 401: "The token is missing or wrong.",
    403: "Without a token, another machine's host or a web page.", 408: "The body did not come in time.",
    413: "More than the server takes at once; send it in parts.", 422: "A row that cannot be judged, and why.",
    429: "The queue is full; Retry-After says when to try again.", 500: "The runtime failed.",
    503: "Not done in time, or short of memory.",
}  # fmt: skip
_SENT = (
    "A row, or a list of rows. Options are parameters of the query. Any other field of a row is carried to the answer."
    " One that is called as an option (template, orders, …) is refused, unless the parameter carry names it."
)
_ROWS: dict[str, tuple[str, Schema, Schema]] = {
    "judge": (
        "Judge pairs",
        {"instruction": _TEXT, "response_0": _TEXT, "response_1": _TEXT, "id": _ID},
        {"id": {}, "instruction": _TEXT, "chosen": _TEXT, "rejected": _TEXT, "label": {"enum": [1, 2]}, "p1": _P,
         "p2": _P, "p1_by_order": {"type": "array", "items": _P}, "consistent": {"type": ["boolean", "null"]},
         "truncated": {"type": "boolean"}},
    ),
    "score": (
        "Score responses",
        {"instruction": _TEXT, "response": _TEXT, "id": _ID},
        {"id": {}, "instruction": _TEXT, "response": _TEXT, "score": _NUMBER, "truncated": {"type": "boolean"}},
    ),
    "rank": (
        "Rank the responses of a row",
        {"instruction": _TEXT, "responses": {"type": "array", "items": _TEXT, "minItems": 2}, "id": _ID},
        {"id": {}, "instruction": _TEXT, "responses": {"type": "array", "items": _TEXT},
         "ranking": {"type": "array", "items": {"type": "integer"}}, "strengths": {"type": "array", "items": _NUMBER},
         "wins": {"type": "array", "items": {"type": "array", "items": _P}}, "wins_first": {"type": "array"},
         "consistent_share": {"type": ["number", "null"]}, "truncated": {"type": "boolean"}},
    ),
}  # fmt: skip


def document(lanes: Lanes) -> Schema:
    """The document of a server over ``lanes``."""
    paths: Schema = {f"/{kind}": {"post": _rows(kind, lanes)} for kind in lanes.kinds}
    if "score" in lanes.kinds:
        paths["/get_reward"] = {"post": _reward(lanes)}
    for path, what, kind in (
        ("/health", "Whether it works, and what it serves", "application/json"),
        ("/metrics", "Prometheus metrics", "text/plain"), ("/openapi.json", "This document", "application/json"),
    ):  # fmt: skip
        paths[path] = {"get": {"summary": what, "responses": {"200": {"description": what, "content": {kind: {}}}}}}
    paths["/health"]["get"]["security"] = [{}]
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0", "info": {"title": "rlaif-fast", "version": __version__}, "paths": paths,
        "components": {"securitySchemes": schemes}, "security": [{"token": []}, {}],
    }  # fmt: skip


def _rows(kind: str, lanes: Lanes) -> Schema:
    what, row, answer = _ROWS[kind]
    taken = _object(row, required=[name for name in row if name != "id"])
    parameters = [
        _parameter("template", "the prompt; by default the first", {"enum": list(_templates(kind, lanes))}),
        _parameter("on_long", "a prompt that is too long", {"enum": ["error", "truncate"], "default": "error"}),
        _parameter("fields", "field mapping, as the command line's --fields", _TEXT),
        _parameter(
            "carry", "a field that is only carried, though it is called as a question's or an option; repeatable", _TEXT
        ),
    ]
    if kind != "score":
        orders = {"enum": list(get_args(Orders)), "default": "both"}
        parameters.append(_parameter("orders", "in which orders pairs are read", orders))
    return {
        "summary": what, "parameters": parameters,
        "requestBody": _body(_one_or_many(taken), _SENT),
        "responses": _responses(_one_or_many(_object(answer, required=list(answer)))),
    }  # fmt: skip


def _reward(lanes: Lanes) -> Schema:
    texts, numbers = {"type": "array", "items": _TEXT}, {"type": "array", "items": _NUMBER}
    sent = _object({"query": texts, "prompts": texts, "labels": {"type": "array"}}, required=["query", "prompts"])
    sent["additionalProperties"] = False
    back = _object({"rewards": numbers, "scores": numbers, "extra_logs": {"type": "object"}}, required=["rewards"])
    return {
        "summary": "Score responses in the form of OpenRLHF's remote reward models",
        "parameters": [
            _parameter("template", "the prompt; by default the first", {"enum": list(_templates("score", lanes))}),
            _parameter("on_long", "a prompt that is too long", {"enum": ["error", "truncate"], "default": "error"}),
        ],
        "requestBody": _body(sent, "Labels are not looked at. Options are parameters of the query."),
        "responses": _responses(back),
    }  # fmt: skip


def _templates(kind: str, lanes: Lanes) -> list[str]:
    return list(lanes.raters if kind == "score" else lanes.judges)


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _one_or_many(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "array", "items": schema}]}


def _parameter(name: str, what: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": what, "schema": schema}


def _body(schema: Schema, what: str) -> Schema:
    return {"required": True, "description": what, "content": {"application/json": {"schema": schema}}}


def _responses(schema: Schema) -> Schema:
    found: Schema = {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}
    error = _object({"error": _TEXT}, required=["error"])
    for status, what in _ERRORS.items():
        found[str(status)] = {"description": what, "content": {"application/json": {"schema": error}}}
    return found
