"""Reads Go sources as far as protobuf does not tell: JSON names, pointers, what is left out when empty, defaults, enums."""

import dataclasses
import json
import re

STRUCT = re.compile(r"^type (\w+) struct \{$")
FIELD = re.compile(r"^\t(?:(\w+)\s+)?(\S+)\s+`(.*)`")
IMPORT = re.compile(r'^(?:import )?\t?(?:(\w+) )?"(k8s\.io/[^"]+)"$')
TEXT_TYPE = re.compile(r"^type (\w+) string$")
CONSTANT = re.compile(r"^\s*(?:const\s+)?(\w+)\s+([\w.]+)\s*=\s*(\"[^\"]*\")")


@dataclasses.dataclass
class StructField:
    json: str
    pointer: bool
    omitempty: bool
    omitzero: bool
    default: object
    # Package (empty for its own) and name of the type, or of the list's elements.
    kind: tuple
    is_list: bool


@dataclasses.dataclass
class GoPackage:
    # Fields by struct and protobuf number.
    structs: dict
    # What values mean, in words, by the name of the type.
    enums: dict


def read(directory):
    files = [path for path in sorted(directory.glob("*.go")) if not path.name.startswith(("generated", "zz_"))]
    sources = [path.read_text().splitlines() for path in files]
    lines = [line for source in sources for line in source]
    constants = {found[1]: json.loads(found[3]) for line in lines if (found := CONSTANT.match(line))}
    structs = {}
    for source in sources:
        read_structs(source, constants, structs)
    return GoPackage(structs, read_enums(lines))


def read_structs(lines, constants, structs):
    imports = {}
    struct, default = None, None
    for line in lines:
        if found := IMPORT.match(line):
            imports[found[1] or found[2].rpartition("/")[2]] = found[2]
        elif opened := STRUCT.match(line):
            struct = structs.setdefault(opened[1], {})
        elif line == "}":
            struct = None
        elif marker := re.match(r"^\s*// ?\+default=(.*)$", line):
            default = parse_default(marker[1].strip(), constants)
        elif struct is not None and (found := FIELD.match(line)):
            number, field = parse(found[2], found[3], default, imports)
            if number:
                struct[number] = field
            default = None


def read_enums(lines):
    """Types of text that are marked as enums, with the values that constants give them."""
    enums, comment = {}, []
    for line in lines:
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
            continue
        if (found := TEXT_TYPE.match(line)) and "+enum" in comment:
            enums.setdefault(found[1], {})
        comment = []
    for line in lines:
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
            continue
        if (found := CONSTANT.match(line)) and found[2] in enums:
            words = " ".join(comment).strip().removeprefix(found[1])
            enums[found[2]].setdefault(json.loads(found[3]), " ".join(words.split()))
        comment = []
    return enums


def parse_default(text, constants):
    reference = re.match(r"^ref\((\w+)\)$", text)
    return constants[reference[1]] if reference else json.loads(text)


def parse(kind, tags, default, imports):
    name, *options = tag(tags, "json").split(",")
    protobuf = tag(tags, "protobuf").split(",")
    if len(protobuf) < 2:
        return None, None
    inlined = "inline" in options
    omitempty = "omitempty" in options or "omitzero" in options
    alias, _, of = kind.lstrip("*[]").rpartition(".")
    field = StructField(
        json="+" if inlined else name,
        pointer=kind.startswith("*"),
        omitempty=omitempty,
        omitzero="omitzero" in options,
        default=default,
        kind=(imports.get(alias, ""), of),
        is_list=kind.startswith("[]"),
    )
    return int(protobuf[1]), field


def tag(tags, name):
    found = re.search(rf'{name}:"([^"]*)"', tags)
    return found[1] if found else ""
