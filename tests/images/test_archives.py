"""ZIP and tar archives, read as they are: every good member, and a reason for every other one.

The twins are Python's own zipfile and tarfile: what they write comes back byte for byte.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from archive_samples import MAKERS, packed_tar, tarred, zipped
from hypothesis import given
from hypothesis import strategies as st
from image_samples import parquet_of
from mutations import mutants

from minia_spark.base.errors import Rejected
from minia_spark.images.archive import check_name
from minia_spark.images.container import Part
from minia_spark.images.identity import image_id_of, path_of_image_id
from minia_spark.images.reader import ImageReader, images_of_file, is_file_of_images
from minia_spark.images.reasons import Reason
from minia_spark.images.tar_archive import GzipTarArchive, TarArchive
from minia_spark.images.zip_archive import ZipArchive

MAX_BYTES = 100_000


SIX = {f"n{i % 2}/{i}.png": f"image {i} ".encode() * (i + 1) for i in range(6)}

any_kind = pytest.mark.parametrize("kind", MAKERS)


class Folder:
    """A folder with one archive in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sourced(self, data: bytes, name: str = "a", **options):
        (self.path / name).write_bytes(data)
        options = {"max_bytes": MAX_BYTES} | options
        return list(images_of_file(os.fsencode(self.path), name.encode(), **options))

    def found(self, data: bytes, **options) -> dict[str, bytes | str]:
        """image_id -> bytes or the reason of a reject; what is wrong with all of it is at 'a'."""
        images = self.sourced(data, **options)
        found = {s.image_id: s.data if isinstance(s.data, bytes) else s.data.reason for s in images}
        assert len(found) == len(images)
        return found

    def only(self, data: bytes, **options) -> str:
        """What is said of the only thing found."""
        (only,) = self.sourced(data, **options)
        assert isinstance(only.data, Rejected)
        return str(only.data)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def below(members) -> dict[str, bytes]:
    return {f"a/{name}": data for name, data in members.items()}


