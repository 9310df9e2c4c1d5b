"""What the names of HTML's elements mean to a parser, as far as the shape of a page needs it.

Source: the HTML standard (WHATWG), 13.2.5 "Tokenization" and 13.2.6 "Tree construction".
"""

from __future__ import annotations

import functools

import numpy as np

# Kinds of elements. PLAIN is any other: its end tag closes it only where no other kind was opened inside it.
(PLAIN, BLOCK, BARRIER, TABLE, CELL, FORMAT, OPTIONAL, VOID, WHOLE, RAW, SELECT, RUBY, FOREIGN, LAST) = range(14)

NAMES = {
    # closed by their end tags, with all that is open inside
    BLOCK: """address article aside blockquote button center details dialog dir div dl fieldset figcaption figure
        footer form h1 h2 h3 h4 h5 h6 header hgroup listing main menu nav ol pre search section summary ul""",
    # what is open outside is not closed from inside
    BARRIER: "applet marquee object",
    TABLE: "table template",
    # begin by closing all that is open in the table
    CELL: "caption colgroup tbody td tfoot th thead tr",
    # opened again in each paragraph and block until their end tag comes
    FORMAT: "a b big code em font i nobr s small strike strong tt u",
    # seldom closed by an end tag; they close each other
    OPTIONAL: "dd dt li optgroup option p",
    VOID: """area base basefont bgsound br col embed frame hr image img input keygen link meta param source track
        wbr""",
    # one a page: what further tags say is added to it
    WHOLE: "body frameset head html",
    # no tags inside
    RAW: "iframe noembed noframes script style textarea title xmp",
    SELECT: "select",
    RUBY: "rb rp rt rtc",
    # another language inside, whose tags may close themselves
    FOREIGN: "math svg",
    LAST: "plaintext",
}
KINDS = {name: kind for kind, names in NAMES.items() for name in names.split()}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")  # the end tag of one closes any

FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3  # of FNV-1a, 64 bits
HASH_MASK = (1 << 63) - 1
_SLOTS = 512  # of the kernel's table, a power of 2


def name_hash(name: str) -> int:
    """Return the hash by which the kernel knows a name: FNV-1a of 64 bits, the highest left out."""
    value = FNV_BASIS
    for byte in name.encode():
        value = (value ^ byte) * FNV_PRIME % (1 << 64)
    return value & HASH_MASK


@functools.cache
def name_table() -> tuple[np.ndarray, np.ndarray]:
    """Return a hash table by open addressing: (slots,) int64 hashes, 0 where empty, and (slots,) int64 kinds."""
    hashes, kinds = np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)
    for name, kind in KINDS.items():
        value = name_hash(name)
        slot = value & (_SLOTS - 1)
        while hashes[slot]:
            slot = (slot + 1) & (_SLOTS - 1)
        hashes[slot], kinds[slot] = value, kind
    return hashes, kinds
