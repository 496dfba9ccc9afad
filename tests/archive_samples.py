"""Archives for the tests, written by Python's own zipfile and tarfile."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], **options) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **{"compression": zipfile.ZIP_DEFLATED} | options) as archive:
        for name, data in dict(members).items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    return out.getvalue()


def tarred(members, *, kind: int = tarfile.PAX_FORMAT, **fields) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def packed_tar(members, **options) -> bytes:
    return gzip.compress(tarred(members, **options), mtime=0)


MAKERS = {"zip": zipped, "tar": tarred, "tar.gz": packed_tar}
