"""Ways to spoil bytes, elements and commands. All draw from a seeded `Random`: the same number is the same case."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

UNDEFINED: Final = 0xFFFFFFFF
LONG_VRS: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""VRs whose lengths have four bytes (PS3.5 7.1.2)."""
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
DEEP: Final = 3000
"""Sequences in sequences: more than Python's stack takes."""

Spoil = Callable[[bytes, Random], bytes]


def flip(data: bytes, chance: Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def cut_off(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def leave_out(data: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 64) :]


def repeat(data: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randint(1, 64)]
    return data[:start] + piece * chance.randint(2, 20) + data[start:]


def put_in(data: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randint(1, 64)) + data[start:]


def overwrite_number(data: bytes, chance: Random) -> bytes:
    """A length, a tag or a value becomes an extreme one."""
    extremes = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
    pattern, start = chance.choice(("<H", ">H", "<L", ">L")), chance.randrange(len(data))
    size = struct.calcsize(pattern)
    number = struct.pack(pattern, chance.choice(extremes) & (256**size - 1))
    return data[:start] + number + data[start + size :]


SPOILS: Final[tuple[Spoil, ...]] = (flip, flip, cut_off, leave_out, repeat, put_in, overwrite_number, overwrite_number)


def spoil(data: bytes, chance: Random) -> bytes:
    """One to three of the ways, one after another."""
    for _ in range(chance.randint(1, 3)):
        data = chance.choice(SPOILS)(data or b"\0", chance)
    return data


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element in Explicit VR Little Endian whose length need not be true."""

    tag: tuple[int, int]
    vr: bytes
    value: bytes
    length: int | None = None

    @property
    def said(self) -> int:
        return len(self.value) if self.length is None else self.length

    def encode(self, *, implicit: bool = False) -> bytes:
        tag = struct.pack("<HH", *self.tag)
        if implicit:
            return tag + struct.pack("<L", self.said) + self.value
        if self.vr in LONG_VRS:
            return tag + self.vr + struct.pack("<xxL", self.said) + self.value
        return tag + self.vr + struct.pack("<H", self.said & 0xFFFF) + self.value


def elements_of(data: bytes) -> list[Element]:
    """The elements of a sound dataset in Explicit VR Little Endian; undefined lengths only in the last of them."""
    found, at = [], 0
    while at < len(data):
        tag, vr = struct.unpack_from("<HH", data, at), data[at + 4 : at + 6]
        is_long = vr in LONG_VRS
        (length,) = struct.unpack_from("<L", data, at + 8) if is_long else struct.unpack_from("<H", data, at + 6)
        begin = at + (12 if is_long else 8)
        end = len(data) if length == UNDEFINED else begin + length
        undefined = UNDEFINED if length == UNDEFINED else None
        found.append(Element(tag=tag, vr=vr, value=data[begin:end], length=undefined))
        at = end
    return found


def encode(elements: Sequence[Element], *, implicit: bool = False) -> bytes:
    return b"".join(element.encode(implicit=implicit) for element in elements)


SpoilElements = Callable[[list[Element], Random], list[Element]]

UIDS: Final = (
    b"",
    b"1." + b"2" * 64,
    b"1.2." + b"3" * 300,
    b"1.2.\x003",
    b"1.2.840.x",
    b"..",
    b"1.02.3",
    b" 1.2.3 ",
    b"\xff\xfe\xfd",
    b"1.2.3\\4.5.6",
    b"\0" * 64,
)
NUMBERS: Final = (
    b"",
    b"-1",
    b"0",
    b"1e999",
    b"-1e308",
    b"nan",
    b"inf",
    b"1e-320",
    b"99999999999999999999",
    b"abc",
    b"0\\0",
    b"-0.2\\-0.2",
    b"0.2",
    b"1e-300\\1e300",
    b"0.2\\0.2\\0.2",
    b"\\",
    b"\x00\x00",
)
SHORTS: Final = (0, 1, 0x7FFF, 0x8000, 0xFFFF)
CHARACTER_SETS: Final = (
    b"ISO_IR 999",
    b"ISO 2022 IR 87",
    b"\\ISO 2022 IR 149",
    b"ISO 2022 IR 13\\ISO 2022 IR 87",
    b"GB18030",
    b"ISO_IR 192",
    b"\\\\\\",
    b"\xff",
    b"ISO_IR 192\\GBK",
)
NAMES: Final = (
    b"\x1b$B\x1b(J",
    b"\x1b$",
    b"\xff\xfe^\xc3\x28",
    b"=" * 9,
    b"^" * 200,
    b"A" * 70000,
    b"\0\0\0",
    "Ünïcødé^名前".encode(),
)
UID_TAGS: Final = ((0x0008, 0x0016), (0x0008, 0x0018), (0x0020, 0x000D), (0x0020, 0x000E))
NUMBER_TAGS: Final = ((0x0018, 0x1164), (0x0018, 0x1110), (0x0020, 0x0013), (0x0028, 0x0008), (0x0028, 0x1050))
SHORT_TAGS: Final = ((0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0100), (0x0028, 0x0101), (0x0028, 0x0002))
TEXT_TAGS: Final = ((0x0010, 0x0010), (0x0010, 0x0020), (0x0008, 0x1030), (0x0008, 0x0050), (0x0018, 0x0015))
PIXELS: Final = (0x7FE0, 0x0010)


def put(elements: list[Element], new: Element) -> list[Element]:
    """With `new` in place of the element of its tag, or where it belongs."""
    return sorted([each for each in elements if each.tag != new.tag] + [new], key=lambda each: each.tag)


def odd_uid(elements: list[Element], chance: Random) -> list[Element]:
    return put(elements, Element(tag=chance.choice(UID_TAGS), vr=b"UI", value=chance.choice(UIDS)))


def odd_number(elements: list[Element], chance: Random) -> list[Element]:
    tag = chance.choice(NUMBER_TAGS)
    return put(elements, Element(tag=tag, vr=b"IS" if tag[0] != 0x18 else b"DS", value=chance.choice(NUMBERS)))


def odd_short(elements: list[Element], chance: Random) -> list[Element]:
    value = struct.pack("<H", chance.choice(SHORTS)) * chance.choice((0, 1, 1, 1, 2))
    return put(elements, Element(tag=chance.choice(SHORT_TAGS), vr=b"US", value=value))


def odd_text(elements: list[Element], chance: Random) -> list[Element]:
    charset = Element(tag=(0x0008, 0x0005), vr=b"CS", value=chance.choice(CHARACTER_SETS))
    text = Element(tag=chance.choice(TEXT_TAGS), vr=b"UT", value=chance.choice(NAMES))
    return put(put(elements, charset), replace(text, vr=chance.choice((b"PN", b"LO", b"UT", b"UN"))))


def wrong_vr(elements: list[Element], chance: Random) -> list[Element]:
    at = chance.randrange(len(elements))
    vrs = (b"SQ", b"ZZ", b"UN", b"OB", b"US", b"FD", b"AT", b"PN", b"\0\0", b"??", b"IS")
    return [*elements[:at], replace(elements[at], vr=chance.choice(vrs)), *elements[at + 1 :]]


def wrong_length(elements: list[Element], chance: Random) -> list[Element]:
    at = chance.randrange(len(elements))
    right = len(elements[at].value)
    lengths = (0, 1, right + 1, max(right - 1, 0), 0xFFFE, 0x7FFFFFFF, 0xFFFFFFF0, UNDEFINED)
    return [*elements[:at], replace(elements[at], length=chance.choice(lengths)), *elements[at + 1 :]]


def out_of_order(elements: list[Element], chance: Random) -> list[Element]:
    return chance.sample(elements, len(elements))


def twice(elements: list[Element], chance: Random) -> list[Element]:
    return [*elements, *chance.sample(elements, chance.randint(1, len(elements)))]


def missing(elements: list[Element], chance: Random) -> list[Element]:
    return chance.sample(elements, chance.randrange(len(elements)))


def foreign_groups(elements: list[Element], chance: Random) -> list[Element]:
    """Elements of a command or of the file meta information where none belong."""
    tags = ((0x0000, 0x0100), (0x0002, 0x0010), (0x0002, 0x0000), (0x0008, 0x0000), (0xFFFE, 0xE000), (0xFFFF, 0xFFFF))
    new = Element(tag=chance.choice(tags), vr=b"UI", value=chance.choice((b"1.2.840.10008.1.2.1.99", b"", b"1.2")))
    return chance.choice(([new, *elements], sorted([*elements, new], key=lambda each: each.tag), [*elements, new]))


def nested(elements: list[Element], chance: Random) -> list[Element]:
    """Sequences in sequences, closed or not."""
    depth = chance.choice((1, 3, 50, 400, DEEP))
    opening = ITEM + b"\xff" * 4 + b"\x08\x00\x40\x11SQ\x00\x00" + b"\xff" * 4
    closing = SEQUENCE_END + bytes(4) + ITEM_END + bytes(4)
    value = opening * depth + chance.choice((b"", closing * depth, closing * (depth // 2)))
    return put(elements, Element(tag=(0x0008, 0x1140), vr=b"SQ", value=value, length=UNDEFINED))


def code_sequence(elements: list[Element], chance: Random) -> list[Element]:
    """Of view or region, with items that are none."""
    value = chance.choice(
        (ITEM + bytes(4), ITEM + b"\xff" * 4, b"\0" * 8, ITEM + b"\x08\0\0\0" + b"\x08\0\0\x01\xff\xff\xff\xff")
    )
    return put(elements, Element(tag=chance.choice(((0x0054, 0x0220), (0x0008, 0x2218))), vr=b"SQ", value=value))


def huge_private(elements: list[Element], chance: Random) -> list[Element]:
    length = chance.choice((0x10000000, 0x7FFFFFFF, 0xFFFFFFF0))
    return put(elements, Element(tag=(0x0009, 0x1001), vr=b"OB", value=b"short", length=length))


def encapsulated(elements: list[Element], chance: Random) -> list[Element]:
    """Pixels in fragments that do not hold together (PS3.5 A.4)."""
    offsets = ITEM + chance.choice((bytes(4), b"\x04\0\0\0" + b"\xff" * 4, b"\x03\0\0\0abc"))
    content = chance.randbytes(40)
    length = struct.pack("<L", chance.choice((40, 41, 0, 0x7FFFFFFF, UNDEFINED)))
    end = chance.choice((SEQUENCE_END + bytes(4), b"", ITEM_END + bytes(4)))
    value = offsets + chance.choice((ITEM, ITEM_END, b"\0" * 4)) + length + content + end
    return put(elements, Element(tag=PIXELS, vr=b"OB", value=value, length=UNDEFINED))


def unencapsulated(elements: list[Element], chance: Random) -> list[Element]:
    value = chance.randbytes(chance.choice((0, 1, 7, 500)))
    return put(elements, Element(tag=PIXELS, vr=chance.choice((b"OW", b"OB", b"UN")), value=value))


ELEMENT_SPOILS: Final[tuple[SpoilElements, ...]] = (
    odd_uid, odd_number, odd_number, odd_short, odd_short, odd_text, odd_text, wrong_vr, wrong_length, wrong_length,
    out_of_order, twice, missing, foreign_groups, nested, code_sequence, huge_private, encapsulated, unencapsulated,
)  # fmt: skip


def spoil_elements(elements: list[Element], chance: Random) -> list[Element]:
    """One to three of the ways, one after another."""
    for _ in range(chance.randint(1, 3)):
        elements = chance.choice(ELEMENT_SPOILS)(elements or [Element(tag=(8, 8), vr=b"CS", value=b"")], chance)
    return elements


def deflate(data: bytes) -> bytes:
    """As PS3.5 A.5 has it: no header, an even length."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def spoil_deflated(data: bytes, chance: Random) -> bytes:
    """Spoilt before, spoilt after, cut short, or blown up."""
    way = chance.randrange(4)
    if way == 0:
        return deflate(spoil(data, chance))
    if way == 1:
        return spoil(deflate(data), chance)
    if way == 2:
        return cut_off(deflate(data), chance)
    return deflate(data + bytes(chance.choice((1 << 16, 1 << 24))))