class TestGoodMembers:
    @any_kind
    def test_are_found_in_order_and_again_by_their_uri(self, folder, kind):
        images = folder.sourced(MAKERS[kind](SIX), f"x y.{kind}")
        assert [(s.image_id, s.data) for s in images] == [
            (f"x y.{kind}/{name}", data) for name, data in SIX.items()
        ]
        start = f"file://{folder.path}/x%20y.{kind}#member=n0/0.png&offset="
        assert images[0].uri.startswith(start)
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            for order in (images, images[::-1], images[::2], [images[1]] * 2):
                assert [reader.read(s.uri) for s in order] == [s.data for s in order]

    @any_kind
    def test_an_archive_that_is_the_input_is_like_the_folder_it_was_made_of(self, folder, kind):
        folder.sourced(MAKERS[kind](SIX))
        path = os.fsencode(folder.path / "a")
        images = list(images_of_file(path, b"", max_bytes=MAX_BYTES))
        assert {s.image_id: s.data for s in images} == SIX
        assert [s.folder for s in images] == ["n0", "n1"] * 3
        assert is_file_of_images(path)
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            assert [reader.read(s.uri) for s in images] == list(SIX.values())

    @any_kind
    def test_the_folder_that_holds_an_image(self, folder, kind):
        members = {"1.png": b"a", "spiral/2.png": b"b", "x/ring\n/3.png": b"c"}
        assert [s.folder for s in folder.sourced(MAKERS[kind](members))] == [
            *(None, "spiral", "ring%0A")
        ]
        (folder.path / "elliptical").mkdir()
        folders = [s.folder for s in folder.sourced(MAKERS[kind](members), "elliptical/a.zip")]
        assert folders == ["elliptical", "spiral", "ring%0A"]

    @any_kind
    @pytest.mark.parametrize("of", [1, 2, 3, 10])
    def test_parts_share_them_without_overlap(self, folder, kind, of):
        data = MAKERS[kind](SIX)
        parts = [folder.found(data, part=Part(number, of)) for number in range(of)]
        assert sum(map(len, parts)) == len(SIX)
        assert {name: data for part in parts for name, data in part.items()} == below(SIX)

    @any_kind
    def test_none_at_all(self, folder, kind):
        if kind == "zip":
            assert folder.found(zipped({})) == {}
        data = MAKERS[kind]({"only/": b""}) if kind == "zip" else MAKERS[kind]({".hidden": b"x"})
        assert folder.found(data) == {}

    @any_kind
    def test_folders_and_hidden_names_are_passed_over(self, folder, kind):
        members = {".a.png": b"x", "__MACOSX/._b.png": b"x", ".git/c.png": b"x", "./d.png": b"d"}
        assert folder.found(MAKERS[kind](members)) == {"a/d.png": b"d"}

    def test_folders_in_tar(self, folder):
        data = tarred({"d": b""}, type=tarfile.DIRTYPE)
        assert folder.found(data) == {}

    @any_kind
    def test_the_same_name_twice_has_two_uris(self, folder, kind):
        """Which of them stays is decided where all image_ids are known."""
        with pytest.warns(UserWarning, match="Duplicate name") if kind == "zip" else _nothing():
            data = MAKERS[kind]([("x.png", b"one"), ("./x.png", b"2"), ("x.png", b"three")])
        images = folder.sourced(data)
        assert [(s.image_id, s.data) for s in images] == [
            ("a/x.png", b"one"),
            ("a/x.png", b"2"),
            ("a/x.png", b"three"),
        ]
        assert len({s.uri for s in images}) == 3
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            assert [reader.read(s.uri) for s in images] == [b"one", b"2", b"three"]

    @pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_every_format_of_tar_and_long_names(self, folder, kind):
        name = "d" * 90 + "/" + "n" * (90 if kind == tarfile.USTAR_FORMAT else 3000) + ".png"
        assert folder.found(tarred({name: b"x", "y": b"z"}, kind=kind)) == {
            f"a/{name}": b"x",
            "a/y": b"z",
        }

    def test_old_tar_without_a_magic(self, folder):
        data = bytearray(tarred({"x.png": b"x"}, kind=tarfile.USTAR_FORMAT))
        data[257:265] = bytes(8)
        data[148:156] = b" " * 8
        data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
        assert folder.found(bytes(data)) == {"a/x.png": b"x"}

    def test_zip_by_streams_with_a_comment_behind_something_else_and_in_zip64(self, folder):
        class Pipe(io.BytesIO):
            def seekable(self):
                return False

            def seek(self, *_):
                raise io.UnsupportedOperation

            def tell(self):
                raise io.UnsupportedOperation

        out = Pipe()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.png", b"streamed" * 99)
            with archive.open("y.png", "w", force_zip64=True) as member:
                member.write(b"z64")
            archive.comment = b"PK\x05\x06 in a comment"
        data = out.getvalue()
        expected = {"a/x.png": b"streamed" * 99, "a/y.png": b"z64"}
        assert folder.found(data) == expected
        # what was put before an archive does not hide it, if it begins like one
        assert folder.found(b"PK\x03\x04 something else" + data) == expected

    def test_more_entries_than_zip_without_zip64_can_count(self, folder):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for number in range(66_000):
                archive.writestr(f"{number}.png", b"")
        assert b"PK\x06\x06" in out.getvalue()
        images = folder.sourced(out.getvalue())
        assert len(images) == 66_000
        assert images[-1].data == b""
        found = folder.sourced(out.getvalue(), max_archive_members=10)
        assert len(found) == 11
        assert str(found[-1].data) == (
            "file_limit: The archive has more than 10 members; the others are left out "
            "(ingest.max_archive_members)."
        )


def _nothing():
    import contextlib

    return contextlib.nullcontext()


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
CONTENTS = st.binary(max_size=300).map(lambda data: b"no archive " + data)


