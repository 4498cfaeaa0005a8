"""Reads upstream's generated.proto files: numbered fields of messages."""

import dataclasses
import pathlib
import re

SCALARS = {"string", "bool", "int32", "int64", "double", "bytes"}

FIELD = re.compile(r"^  (optional|repeated|map<string, (\S+)>)\s+(?:(\S+) )?(\w+) = (\d+);$")


@dataclasses.dataclass
class MessageField:
    name: str
    number: int
    label: str
    kind: str


@dataclasses.dataclass
class Package:
    name: str
    directory: pathlib.Path
    messages: dict
    go: dict = dataclasses.field(default_factory=dict)


def read_packages(sources):
    """Every package under a directory, by the name that OpenAPI gives it."""
    packages = {}
    for path in sorted(sources.rglob("generated.proto")):
        package = read(path)
        packages[package.name] = package
    return packages


def openapi_name(proto):
    """`k8s.io.api.core.v1` is `io.k8s.api.core.v1`, and `_` stands for `-`."""
    return "io.k8s" + proto.removeprefix("k8s.io").replace("_", "-")


def read(path):
    text = path.read_text()
    proto = re.search(r"^package (\S+);$", text, re.M)[1]
    package = Package(openapi_name(proto), path.parent, {})
    message = None
    for line in text.splitlines():
        if opened := re.match(r"^message (\w+) \{$", line):
            message = package.messages[opened[1]] = []
        elif line == "}":
            message = None
        elif message is not None and (found := FIELD.match(line)):
            label, value, kind, name, number = found.groups()
            label = {"optional": "", "repeated": "list"}.get(label, "map")
            message.append(MessageField(name, int(number), label, full_name(package.name, value or kind)))
    return package


def full_name(package, kind):
    if kind in SCALARS:
        return kind
    return openapi_name(kind.removeprefix(".")) if kind.startswith(".") else f"{package}.{kind}"
