"""A Hugging Face hub on the loopback: as much of its protocol as downloading and uploading takes.

The answers are what the real hub gives, seen from huggingface_hub: an unknown repository is 401 for who sends
no token, files have an ETag and the repository's commit, a missing file is told from a missing revision by
``X-Error-Code``.
"""

from __future__ import annotations

import hashlib
import json
import re
import select
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.hub_uploads import taken

_REPOSITORY = r"(?P<repository>[^/]+/[^/]+)"
_RESOLVE = re.compile(rf"/(?P<kind>datasets/)?{_REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_API = re.compile(
    rf"/api/(?P<kind>models/|datasets/){_REPOSITORY}"
    r"(/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(/(?P<under>.+))?)?"
)


@dataclass
class Repository:
    """Revisions of a model or a data set; the files of each are a folder."""

    folders: dict[str, Path] = field(default_factory=dict)  # commit -> folder
    branches: dict[str, str] = field(default_factory=dict)  # branch -> commit
    gated: bool = False  # readable with a token only
    private: bool = False  # seen with a token only

    def commit(self, revision: str) -> str | None:
        return revision if revision in self.folders else self.branches.get(revision)


@dataclass(frozen=True)
class Seen:
    """A request the hub answered."""

    method: str
    path: str
    authorization: str | None
    status: int
    range: str | None = None

    @property
    def file(self) -> str | None:
        """The file of a repository that was asked for, with its folders."""
        found = _RESOLVE.fullmatch(self.path)
        return found["file"] if found else None


class HubServer:
    """The hub, serving from a port of its own while the ``with`` block runs."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.seen: list[Seen] = []
        self.objects: dict[str, bytes] = {}  # large files that were uploaded, by sha256
        self.stall: dict[str, int] = {}  # files that stop coming, once, behind so many bytes
        self.root = Path(tempfile.mkdtemp(prefix="hub-"))
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        shutil.rmtree(self.root)

    def put(self, name: str, folder: Path, branch: str = "main", gated: bool = False) -> str:
        """Push a folder to a branch of a repository; its commit. A data set's name begins with ``datasets/``."""
        repository = self.repositories.setdefault(name, Repository())
        repository.gated = gated
        sha = hashlib.sha1(f"{name}@{branch}".encode())
        for path in _files(folder):
            sha.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        commit = sha.hexdigest()
        repository.folders[commit] = folder
        repository.branches[branch] = commit
        return commit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def _take(self) -> None:
        """What changes something needs a token; see tests/hub_uploads.py."""
        path, body = self.path.partition("?")[0], self._body()
        if "/paths-info/" in path:
            return self._answer(body)
        if self.headers.get("Authorization") is None and not path.startswith("/objects/"):
            return self._refuse(401, None, "Invalid username or password.")
        status, found = taken(self.hub, path, body)
        return self._send(status, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _answer(self, body: bytes = b"") -> None:
        path = self.path.partition("?")[0]
        found = _RESOLVE.fullmatch(path) or _API.fullmatch(path)
        if found is None:
            return self._refuse(404, None)
        kind = "datasets/" if found["kind"] == "datasets/" else ""
        repository = self.hub.repositories.get(kind + found["repository"])
        known = self.headers.get("Authorization") is not None
        if repository is None or (repository.private and not known):
            return self._refuse(404 if known else 401, "RepoNotFound")
        if repository.gated and not known and found.re is _RESOLVE:
            return self._refuse(401, "GatedRepo", f"Access to model {found['repository']} is restricted.")
        commit = repository.commit(unquote(found["revision"] or "main"))
        if commit is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {found['revision']}")
        folder = repository.folders[commit]
        if found.re is _RESOLVE:
            file = folder / found["file"]
            if not file.is_file():
                return self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            content = file.read_bytes()
            etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit}
            if part := self._part(len(content)):
                etag["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
                return self._send(206, content[part.start : part.stop], etag)
            return self._send(200, content, etag, self.hub.stall.pop(found["file"], None) if self._sends else None)
        if found["what"] == "tree":
            under = found["under"] or ""
            listed = sorted((folder / under).glob("*"))
            if not listed:
                return self._refuse(404, "EntryNotFound", f"{under} does not exist on {found['revision']!r}")
            rows: Any = [_listed(folder, path) for path in listed]
        elif found["what"] == "paths-info":
            wanted = [folder / unquote(path) for path in parse_qs(body.decode())["paths"]]
            rows = [_listed(folder, path) for path in wanted if path.exists()]
        else:
            names = [p.relative_to(folder).as_posix() for p in _files(folder)]
            siblings = [{"rfilename": name, "size": (folder / name).stat().st_size} for name in names]
            rows = {"id": found["repository"], "sha": commit, "private": repository.private,
                    "gated": repository.gated, "tags": [], "siblings": siblings}  # fmt: skip
        return self._send(200, json.dumps(rows).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str | None, message: str = "", more: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message or code} if code else {}
        self._send(status, json.dumps({"error": message or "Not found"}).encode(), {**headers, **(more or {})})

    @property
    def _sends(self) -> bool:
        return self.command != "HEAD"

    def _part(self, size: int) -> slice | None:
        """The bytes that are asked for; None for all."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if found is None or (found[1], found[2]) == ("0", ""):
            return None
        return slice(int(found[1]), min(size, int(found[2]) + 1) if found[2] else size)

    def _send(self, status: int, content: bytes, headers: dict[str, str], stall: int | None = None) -> None:
        path = self.path.partition("?")[0]
        seen = Seen(self.command, path, self.headers.get("Authorization"), status, self.headers.get("Range"))
        self.hub.seen.append(seen)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self._sends:
            with suppress(ConnectionError):  # who asked was killed
                self.wfile.write(content[:stall])
        if stall is not None:
            select.select([self.connection], [], [], 60)  # until who asked is gone
            self.close_connection = True


def _listed(folder: Path, path: Path) -> dict[str, Any]:
    row = {"path": path.relative_to(folder).as_posix(), "oid": "0" * 40, "type": "directory", "size": 0}
    return row | ({"type": "file", "size": path.stat().st_size} if path.is_file() else {})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