def is_good(name: bytes) -> bool:
    try:
        check_name(name)
    except Rejected:
        return False
    hidden = any(part.startswith(b".") and part not in (b".", b"..") for part in name.split(b"/"))
    return not hidden and not name.endswith(b"/")


@pytest.mark.parametrize("kind", MAKERS)
@given(members=st.dictionaries(NAMES, CONTENTS, max_size=5))
def test_any_names_and_contents_come_back(tmp_path_factory, kind, members):
    folder = Folder(tmp_path_factory.getbasetemp())
    members = {name: data for name, data in members.items() if is_good(name.encode())}
    images = folder.sourced(MAKERS[kind](members), f"any.{kind}")
    if not members and kind != "zip":
        return  # zeros: no archive to be seen
    assert [s.data for s in images] == list(members.values())
    for s, name in zip(images, members, strict=True):
        path = os.path.normpath(name)
        assert path_of_image_id(s.image_id).decode() == f"any.{kind}/{path}"
        assert s.image_id.isprintable() or s.image_id.encode().decode() == s.image_id
        assert not set(s.image_id) & set("\n\r\t\0")
        assert s.uri.isascii()
    with ImageReader(max_bytes=MAX_BYTES) as reader:
        assert [reader.read(s.uri) for s in images] == list(members.values())


@given(name=st.binary(min_size=1, max_size=90))
def test_names_are_bytes_in_any_encoding(tmp_path_factory, name):
    """In tar as they are; in ZIP with the flag of UTF-8 and without, whether it is true or not."""
    name = name.replace(b"\0", b"0").replace(b"/", b"_").replace(b".", b"-").replace(b"\\", b"|")
    folder = Folder(tmp_path_factory.getbasetemp())
    expected = {f"a/{image_id_of(name)}": b"data"}
    plain = zipped({"x" * len(name): b"data"})
    named = plain.replace(b"x" * len(name), name)
    assert folder.found(named) == expected
    (entry,) = struct.unpack_from("<L", named, len(named) - 6)
    for at in (6, entry + 8):  # the flags of the member and of its entry
        named = named[: at + 1] + b"\x08" + named[at + 2 :]
    assert folder.found(named) == expected
    data = tarred({os.fsdecode(name): b"data"}, kind=tarfile.GNU_FORMAT)
    assert folder.found(data) == expected


