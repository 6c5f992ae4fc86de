"""What the loopback hub does with an upload, in the order huggingface_hub asks for it.

A repository is made; of each file it is said whether it comes with the commit or as a large object before it; objects
are announced, sent and confirmed; the commit names them all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from tests.hub_server import HubServer

Answer = tuple[int, Any]
_NAME = r"([^/]+/[^/]+)"
_LARGE = re.compile(r".*\.(onnx|safetensors)")  # as the hub's own .gitattributes has it; and what is large
_LARGE_BYTES = 10 << 20


def taken(hub: HubServer, path: str, body: bytes) -> Answer:
    """(status, JSON) of a request that changes something."""
    for pattern, answer in _ANSWERS.items():
        if found := re.fullmatch(pattern, path):
            return answer(hub, body, *map(unquote, found.groups()))
    return 404, {"error": "Not found"}


def _create(hub: HubServer, body: bytes) -> Answer:
    from tests.hub_server import Repository

    asked = json.loads(body)
    name = f"{asked.get('organization') or 'me'}/{asked['name']}"
    url = {"url": f"{hub.endpoint}/{name}"}
    if name in hub.repositories:
        return 409, {"error": "You already created this model repo", **url}
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    hub.repositories[name] = Repository(private=private)
    empty = hub.root / name / "empty"
    empty.mkdir(parents=True)
    (empty / ".gitattributes").write_text("*.onnx filter=lfs diff=lfs merge=lfs -text\n")
    hub.put(name, empty)
    return 200, url


def _branch(hub: HubServer, body: bytes, name: str, branch: str) -> Answer:
    branches = hub.repositories[name].branches
    if branch in branches:
        return 409, {"error": "Reference already exists"}
    branches[branch] = branches["main"]
    return 200, {}


def _yaml(hub: HubServer, body: bytes) -> Answer:
    import yaml

    front = json.loads(body)["content"].split("---\n")[1]
    try:
        good = isinstance(yaml.safe_load(front), dict)
    except yaml.YAMLError:
        good = False
    return (200, {"errors": [], "warnings": []}) if good else (400, {"errors": [{"message": "no YAML"}]})


def _preupload(hub: HubServer, body: bytes, name: str, branch: str) -> Answer:
    rows = [
        {"path": file["path"], "shouldIgnore": False,
         "uploadMode": "lfs" if _LARGE.fullmatch(file["path"]) or file["size"] > _LARGE_BYTES else "regular"}
        for file in json.loads(body)["files"]
    ]  # fmt: skip
    return 200, {"files": rows}


def _batch(hub: HubServer, body: bytes, name: str) -> Answer:
    rows = []
    for wanted in json.loads(body)["objects"]:
        url = f"{hub.endpoint}/objects/{wanted['oid']}"
        actions = {"upload": {"href": url}, "verify": {"href": f"{hub.endpoint}/verify"}}
        rows.append(wanted if wanted["oid"] in hub.objects else {**wanted, "actions": actions})
    return 200, {"transfer": "basic", "objects": rows}


def _object(hub: HubServer, body: bytes, oid: str) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        return 400, {"error": "another content"}
    hub.objects[oid] = body
    return 200, {}


def _verify(hub: HubServer, body: bytes) -> Answer:
    asked = json.loads(body)
    return (200, {}) if len(hub.objects.get(asked["oid"], b"")) == asked["size"] else (404, {})


def _commit(hub: HubServer, body: bytes, name: str, branch: str) -> Answer:
    repository = hub.repositories[name]
    folder = hub.root / name / f"{len(repository.folders)}"
    shutil.copytree(repository.folders[repository.branches[branch]], folder)
    for line in body.splitlines():
        operation = json.loads(line)
        _do(hub, folder, operation["key"], operation["value"])
    commit = hub.put(name, folder, branch, repository.gated)
    return 200, {"commitOid": commit, "commitUrl": f"{hub.endpoint}/{name}/commit/{commit}"}


def _do(hub: HubServer, folder: Path, key: str, value: dict[str, Any]) -> None:
    if key == "header":
        return
    path = folder / value["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    if key == "file":
        path.write_bytes(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        path.write_bytes(hub.objects[value["oid"]])
    else:
        assert key == "deletedFile"
        path.unlink()


_ANSWERS: dict[str, Any] = {
    "/api/repos/create": _create,
    "/api/validate-yaml": _yaml,
    "/verify": _verify,
    "/objects/([0-9a-f]{64})": _object,
    f"/api/models/{_NAME}/branch/([^/]+)": _branch,
    f"/api/models/{_NAME}/preupload/([^/]+)": _preupload,
    f"/api/models/{_NAME}/commit/([^/]+)": _commit,
    f"/{_NAME}.git/info/lfs/objects/batch": _batch,
}
