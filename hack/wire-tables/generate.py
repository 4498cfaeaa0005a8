#!/usr/bin/env python3
"""Writes the tables of wire facts: every type of Kubernetes' API, its fields, and how they are written and merged.

    hack/wire-tables/generate.py --openapi openapi.json --sources DIRECTORY [--check]

--openapi   upstream's OpenAPI v2 document (api/openapi-spec/swagger.json)
--sources   a directory with the repositories kubernetes/api, apimachinery, apiextensions-apiserver and kube-aggregator,
            or kubernetes/kubernetes' staging/src/k8s.io, of the same release: generated.proto and types*.go are read
--check     writes nothing, and fails when what is committed is not what would be written

Only facts are taken over: names, numbers, types, and what OpenAPI says of lists and maps. Descriptions, which
`kubectl explain` shows, go to a file of their own, one line per type and field in the order of the table.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import sys

import gosource
from protosource import SCALARS, openapi_name, read_packages

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "crates/api-types/src/schema/types.txt"
DESCRIPTIONS = ROOT / "crates/apiserver/src/openapi/descriptions.txt.gz"

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

# Types that JSON and protobuf write in their own way each.
SPECIALS = {
    f"{META}.Time": "Time",
    f"{META}.MicroTime": "MicroTime",
    f"{META}.FieldsV1": "FieldsV1",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "RawExtension",
    f"{APIEXTENSIONS}.JSON": "JSON",
    f"{APIEXTENSIONS}.JSONSchemaPropsOrArray": "SchemaOrArray",
    f"{APIEXTENSIONS}.JSONSchemaPropsOrBool": "SchemaOrBool",
    f"{APIEXTENSIONS}.JSONSchemaPropsOrStringArray": "SchemaOrStrings",
}

# How OpenAPI writes what protobuf calls by these names.
OPENAPI_SCALARS = {
    "string": ("string", None),
    "bool": ("boolean", None),
    "int32": ("integer", "int32"),
    "int64": ("integer", "int64"),
    "double": ("number", "double"),
    "bytes": ("string", "byte"),
    "Strings": ("array", None),
}

# Packages that no path of the document leads to, but whose messages clients send or servers call out with.
BESIDES = {"io.k8s.api.admission.v1": "admission.k8s.io/v1", META: "meta.k8s.io/v1"}


class Field:
    """One field of a type, from three sources: its protobuf message, its Go struct, its OpenAPI property."""

    def __init__(self, name, number, label, kind, go):
        self.name, self.number, self.label, self.kind = name, number, label, kind
        self.pointer = go.pointer if go else False
        self.omitted_when_empty = go.omitempty if go else True
        self.omitted_when_zero = go.omitzero if go else False
        self.default = go.default if go else None
        # What each possible value means, in words.
        self.enum = {}
        self.required = False
        self.property = None

    def line(self, package):
        kind = self.kind.removeprefix(package + ".") if "." in self.kind else self.kind
        words = [self.name, str(self.number or "-"), {"list": "[]", "map": "{}"}.get(self.label, "") + kind]
        if self.pointer:
            words[2] = "*" + words[2]
        words += self.flags()
        return " " + " ".join(words)

    def flags(self):
        if self.name == "+":
            return
        says = self.property or {}
        if self.required:
            yield "!"
        # Most fields that are required are always written, and the others are not.
        if self.omitted_when_empty == self.required:
            yield "dropped" if self.required else "kept"
        if self.omitted_when_zero:
            yield "omitzero"
        keys = says.get("x-kubernetes-list-map-keys")
        if keys:
            yield "map=" + ",".join(keys)
        elif says.get("x-kubernetes-list-type"):
            yield says["x-kubernetes-list-type"]
        if says.get("x-kubernetes-map-type"):
            yield says["x-kubernetes-map-type"]
        for strategy in filter(None, says.get("x-kubernetes-patch-strategy", "").split(",")):
            key = says.get("x-kubernetes-patch-merge-key")
            yield f"merge={key}" if strategy == "merge" and key else strategy
        if self.enum:
            yield "enum=" + json.dumps(sorted(self.enum), separators=(",", ":"))
        if self.default is not None:
            yield "default=" + json.dumps(self.default, separators=(",", ":"))


    def description(self):
        text = (self.property or {}).get("description", "")
        if not self.enum or self.label:
            return text
        values = sorted(f" - `{json.dumps(value)}` {words}".rstrip() for value, words in self.enum.items())
        return "\n".join([text, ""] * bool(text) + ["Possible enum values:", *values])


class Type:
    """One type: a message, a definition of the document, or both."""

    def __init__(self, name):
        self.name, self.fields, self.definition = name, [], None

    @property
    def package(self):
        return self.name.rpartition(".")[0]

    def line(self, of_group):
        says = self.definition or {}
        words = [self.name.rpartition(".")[2]]
        words.append(SPECIALS[self.name] if self.name in SPECIALS else "type" if self.definition is not None else "message")
        if says.get("x-kubernetes-map-type"):
            words.append(says["x-kubernetes-map-type"])
        kinds = says.get("x-kubernetes-group-version-kind", [])
        if len(kinds) > 1:
            words.append("kind-of-all")
        elif kinds == [{"group": "", "version": "v1", "kind": words[0]}] and self.package == META:
            words.append("kind-of-core")
        elif kinds:
            if (kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"]) != (*of_group, words[0]):
                raise SystemExit(f"{self.name} is a kind of another group: {kinds}")
            words.append("kind")
        if says.get("x-kubernetes-unions"):
            words.append("unions=" + json.dumps(says["x-kubernetes-unions"], separators=(",", ":"), sort_keys=True))
        return " ".join(words)


def read_types(packages, definitions):
    """Every type by its full name."""
    types = {}
    for package in packages.values():
        for message, fields in package.messages.items():
            name = f"{package.name}.{message}"
            types[name] = Type(name)
            if name in SPECIALS:
                continue
            for field in fields:
                go = package.go.structs.get(message, {}).get(field.number)
                json_name = go.json if go else field.name
                types[name].fields.append(Field(json_name, field.number, field.label, field.kind, go))
                if go and (field.label == "list") == go.is_list:
                    types[name].fields[-1].enum = enum_of(packages, package, go.kind)
    wrap_lists(types)
    for name, definition in definitions.items():
        types.setdefault(name, Type(name)).definition = definition
    return types


def enum_of(packages, package, kind):
    path, name = kind
    home = packages.get(openapi_name(path.replace("/", ".").replace("-", "_"))) if path else package
    return home.go.enums.get(name, {}) if home else {}


def wrap_lists(types):
    """Messages around a list of strings, which JSON writes as a list: `map[string][]string` in Go."""
    wrappers = {n for n, t in types.items() if [(f.name, f.label) for f in t.fields] == [("items", "list")]}
    wrappers = {n for n in wrappers if types[n].fields[0].kind == "string"}
    for entry in types.values():
        for field in entry.fields:
            if field.kind in wrappers:
                field.kind = "Strings"
            elif field.kind in SPECIALS:
                field.kind = SPECIALS[field.kind]
    for name in wrappers:
        del types[name]


def describe(types):
    """Adds what the document says of the fields, those of inlined messages included."""
    for entry in types.values():
        if entry.definition is None:
            continue
        rest = dict(entry.definition.get("properties", {}))
        required = entry.definition.get("required", [])
        match_fields(types, entry, rest, required)
        for name, says in rest.items():
            if name in ("apiVersion", "kind") and entry.fields and says == {**says, "type": "string"}:
                field = Field(name, None, "", "string", None)
            else:
                field = from_property(name, says)
            field.property, field.required = says, name in required
            field.omitted_when_empty = not field.required
            entry.fields.append(field)


def match_fields(types, entry, rest, required):
    for field in entry.fields:
        if field.name == "+":
            match_fields(types, types[field.kind], rest, required)
            continue
        says = rest.pop(field.name, None)
        if says is None:
            if field.property is None and entry.definition is not None:
                print(f"note: {entry.name}.{field.name} is not in the document", file=sys.stderr)
            continue
        check_property(entry, field, says)
        if field.property is not None and field.property != says:
            raise SystemExit(f"{entry.name}.{field.name} is described in two ways")
        field.property, field.required = says, field.name in required


def check_property(entry, field, says):
    """The document must say what the message says."""
    expected = plain_property(field)
    actual = {k: v for k, v in says.items() if k in ("type", "format", "$ref", "items", "additionalProperties")}
    if actual != expected:
        raise SystemExit(f"{entry.name}.{field.name}: {actual} is not {expected}")


def plain_property(field):
    if field.kind == "Strings":
        inner = {"type": "array", "items": {"type": "string"}}
    elif field.kind in OPENAPI_SCALARS:
        kind, form = OPENAPI_SCALARS[field.kind]
        inner = {"type": kind} | ({"format": form} if form else {})
    else:
        full = next((name for name, short in SPECIALS.items() if short == field.kind), field.kind)
        inner = {"$ref": f"#/definitions/{full}"}
    return {
        "list": {"type": "array", "items": inner},
        "map": {"type": "object", "additionalProperties": inner},
    }.get(field.label, inner)


def from_property(name, says):
    """A field that no message has."""
    label, inner = "", says
    if says.get("type") == "array":
        label, inner = "list", says["items"]
    elif "additionalProperties" in says:
        label, inner = "map", says["additionalProperties"]
    if "$ref" in inner:
        full = inner["$ref"].rpartition("/")[2]
        return Field(name, None, label, SPECIALS.get(full, full), None)
    form = (inner["type"], inner.get("format"))
    return Field(name, None, label, next(k for k, v in OPENAPI_SCALARS.items() if v == form), None)


def groups_of(definitions):
    """Group and version of each package, by the kinds that are in it."""
    groups = {}
    for name, definition in definitions.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1:
            kind = kinds[0]
            groups[name.rpartition(".")[0]] = (kind["group"], kind["version"])
    return groups | {package: tuple(version.split("/")) for package, version in BESIDES.items()}


def write_table(types, groups, checksum):
    lines = [
        "# Wire facts of Kubernetes' types. Written by hack/wire-tables/generate.py; the form is told in table.rs.",
        f"# openapi sha256 {checksum}",
    ]
    descriptions = []
    by_package = {}
    for entry in types.values():
        by_package.setdefault(entry.package, []).append(entry)
    for package in sorted(by_package):
        group = groups.get(package)
        lines.append(f"package {package}" + (f" {group[0] or 'core'}/{group[1]}" if group else ""))
        for entry in sorted(by_package[package], key=lambda entry: entry.name):
            lines.append(entry.line(group))
            descriptions.append((entry.definition or {}).get("description", ""))
            for field in sorted(entry.fields, key=lambda field: (field.number or 0, field.name)):
                lines.append(field.line(package))
                descriptions.append(field.description())
    escaped = (text.replace("\\", "\\\\").replace("\n", "\\n") for text in descriptions)
    return "\n".join(lines) + "\n", "\n".join(escaped) + "\n"


def wanted(packages, groups):
    """The packages that the document speaks of, and those beside it."""
    homes = {name.rpartition(".")[0] for name in SPECIALS}
    return {name: package for name, package in packages.items() if name in groups or name in homes}


def reachable(types):
    """Drops messages of no kind that nothing leads to."""
    keep = set()
    queue = [n for n, t in types.items() if t.definition is not None or t.package in BESIDES or is_root(t)]
    while queue:
        name = queue.pop()
        if name not in keep:
            keep.add(name)
            queue += [field.kind for field in types[name].fields if field.kind in types]
    return {name: entry for name, entry in types.items() if name in keep}


def is_root(entry):
    """Whether a message is sent as a whole: objects, lists, options."""
    return any(entry.name.endswith(end) for end in ("List", "Options", "Reference", "Result", "Allocation"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openapi", type=pathlib.Path, required=True)
    parser.add_argument("--sources", type=pathlib.Path, required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    document = options.openapi.read_bytes()
    definitions = json.loads(document)["definitions"]
    groups = groups_of(definitions)
    packages = wanted(read_packages(options.sources), groups)
    for package in packages.values():
        package.go = gosource.read(package.directory)
    types = read_types(packages, definitions)
    describe(types)
    table, descriptions = write_table(reachable(types), groups, hashlib.sha256(document).hexdigest())
    if options.check:
        current = TABLE.read_text() == table and gzip.decompress(DESCRIPTIONS.read_bytes()).decode() == descriptions
        sys.exit(0 if current else "the committed tables are not current")
    TABLE.write_text(table)
    DESCRIPTIONS.write_bytes(gzip.compress(descriptions.encode(), compresslevel=9, mtime=0))


assert set(OPENAPI_SCALARS) - {"Strings"} == SCALARS
if __name__ == "__main__":
    main()