class TestRefusals:
    @any_kind
    def test_names_that_lead_out_and_none(self, folder, kind):
        bad = ["/etc/x.png", "../x.png", "a/../../x.png", "..", "C:/x.png", "a\\..\\x.png", "\\x"]
        members = dict.fromkeys([*bad, "good.png"], b"x")
        found = folder.sourced(MAKERS[kind](members))
        reasons = [s.data.reason for s in found if isinstance(s.data, Rejected)]
        assert reasons == ["outside_root"] * len(bad)
        assert [s.image_id for s in found if s.data == b"x"] == ["a/good.png"]
        details = {s.data.detail for s in found if isinstance(s.data, Rejected)}
        assert details == {
            "The member's name is an absolute path.",
            "The member's name has .. in it, to leave the archive.",
        }

    def test_a_member_without_a_name(self, folder):
        found = folder.sourced(zipped({"x": b"1"}).replace(b"x", b"."))
        assert str(found[0].data) == "outside_root: The member has no name."

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            (tarfile.LNKTYPE, "a hard link"),
            (tarfile.SYMTYPE, "a symbolic link"),
            (tarfile.CHRTYPE, "a device"),
            (tarfile.BLKTYPE, "a device"),
            (tarfile.FIFOTYPE, "a named pipe"),
        ],
    )
    def test_what_is_no_file_in_tar(self, folder, kind, said):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("x.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
            info = tarfile.TarInfo("good.png")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"y"))
        bad, good = folder.sourced(out.getvalue())
        assert str(bad.data) == (
            f"not_an_image: The member is {said}; only files in an archive are read."
        )
        assert (good.image_id, good.data) == ("a/good.png", b"y")

    def test_links_and_devices_in_zip(self, folder):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, mode in (("l", 0o120777), ("d", 0o020666), ("f", 0o100644), ("n", 0)):
                info = zipfile.ZipInfo(name)
                info.create_system, info.external_attr = 3, mode << 16
                archive.writestr(info, b"/etc/passwd")
        data = b"/etc/passwd"
        assert folder.found(out.getvalue()) == {
            "a/l": "not_an_image",
            "a/d": "not_an_image",
            "a/f": data,
            "a/n": data,
        }

    def test_sparse_files_in_tar_and_what_comes_after_them(self, folder):
        data = bytearray(tarred([("s", b"x" * 600), ("y", b"y")], kind=tarfile.GNU_FORMAT))
        data[156:157] = b"S"
        data[148:156] = b" " * 8
        data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
        assert folder.found(bytes(data)) == {"a/s": "unsupported_format", "a/y": b"y"}
        pax = tarred({"s": b"x"}, pax_headers={"GNU.sparse.major": "1"})
        assert folder.found(pax) == {"a/s": "unsupported_format"}

    def test_encrypted_and_otherwise_compressed_members_of_zip(self, folder):
        data = bytearray(zipped(dict.fromkeys("abcd", b"data")))
        entries = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
        data[entries[0] + 8] |= 1
        data[entries[1] + 10] = 99  # WinZip's AES
        data[entries[2] + 10] = 9
        images = folder.sourced(bytes(data))
        assert [str(s.data) for s in images[:3]] == [
            "unsupported_format: The member is encrypted; make an archive without a password.",
            "unsupported_format: The member is compressed by method 99; stored and deflated "
            "members are read.",
            "unsupported_format: The member is compressed by Deflate64; stored and deflated "
            "members are read.",
        ]
        assert images[3].data == b"data"

    @any_kind
    def test_files_of_images_in_archives(self, folder, kind):
        inside = {name: make({"x": b"x"}) for name, make in MAKERS.items()}
        inside["p"] = parquet_of([b"x"])
        images = folder.sourced(MAKERS[kind](inside | {"good": b"y"}))
        assert [str(s.data) for s in images[:4]] == [
            f"unsupported_format: The content is {title} inside a file of images; take it out and "
            "put it beside that file."
            for title in (
                *("a ZIP archive", "a tar archive", "a compressed tar archive", "a Parquet file"),
            )
        ]
        assert images[4].data == b"y"

    @any_kind
    def test_members_over_the_limit_are_not_unpacked(self, folder, kind):
        members = {"1": b"x" * 51, "2": b"x" * 50, "3": bytes(5_000), "4": b"y"}
        assert folder.found(MAKERS[kind](members), max_bytes=50, max_archive_ratio=1000) == {
            "a/1": "file_limit",
            "a/2": b"x" * 50,
            "a/3": "file_limit",
            "a/4": b"y",
        }

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_archives_that_unpack_beyond_measure(self, folder, kind):
        members = {f"{i}": bytes(MAX_BYTES // 2) for i in range(1000)}
        data = MAKERS[kind](members)
        images = folder.sourced(data, max_archive_ratio=10)
        assert 1 < len(images) < 100
        assert str(images[-1].data) == (
            "file_limit: The archive unpacks to more than 10 times its own size; what follows is "
            "left out (ingest.max_archive_ratio)."
        )
        assert all(isinstance(s.data, bytes) for s in images[:-1])
        parts = [folder.sourced(data, max_archive_ratio=10, part=Part(i, 3)) for i in range(3)]
        told = sorted(str(s) for part in parts for s in part)
        assert told == sorted(map(str, images))

    def test_a_gap_of_a_terabyte_is_not_walked_over(self, folder):
        """One member claims it; the stream behind is short."""
        info = tarfile.TarInfo("x")
        info.size = 1 << 40
        head = info.tobuf(tarfile.GNU_FORMAT)
        started = time.monotonic()
        assert "file_limit: The archive unpacks to more" in folder.only(gzip.compress(head))
        assert "truncated: The archive ends within the member 'x'" in folder.only(head)
        info.size = 1 << 80
        head = info.tobuf(tarfile.GNU_FORMAT)
        assert "file_limit" in folder.only(gzip.compress(head))
        assert time.monotonic() - started < 5

    def test_zeros_without_end_behind_a_compressed_tar(self, folder):
        zeros = gzip.compress(bytes(1 << 20)) * 4096  # 4 GiB
        started = time.monotonic()
        images = folder.sourced(packed_tar({"x": b"x"}) + zeros, max_archive_ratio=2)
        assert [s.data if isinstance(s.data, bytes) else s.data.reason for s in images] == [
            *(b"x", "file_limit")
        ]
        assert time.monotonic() - started < 5

    def test_entries_of_zip_that_share_their_data(self, folder):
        """A few bytes unpacked a thousand times: each is an image, but not without end."""
        data = zipped({"x": bytes(MAX_BYTES)})
        entry, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
        record = bytearray(data[end:])
        struct.pack_into("<HHL", record, 8, 1000, 1000, 1000 * (end - entry))
        images = folder.sourced(
            data[:entry] + data[entry:end] * 1000 + record, max_archive_ratio=10
        )
        assert 1 < len(images) < 20
        assert images[-1].data.reason == "file_limit"

    def test_extended_headers_without_bounds(self, folder):
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, 1 << 21
        data = info.tobuf() + bytes(1 << 21)
        assert "corrupt: The tar archive has an extended header of 2097152" in folder.only(data)
        info.size = 512
        body = b"11 path=ab\n".ljust(512, b"\0")
        data = (info.tobuf() + body) * 20
        assert "too many extended headers" in folder.only(data)
        for wrong in (b"9999 path=ab\n", b"path=ab\n", b"0 a=b\n", b"-5 a=b\n", b"7 size=-1\n"):
            data = info.tobuf() + wrong.ljust(512, b"\0") + bytes(1024)
            assert "corrupt: The tar archive has a" in folder.only(data)


class TestDamage:
    @pytest.mark.parametrize("kind", ["tar", "tar.gz"])
    def test_a_cut_tar_gives_what_is_whole_and_one_refusal(self, folder, kind):
        members = {f"{i}.png": os.urandom(700) for i in range(5)}
        data = MAKERS[kind](members)
        whole = list(below(members).items())
        numbers = set()
        for length in range(600, 5 * 1536 + 512 if kind == "tar" else len(data), 97):
            images = folder.sourced(data[:length])
            *good, bad = [(s.image_id, s.data) for s in images]
            assert good == whole[: len(good)]
            assert bad[0] == "a"
            assert bad[1].reason in ("truncated", "corrupt")
            numbers.add(len(good))
        assert numbers >= {0, 1, 2, 3, 4}

    def test_a_tar_without_its_end_mark_is_told_of(self, folder):
        data = tarred({"x": b"x"})[:1024]
        assert folder.found(data) == {"a/x": b"x", "a": "truncated"}

    def test_a_damaged_header_in_the_middle_ends_a_tar(self, folder):
        data = bytearray(tarred({"1": b"1", "2": b"2", "3": b"3"}, kind=tarfile.USTAR_FORMAT))
        data[1024 + 3] ^= 0xFF
        *_, bad = images = folder.sourced(bytes(data))
        assert [s.data for s in images[:-1]] == [b"1"]
        assert str(bad.data).startswith(
            "corrupt: The tar archive is damaged at 1024, and what follows is lost: bad checksum"
        )

    def test_a_wrong_check_sum_at_the_end_of_gzip_is_told_of(self, folder):
        data = bytearray(packed_tar({"x": b"x"}))
        data[-8] ^= 1
        images = folder.sourced(bytes(data))
        assert [s.data for s in images[:-1]] == [b"x"]
        assert "corrupt: The archive's gzip stream is damaged" in str(images[-1].data)

    def test_a_cut_zip_has_no_table_of_contents(self, folder):
        data = zipped(SIX)
        for length in range(30, len(data), 37):
            said = folder.only(data[:length])
            assert said.startswith("truncated: The ZIP archive has no table of contents at its end")

    def test_one_damaged_member_of_zip_is_one_refusal(self, folder):
        members = {f"{i}.png": os.urandom(500) for i in range(3)}
        data = bytearray(zipped(members, compression=zipfile.ZIP_STORED))
        data[data.index(members["1.png"]) + 9] ^= 1
        found = folder.found(bytes(data))
        assert found == below(members) | {"a/1.png": "corrupt"}
        data = bytearray(zipped(members))
        at = data.index(b"1.png")
        data[at : at + 5] = b"9.png"  # in the local header alone
        assert folder.found(bytes(data)) == below(members) | {"a/1.png": "corrupt"}

    def test_a_damaged_table_of_contents_gives_what_comes_before(self, folder):
        data = bytearray(zipped({"1": b"1", "2": b"2", "3": b"3"}))
        second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
        data[second] ^= 1
        assert folder.found(bytes(data)) == {"a/1": b"1", "a": "corrupt"}

    def test_claims_of_zip_that_are_not_true(self, folder):
        data = zipped({"x": b"x" * 999})
        entry, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")

        def patched(at: int, kind: str, value: int) -> bytes:
            out = bytearray(data)
            struct.pack_into(kind, out, at, value)
            return bytes(out)

        for size in (0, 998, 1000, 90_000):
            assert folder.found(patched(entry + 24, "<L", size)) == {"a/x": "corrupt"}
        assert folder.found(patched(entry + 24, "<L", 2**31)) == {"a": "file_limit"}
        assert folder.found(patched(entry + 20, "<L", 2**31)) == {"a/x": "corrupt"}
        assert folder.found(patched(entry + 42, "<L", 7)) == {"a/x": "corrupt"}
        assert folder.found(patched(end + 16, "<L", 2**31)) == {"a": "corrupt"}
        assert folder.found(patched(end + 10, "<H", 2)) == {"a/x": b"x" * 999, "a": "corrupt"}
        assert folder.found(patched(end + 4, "<H", 1)) == {"a": "unsupported_format"}

    @any_kind
    def test_archives_that_changed_since(self, folder, kind):
        images = folder.sourced(MAKERS[kind](SIX))
        first, last = images[0].uri, images[-1].uri
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            folder.sourced(MAKERS[kind]({"other.png": b"x"}))
            for uri in (first, last):
                with pytest.raises(Rejected, match=r"corrupt: .*; the file has changed"):
                    reader.read(uri)
        for content in (b"plain", MAKERS["tar" if kind == "zip" else "zip"](SIX), parquet_of([])):
            (folder.path / "a").write_bytes(content)
            with (
                ImageReader(max_bytes=MAX_BYTES) as reader,
                pytest.raises(Rejected, match=r"corrupt: .*the file has changed"),
            ):
                reader.read(last)
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            folder.sourced(MAKERS[kind](SIX))
            assert reader.read(first) == images[0].data  # still of use
            with pytest.raises(Rejected, match="corrupt"):
                reader.read(first.partition("=")[0] + "=x&offset=9999999999999999999")

    def test_offsets_in_the_middle_of_something(self, folder):
        inner = tarred({"secret": b"s"})
        images = folder.sourced(tarred({"outer.bin": b"x" * 512 + inner}))
        uri = images[0].uri.replace("outer.bin", "else")
        with (
            ImageReader(max_bytes=MAX_BYTES) as reader,
            pytest.raises(Rejected, match="no member 'else'"),
        ):
            reader.read(uri)


class TestCost:
    def test_members_of_a_compressed_tar_in_order_cost_one_pass(self, folder, monkeypatch):
        members = {f"{i:03d}.png": os.urandom(3000) for i in range(100)}
        images = folder.sourced(packed_tar(members))
        rewinds = []
        monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda _: rewinds.append(1), raising=True)
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            for s in images[::3]:
                assert reader.read(s.uri) == s.data
        assert rewinds == []

    @any_kind
    def test_one_member_is_in_memory_at_a_time(self, folder, kind):
        members = {f"{i}.png": os.urandom(MAX_BYTES) for i in range(100)}
        (folder.path / "a").write_bytes(MAKERS[kind](members))
        tracemalloc.start()
        images = images_of_file(os.fsencode(folder.path), b"a", max_bytes=MAX_BYTES)
        assert sum(len(s.data) for s in images) == 100 * MAX_BYTES
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * MAX_BYTES

    def test_memory_does_not_grow_with_the_number_of_members(self, folder):
        for make in (zipped, tarred):
            (folder.path / "a").write_bytes(make({f"{i:0100d}": b"" for i in range(5000)}))
            tracemalloc.start()
            images = images_of_file(os.fsencode(folder.path), b"a", max_bytes=MAX_BYTES)
            assert sum(1 for _ in images) == 5000
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 1_000_000  # a table of contents of 730,000 bytes, 5000 headers of 512


def test_recognised_by_content_alone(tmp_path):
    for name, make in MAKERS.items():
        (tmp_path / f"{name}.jpg").write_bytes(make({"x": b"x"}))
        assert is_file_of_images(tmp_path / f"{name}.jpg")
    (tmp_path / "a.zip").write_bytes(b"\xff\xd8\xff not a zip")
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(b"SIMPLE  =" + bytes(9000)))
    (tmp_path / "c.tgz").write_bytes(b"\x1f\x8b\x08damaged")
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    (tmp_path / "nothing").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.zip")
    for name in ("a.zip", "b.tar.gz", "c.tgz", "empty.tar", "nothing", "pipe.zip", "none", "."):
        assert not is_file_of_images(tmp_path / name)
    assert [k.title for k in (ZipArchive, TarArchive, GzipTarArchive)] == [
        *("a ZIP archive", "a tar archive", "a compressed tar archive")
    ]


