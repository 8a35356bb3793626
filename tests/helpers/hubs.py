"""A hub's cache made by hand, and a small server on this machine that answers as the hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put(cache: Path, hub_id: str, folder: Path, *, leave_out: tuple[str, ...] = ()) -> Path:
    """Lay a folder out as the hub's cache does: blobs named by their digests, a snapshot of links; the snapshot."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if name.as_posix() in leave_out:
            continue
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest() if path.suffix == ".safetensors" else git_digest(data)
        blob = repository / "blobs" / digest
        blob.write_bytes(data)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(Path(*[".."] * (len(name.parts) + 1)) / "blobs" / digest)
    return snapshot


def git_digest(data: bytes) -> str:
    """What git, and so the hub, calls a small file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serve(models: dict[str, Path], refusals: dict[str, tuple[int, str]]) -> Iterator[str]:
    """The address of a hub that has ``models`` (hub id -> folder) and refuses others with a status and a code."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = self.path.split("?")[0].removeprefix("/").removeprefix("api/models/")
            hub_id = "/".join(path.split("/")[:2])
            rest = path.removeprefix(hub_id).removeprefix("/")
            if hub_id in refusals:
                status, code = refusals[hub_id]
                self.say(status, b"", {"X-Error-Code": code} if code else {})
            elif hub_id not in models:
                self.say(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif rest.startswith("resolve/"):
                self.file(models[hub_id] / rest.split("/", 2)[2])
            elif rest.startswith("tree/"):
                self.say(200, json.dumps(listing(models[hub_id])).encode(), {"Content-Type": "application/json"})
            else:
                about = {
                    "id": hub_id,
                    "sha": COMMIT,
                    "siblings": [{"rfilename": e["path"]} for e in listing(models[hub_id]) if e["type"] == "file"],
                }
                self.say(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

        def file(self, path: Path) -> None:
            if not path.is_file():
                self.say(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest() if path.suffix == ".safetensors" else git_digest(data)
            self.say(200, data, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT})

        def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def listing(folder: Path) -> list[dict[str, object]]:
    """A repository's files as the hub lists them."""
    found: list[dict[str, object]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found.append({"type": "directory", "path": name, "oid": "0" * 40, "size": 0})
        else:
            data = path.read_bytes()
            found.append({"type": "file", "path": name, "oid": git_digest(data), "size": len(data)})
    return found


@dataclass
class Received:
    """What a hub was sent: the repositories that were made, and the files of the last commit."""

    address: str
    created: list[dict[str, object]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses_commits: bool = False


@contextmanager
def receive(token: str) -> Iterator[Received]:
    """A hub that takes uploads from who has ``token``, every file inside its commit."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.take()

        def do_POST(self) -> None:
            self.take()

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self.chunks()
            path = self.path.split("?")[0]
            if self.headers.get("Authorization") != f"Bearer {token}":
                self.say(401, {"error": "Invalid credentials"})
            elif path == "/api/whoami-v2":
                self.say(200, {"name": "me", "type": "user", "orgs": [], "auth": {}})
            elif path == "/api/repos/create":
                sent = json.loads(body)  # "private", or "visibility" of newer clients
                asked = {k: sent[k] for k in ("name", "organization")}
                asked["private"] = sent.get("private") is True or sent.get("visibility") == "private"
                received.created.append(asked)
                self.say(200, {"url": f"{received.address}/me/{asked['name']}", "name": f"me/{asked['name']}"})
            elif path == "/api/validate-yaml":
                self.say(200, {"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = [{"path": each["path"], "uploadMode": "regular"} for each in json.loads(body)["files"]]
                self.say(200, {"files": [each | {"shouldIgnore": False, "oid": None} for each in files]})
            elif "/commit/" in path and received.refuses_commits:
                self.say(403, {"error": "this token may not write"})
            elif "/commit/" in path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        received.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self.say(
                    200,
                    {"success": True, "commitOid": COMMIT, "commitUrl": f"{received.address}/me/mine/commit/{COMMIT}"},
                )
            elif path.startswith("/api/models/"):
                self.say(200, {"id": "/".join(path.split("/")[3:5]), "sha": COMMIT, "siblings": [], "private": False})
            else:
                self.say(404, {"error": path})

        def chunks(self) -> bytes:
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def say(self, status: int, answer: dict[str, object]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    received = Received(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
