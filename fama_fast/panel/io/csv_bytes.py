"""Reads the bytes of a text file as UTF-8: unpacked, decoded, without a byte-order mark.

A plain UTF-8 file is mapped, not copied. It knows nothing of columns.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import mmap
import zlib
from typing import IO, TYPE_CHECKING, cast

from fama_fast.errors import ConfigError, DataError, nearest_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Bytes = bytes | mmap.mmap

PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Endings of text files that are unpacked while they are read."""

_PIECE = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARKS = {name: tuple(mark for mark, of in _BOMS if of == name) for name in ("utf-16", "utf-32")}
# What is called so holds characters of the larger sets in practice.
_WIDER = {"gbk": "gb18030", "gb2312": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "latin_1": "cp1252"}
_KNOWN = ("utf-8", "utf-16", "gbk", "gb18030", "big5", "shift_jis", "euc_kr", "cp1252", "latin-1", "cp1251")
_OTHERS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}


def read_text(file: Path, encoding: str | None, *, most: int | None = None) -> tuple[Bytes, int]:
    """The UTF-8 bytes of a text file, and where its text begins in them.

    Args:
        encoding: of the file; UTF-8 when None. A byte-order mark says it better than anyone.
        most: bytes of the unpacked file to look at, from its beginning; None for all.

    Raises:
        DataError: a file that cannot be opened or unpacked, or holds no text in this encoding. ConfigError: an encoding
            that does not exist.
    """
    codec = None if encoding is None else _codec(encoding)
    data = _unpacked(file, most)
    complete = most is None or len(data) < most
    head = data[:4]
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise DataError(f"{file}: not a CSV text file but {what}: save it as CSV, or name it by its kind")
    mark, name = next(((m, n) for m, n in _BOMS if head.startswith(m)), (b"", codec))
    if name not in (None, "utf-8"):
        return _decoded(bytes(data), name, file, whole=complete), 0
    if data.find(b"\0") >= 0:
        raise DataError(f"{file}: not a CSV text file (it holds binary data){_utf16_hint(data)}")
    wrong = _not_utf8(data, whole=complete)
    if wrong is not None:
        raise DataError(_bad_byte(data, wrong, file))
    return data, len(mark)


def _unpacked(file: Path, most: int | None) -> Bytes:
    """A file's bytes, decompressed if they are compressed: the first `most` of them."""
    opener: Callable[[IO[bytes]], IO[bytes]] | None = None
    try:
        with file.open("rb") as opened:
            head = opened.read(6)
            opened.seek(0)
            if not head:
                raise DataError(f"{file}: the file is empty")
            opener = next((o for magic, o in _PACKERS if head.startswith(magic)), None)
            if opener is not None:
                with opener(opened) as unpacked:
                    return unpacked.read() if most is None else unpacked.read(most)
            if most is not None:
                return opened.read(most)
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError, OSError) as error:
        if opener is None:
            raise DataError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{file}: cannot be unpacked, the file is cut short or corrupt: {reason}") from error


def _open_zstd(opened: IO[bytes]) -> IO[bytes]:
    import pyarrow as pa

    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(opened, "r"), "zstd")
    return stream


def _open_gzip(opened: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=opened))


def _open_bz2(opened: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", bz2.BZ2File(opened))


def _open_xz(opened: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(opened))


_PACKERS = (
    (b"\x1f\x8b", _open_gzip),
    (b"BZh", _open_bz2),
    (b"\xfd7zXZ\0", _open_xz),
    (b"\x28\xb5\x2f\xfd", _open_zstd),
)


def _codec(encoding: str) -> str:
    """Python's name of an encoding, of the widest set that goes by it.

    Raises:
        ConfigError: there is no such encoding.
    """
    try:
        name = codecs.lookup(encoding.strip()).name
        "".encode(name)  # base64 and the like are codecs of bytes
    except (LookupError, UnicodeError, ValueError) as error:
        near = nearest_name(encoding, _KNOWN)
        hint = f"; did you mean {near!r}?" if near else f" (such as {', '.join(_KNOWN)})"
        raise ConfigError(f"there is no encoding {encoding!r}{hint}") from error
    name = "utf-8" if name in ("utf-8", "ascii", "utf-8-sig") else name
    return _WIDER.get(name.replace("iso8859-1", "latin_1"), name)


def _decoded(data: bytes, codec: str, file: Path, *, whole: bool) -> bytes:
    # Decoders differ by version of Python in what they say of this.
    if data and codec in ("utf-16", "utf-32") and not data.startswith(_MARKS[codec]):
        ways = f"(without a byte-order mark it is {codec}-le or {codec}-be)"
        raise DataError(f"{file}: not {codec} text: it does not begin with a byte-order mark {ways}")
    try:
        # Of a part, the last character may be half.
        return codecs.getincrementaldecoder(codec)().decode(data, final=whole).encode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise DataError(
            f"{file}: line {line:,}: the byte {byte} is not {codec} text: is the encoding another one?"
        ) from error
    except UnicodeError as error:
        raise DataError(f"{file}: not {codec} text: {error}") from error


def _not_utf8(data: Bytes, *, whole: bool) -> int | None:
    """Position of the first byte that is no UTF-8, None when all is; of a part, the last character may be half."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        waiting = len(decoder.getstate()[0])
        if piece.isascii() and not waiting:
            continue
        try:
            decoder.decode(piece, final=whole and start + _PIECE >= len(data))
        except UnicodeDecodeError as error:
            return start - waiting + error.start
    return None


def _bad_byte(data: Bytes, at: int, file: Path) -> str:
    line = data[:at].count(b"\n") + 1
    if at >= len(data) - 3 and data[at] >= 0xC2 and not any(b < 0x80 for b in data[at:]):
        return f"{file}: line {line:,}: the last character is not whole: the file is cut short"
    around = data[max(0, at - 2000) : at + 2000]
    likely = _guess(around)
    return (
        f"{file}: line {line:,}: the byte 0x{data[at]:02x} is not UTF-8 text: name the encoding with --encoding, such "
        f"as {likely} (in Python: encoding={likely!r})"
    )


def _guess(data: bytes) -> str:
    """The likeliest encoding of bytes that are no UTF-8: gbk where high bytes make common Chinese characters."""
    high = sum(b >= 0x80 for b in data)
    text = data.decode("gb2312", errors="ignore")
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return "gbk" if high and 2 * chinese >= 0.8 * high else "cp1252"


def _utf16_hint(data: Bytes) -> str:
    head = data[:2000]
    zeros = (head[1::2].count(0), head[::2].count(0))
    for name, here, there in (("utf-16-le", zeros[0], zeros[1]), ("utf-16-be", zeros[1], zeros[0])):
        if here > 4 and not there:
            return f"; it looks like UTF-16 without a byte-order mark: --encoding {name} (in Python: encoding={name!r})"
    return ""