# ------------------------------------------------------------------------- mutants


def archives() -> list[bytes]:
    members = {f"n{i}/{i}.png": zlib.compress(bytes([i]) * 400) for i in range(6)}
    return [
        zipped(members),
        zipped(members, compression=zipfile.ZIP_STORED),
        tarred(members),
        tarred({"n" * 150 + k: v for k, v in members.items()}, kind=tarfile.GNU_FORMAT),
        packed_tar(members),
    ]


def archive_outcomes(folder: Folder, count: int, seed: int) -> dict[str, int]:
    seen = {"images": 0, "rejects": 0}
    reasons = {str(reason) for reason in Reason}
    for data in mutants(archives(), count, seed):
        started = time.monotonic()
        images = folder.sourced(data)
        for s in images:
            if isinstance(s.data, bytes):
                seen["images"] += 1
            else:
                seen["rejects"] += 1
                assert s.data.reason in reasons
                assert s.data.detail.isprintable()
        again = [s for s in images if isinstance(s.data, bytes) and "#" in s.uri]
        with ImageReader(max_bytes=MAX_BYTES) as reader:
            assert [reader.read(s.uri) for s in again] == [s.data for s in again]
        assert time.monotonic() - started < 5
    return seen


def test_mutated_archives_give_images_or_reasons(folder):
    tracemalloc.start()
    seen = archive_outcomes(folder, 400, seed=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(seen.values()) > 100
    assert peak < 30 * MAX_BYTES


@pytest.mark.heavy
def test_many_mutated_archives(folder):
    assert min(archive_outcomes(folder, 10_000, seed=6).values()) > 2000
