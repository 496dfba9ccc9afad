"""An object store that speaks enough of S3 for the tests, on this machine, in memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "survey"
_DATE = "2026-01-01T00:00:00.000Z"
_HTTP_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class ObjectStore(ThreadingHTTPServer):
    """One bucket; requests are answered by threads, puts one after another.

    Attributes
    ----------
    objects : dict
        Key to bytes.
    keeps_conditions : bool
        Whether ``If-None-Match`` is honoured; some stores ignore it.
    lost_answers : int
        So many of the next conditional puts are done, and the answer is an error.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.numbers = itertools.count()
        self.alone = threading.Lock()
        self.keeps_conditions = True
        self.lost_answers = 0

    def uri(self, path: str) -> str:
        """Return what a person would give as the warehouse."""
        where = f"endpoint_override=127.0.0.1:{self.server_port}&scheme=http&region=us-east-1"
        return f"s3://key:secret@{BUCKET}/{path}?{where}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStore

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        return key, parse_qs(parts.query, keep_blank_values=True)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        length = headers.pop("length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = _unchunked(self.rfile)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            data = _unchunked(io.BytesIO(data))
        return data

    def do_PUT(self) -> None:
        key, query = self._asked()
        data = self._body()
        tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        with self.server.alone:
            if "partNumber" in query:
                self.server.parts[query["uploadId"][0]][int(query["partNumber"][0])] = data
                return self._answer(200, ETag=tag)
            is_conditional = self.headers.get("If-None-Match") == "*"
            if is_conditional and self.server.keeps_conditions and key in self.server.objects:
                return self._answer(412, _error("PreconditionFailed"))
            self.server.objects[key] = data
            if is_conditional and self.server.lost_answers:
                self.server.lost_answers -= 1
                return self._answer(503, _error("SlowDown"))
        return self._answer(200, ETag=tag)

    def do_GET(self) -> None:
        key, query = self._asked()
        if not key:
            return self._answer(200, self._listing({n: v[0] for n, v in query.items()}))
        data = self.server.objects.get(key)
        if data is None:
            return self._answer(404, _error("NoSuchKey"))
        told = {"ETag": '"x"', "Last_Modified": _HTTP_DATE, "Accept_Ranges": "bytes"}
        if self.command == "HEAD":
            return self._answer(200, length=str(len(data)), **told)
        asked = self.headers.get("Range")
        if asked is None:
            return self._answer(200, data, **told)
        first, last = asked.removeprefix("bytes=").split("-")
        piece = data[int(first) : int(last) + 1 if last else None]
        where = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
        return self._answer(206, piece, Content_Range=where, **told)

    def do_HEAD(self) -> None:
        if not self._asked()[0]:
            return self._answer(200)
        return self.do_GET()

    def do_DELETE(self) -> None:
        with self.server.alone:
            self.server.objects.pop(self._asked()[0], None)
        self._answer(204)

    def do_POST(self) -> None:
        key, query = self._asked()
        body = self._body()
        with self.server.alone:
            if "delete" in query:
                nodes = ElementTree.fromstring(body).iter()
                keys = [node.text or "" for node in nodes if node.tag.endswith("Key")]
                for one in keys:
                    self.server.objects.pop(one, None)
                told = "".join(f"<Deleted><Key>{escape(one)}</Key></Deleted>" for one in keys)
                return self._answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())
            if "uploads" in query:
                upload = str(next(self.server.numbers))
                self.server.parts[upload] = {}
                told = f"<Bucket>{BUCKET}</Bucket><UploadId>{upload}</UploadId>"
                told = f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>"
                return self._answer(200, told.encode())
            parts = self.server.parts.pop(query["uploadId"][0])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
        told = f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>x</ETag>"
        return self._answer(200, f"{told}</CompleteMultipartUploadResult>".encode())

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix, cut = query.get("prefix", ""), query.get("delimiter", "")
        with self.server.alone:
            there = {k: len(v) for k, v in self.server.objects.items() if k.startswith(prefix)}
        keys, folders = [], set()
        for key in sorted(there):
            below = key[len(prefix) :]
            if cut and cut in below:
                folders.add(prefix + below[: below.index(cut) + 1])
            else:
                keys.append(key)
        rows = [
            f"<Contents><Key>{escape(k)}</Key><Size>{there[k]}</Size><ETag>x</ETag>"
            f"<LastModified>{_DATE}</LastModified></Contents>"
            for k in keys
        ]
        rows += [
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>"
            for f in sorted(folders)
        ]
        count = f"<KeyCount>{len(rows)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{count}{''.join(rows)}</ListBucketResult>".encode()


def _unchunked(stream: BinaryIO) -> bytes:
    """Return a body that comes in pieces, each after its length; trailers are dropped."""
    plain = b""
    while length := int(stream.readline().partition(b";")[0], 16):
        plain += stream.read(length)
        stream.readline()
    while stream.readline().strip():
        pass
    return plain


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Run a store while inside."""
    store = ObjectStore()
    thread = threading.Thread(target=store.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.shutdown()
        store.server_close()
        thread.join()
