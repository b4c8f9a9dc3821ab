#!/usr/bin/env python3
"""Writes unicode_tables.cpp and unicode_case_tables.cpp: what Python's str methods know of characters.

Run in server/chat: python3 make_unicode_tables.py
Ranges are {first, last, stride}; case mappings add the distance to the mapped character.
"""
import sys
import textwrap

def rows(items):
    print(textwrap.fill(", ".join(items), 98, break_on_hyphens=False))


CHARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def runs(points):
    """Greedy arithmetic runs (stride 1 or 2) over sorted code points."""
    out, i = [], 0
    while i < len(points):
        stride = 1
        if i + 2 < len(points) and points[i + 1] == points[i] + 2 and points[i + 2] == points[i] + 4:
            stride = 2
        j = i
        while j + 1 < len(points) and points[j + 1] == points[j] + stride:
            j += 1
        out.append((points[i], points[j], stride))
        i = j + 1
    return out


def table(name, predicate):
    items = runs([ord(c) for c in CHARS if predicate(c)])
    print(f"const CharRange {name}Table[] = {{")
    rows(f"{{{a:#x},{b:#x},{s}}}" for a, b, s in items)
    print("};")
    print(f"const std::span<const CharRange> {name}({name}Table);")


def case_table(name, mapped):
    by_delta = {}
    for c in CHARS:
        m = mapped(c)
        if len(m) == 1 and m != c:
            by_delta.setdefault(ord(m) - ord(c), []).append(ord(c))
    items = sorted((a, b, s, d) for d, pts in by_delta.items() for a, b, s in runs(pts))
    # Ranges of stride 2 may interleave with others; a search needs them disjoint.
    flat = []
    for a, b, s, d in items:
        if flat and a <= flat[-1][1]:
            pa, pb, ps, pd = flat.pop()
            pts = sorted([(p, pd) for p in range(pa, pb + 1, ps)] + [(p, d) for p in range(a, b + 1, s)])
            flat += [(p, p, 1, q) for p, q in pts]
        else:
            flat.append((a, b, s, d))
    print(f"const CaseRange {name}Table[] = {{")
    rows(f"{{{a:#x},{b:#x},{s},{d}}}" for a, b, s, d in flat)
    print("};")
    print(f"const std::span<const CaseRange> {name}({name}Table);")
    print(f"const SpecialCase {name}SpecialTable[] = {{")
    special = [(ord(c), mapped(c)) for c in CHARS if len(mapped(c)) > 1]
    rows(f"{{{c:#x},{{{','.join(hex(ord(x)) for x in m)}}}}}" for c, m in special)
    print("};")
    print(f"const std::span<const SpecialCase> {name}Special({name}SpecialTable);")


def cased_map(c, method):
    return getattr(c, method)()


def begin(path):
    sys.stdout = open(path, "w")
    print("// Made by make_unicode_tables.py; do not edit.")
    print('#include "server/chat/unicode.h"')
    print()
    print("// clang-format off")
    print("namespace hearth::jinja::unicode_tables {")


def end():
    print("}  // namespace hearth::jinja::unicode_tables")
    sys.stdout.close()


begin("unicode_tables.cpp")
table("kNotPrintable", lambda c: not c.isprintable())
table("kAlpha", str.isalpha)
table("kDecimal", str.isdecimal)
table("kDigit", str.isdigit)
table("kNumeric", str.isnumeric)
table("kSpace", str.isspace)
table("kUpper", str.isupper)
table("kLower", str.islower)
end()
begin("unicode_case_tables.cpp")
case_table("kToLower", lambda c: cased_map(c, "lower"))
case_table("kToUpper", lambda c: cased_map(c, "upper"))
case_table("kToTitle", lambda c: cased_map(c, "title"))
end()
