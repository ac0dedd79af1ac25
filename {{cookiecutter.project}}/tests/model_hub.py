"""A model hub on loopback: the routes that huggingface_hub downloads by, serving small files under real names."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """``files`` by repository and path. ``absent`` paths are listed and then not found; ``downloads`` notes every file sent."""

    files: dict[str, dict[str, bytes]]
    absent: set[str] = field(default_factory=set)
    downloads: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/api/models/"):
            self._file(body=True)
            return
        repo, _, rest = path.removeprefix("/api/models/").partition("/revision/" if "/revision/" in path else "/tree/")
        files = self.served.files.get(repo, {})
        if not files or rest not in ("main", COMMIT):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound" if files else "RepoNotFound"})
        elif "/tree/" in path:
            self._json([{"type": "file", "path": name, "size": len(data), "oid": _etag(data)} for name, data in files.items()])
        else:
            self._json({"id": repo, "sha": COMMIT, "private": False, "siblings": [{"rfilename": name} for name in files]})

    def _file(self, *, body: bool) -> None:
        repo, _, rest = unquote(urlsplit(self.path).path).lstrip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        data = self.served.files.get(repo, {}).get(name)
        if data is None or name in self.served.absent:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        if body:
            self.served.downloads.append(name)
        self._answer(200, data, {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}, body=body)

    def _json(self, content: Any) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
