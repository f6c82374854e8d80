"""Zip files of anybody's making, member by member; nothing is unpacked to disk.

`zipfile` refuses a whole archive for one name that is not in the encoding that it claims, so the
list at the end of the file is read here, with names as bytes (APPNOTE.TXT of PKWARE, 4.3).
"""

import stat
import struct
import zlib
from typing import IO, NamedTuple

from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import DEFLATE_AT_MOST

_END, _LISTED, _LOCAL = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_LONGEST_END = 22 + 0xFFFF
_LONGEST_LIST = 16 << 20  # bytes
_MOST_MEMBERS = 100_000
"""Folders, and what systems leave, among them: a Mac writes three for each file."""
_UTF8, _ENCRYPTED = 0x800, 0x1
_STORED, _DEFLATED = 0, 8
_UNICODE_PATH = 0x7075


class Member(NamedTuple):
    """What the list at the end says of a member; any of it may be a lie."""

    name: bytes
    unicode_name: bytes | None
    """The name once more, in UTF-8, as some programs add it."""
    says_utf8: bool
    encrypted: bool
    link: bool
    method: int
    checksum: int
    packed: int
    size: int
    at: int
    """Where it begins in the file."""

    @property
    def impossible(self) -> bool:
        """Whether it claims more bytes than its packed ones can hold."""
        return self.size > DEFLATE_AT_MOST * max(self.packed, 1)


def read_members(file: IO[bytes]) -> list[Member]:
    """The members of a zip file, in its order. Raises `InputError`, without the file's name."""
    length = file.seek(0, 2)
    tail_at = max(0, length - _LONGEST_END)
    file.seek(tail_at)
    tail = file.read()
    found = tail.rfind(_END)
    if found < 0 or len(tail) - found < 22:
        raise InputError("is a truncated or damaged zip file: its end, with the names, is missing")
    size, begin = struct.unpack_from("<2L", tail, found + 12)
    if size > _LONGEST_LIST:
        raise InputError(f"has a list of members of {size:,} bytes, more than is read")
    start = tail_at + found - size
    if start < 0:
        raise InputError("is a truncated or damaged zip file: its list of members is cut")
    file.seek(start)
    listing, at, members = file.read(size), 0, []
    while at < len(listing):
        if listing[at : at + 4] != _LISTED or len(listing) - at < 46:
            raise InputError("is a damaged zip file: its list of members is broken")
        member, at = _member(listing, at, start - begin)
        members.append(member)
        if len(members) > _MOST_MEMBERS:
            raise InputError(f"has more than {_MOST_MEMBERS:,} files and folders in it")
    return members


def _member(listing: bytes, at: int, shift: int) -> tuple[Member, int]:
    """The member that is listed there, and where the next one is."""
    made_by, _, flags, method, _, _, checksum, packed, size, *lengths, _, _, mode, offset = (
        struct.unpack_from("<6H3L5H2L", listing, at + 4)
    )
    name_end = at + 46 + lengths[0]
    name, extra = listing[at + 46 : name_end], listing[name_end : name_end + lengths[1]]
    member = Member(
        name,
        _unicode_name(name, extra),
        bool(flags & _UTF8),
        bool(flags & _ENCRYPTED),
        made_by >> 8 == 3 and stat.S_ISLNK(mode >> 16),  # 3: Unix
        method,
        checksum,
        packed,
        size,
        offset + shift,  # something may stand before the archive
    )
    return member, name_end + lengths[1] + lengths[2]


def _unicode_name(name: bytes, extra: bytes) -> bytes | None:
    """Info-ZIP's field with the name in UTF-8, if it is of this very name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        value = extra[4 : 4 + length]
        if kind == _UNICODE_PATH and len(value) > 5:
            if struct.unpack_from("<L", value, 1)[0] == zlib.crc32(name):
                return value[5:]
            return None
        extra = extra[4 + length :]
    return None


def read_member(file: IO[bytes], member: Member, most: int) -> bytes:
    """Its content, of at most so many bytes. Raises `InputError` with what is wrong with it."""
    if member.encrypted:
        raise InputError("is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise InputError("is packed by a method that is not read here")
    if member.impossible:
        raise InputError(
            f"claims {member.size:,} bytes, more than its {member.packed:,} packed bytes can hold"
        )
    if member.size > most:
        raise InputError(f"claims {member.size:,} bytes, more than the {most:,} that are read")
    file.seek(max(0, member.at))
    header = file.read(30)
    if header[:4] != _LOCAL or len(header) < 30 or member.at < 0:
        raise InputError("is damaged: it is not where the list of members says")
    file.seek(sum(struct.unpack_from("<2H", header, 26)), 1)
    packed = file.read(min(member.packed, most + (most >> 8) + 1024))
    if member.method == _STORED:
        content = packed
    else:
        try:
            content = zlib.decompressobj(-15).decompress(packed, member.size + 1)
        except zlib.error:
            raise InputError("is damaged: it cannot be unpacked") from None
    if len(content) != member.size or zlib.crc32(content) != member.checksum:
        raise InputError("is damaged: its length or its checksum differs")
    return content
