"""Reads Go structs as far as protobuf does not tell: JSON names, pointers, what is left out when empty, defaults."""

import dataclasses
import json
import re

STRUCT = re.compile(r"^type (\w+) struct \{$")
FIELD = re.compile(r"^\t(?:(\w+)\s+)?(\S+)\s+`(.*)`")
CONSTANT = re.compile(r"^\s*(?:const\s+)?(\w+)\s+\w+\s*=\s*(\"[^\"]*\")")


@dataclasses.dataclass
class StructField:
    json: str
    pointer: bool
    omitempty: bool
    default: object


def read(directory):
    """Fields by struct and protobuf number."""
    files = [path for path in sorted(directory.glob("*.go")) if not path.name.startswith(("generated", "zz_"))]
    lines = [line for path in files for line in path.read_text().splitlines()]
    constants = {found[1]: json.loads(found[2]) for line in lines if (found := CONSTANT.match(line))}
    structs, struct, default = {}, None, None
    for line in lines:
        if opened := STRUCT.match(line):
            struct = structs.setdefault(opened[1], {})
        elif line == "}":
            struct = None
        elif marker := re.match(r"^\s*// ?\+default=(.*)$", line):
            default = parse_default(marker[1].strip(), constants)
        elif struct is not None and (found := FIELD.match(line)):
            number, field = parse(found[2], found[3], default)
            if number:
                struct[number] = field
            default = None
    return structs


def parse_default(text, constants):
    reference = re.match(r"^ref\((\w+)\)$", text)
    return constants[reference[1]] if reference else json.loads(text)


def parse(kind, tags, default):
    name, *options = tag(tags, "json").split(",")
    protobuf = tag(tags, "protobuf").split(",")
    if len(protobuf) < 2:
        return None, None
    inlined = "inline" in options
    omitempty = "omitempty" in options or "omitzero" in options
    return int(protobuf[1]), StructField("+" if inlined else name, kind.startswith("*"), omitempty, default)


def tag(tags, name):
    found = re.search(rf'{name}:"([^"]*)"', tags)
    return found[1] if found else ""
