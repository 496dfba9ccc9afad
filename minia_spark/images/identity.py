"""Names of images: path bytes to ``image_id`` and to URI and back, and the content's hash.

A path on a POSIX system is bytes. An ``image_id`` is text that is safe to print and from which
the bytes can be recovered, so that no two paths ever share one.
"""

from __future__ import annotations

import hashlib
import unicodedata
from urllib.parse import quote_from_bytes, unquote_to_bytes

__all__ = ["content_hash", "image_id_of", "path_of_image_id", "path_of_uri", "uri_of"]

# Control, format (bidirectional marks and the like), surrogate (bytes that are not UTF-8), private
# use, line and paragraph separators, and spaces other than " ". Unassigned characters are kept:
# str.isprintable() would encode them under one Python version and not under the next.
_ENCODED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})


def image_id_of(path: bytes) -> str:
    """Return the image_id of a path relative to the input root.

    Readable characters stay as they are; ``%``, bytes that are not UTF-8, and characters that do
    not print (control and format characters, separators other than the plain space, private use)
    become ``%XX``, one for each byte. The mapping is injective: :func:`path_of_image_id` undoes it.

    Parameters
    ----------
    path : bytes
        Relative path with ``/`` between folders. No Unicode normalisation takes place: names that
        look alike but differ in bytes are different images, as they are for the file system.

    Returns
    -------
    str
        Encodable as UTF-8, without line breaks.
    """
    text = path.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return "".join(map(_encode_character, text))


def _encode_character(character: str) -> str:
    plain = character == " " or (
        character != "%" and unicodedata.category(character) not in _ENCODED_CATEGORIES
    )
    if plain:
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def path_of_image_id(image_id: str) -> bytes:
    """Return the path bytes that :func:`image_id_of` was given."""
    return unquote_to_bytes(image_id)


def uri_of(path: bytes, fragment: str = "") -> str:
    """Return the ``file://`` URI of an absolute path, percent-encoded, with an optional fragment.

    Raises
    ------
    ValueError
        If the path is not absolute.
    """
    if not path.startswith(b"/"):
        raise ValueError(f"a URI needs an absolute path, not {path!r}")
    return f"file://{quote_from_bytes(path)}" + (f"#{fragment}" if fragment else "")


def path_of_uri(uri: str) -> tuple[bytes, str]:
    """Return the path bytes and the fragment (empty if none) of a ``file:`` URI.

    ``file:///a``, ``file://localhost/a`` and Hadoop's ``file:/a`` are the same path.

    Raises
    ------
    ValueError
        If the URI has another scheme, another host or no absolute path.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() != "file":
        raise ValueError(f"only file: URIs can be opened, not {uri!r}")
    rest, _, fragment = rest.partition("#")
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ValueError(f"a file: URI names no other host, but {uri!r} does")
        rest = slash + tail
    if not rest.startswith("/"):
        raise ValueError(f"a file: URI needs an absolute path, but {uri!r} has none")
    return unquote_to_bytes(rest), fragment


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of an image's bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
