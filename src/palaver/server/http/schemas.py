"""JSON Schemas of what travels, made from the structs that encode and decode it, so that they cannot differ."""

from collections.abc import Iterable
from typing import Any

import msgspec

from palaver.chat.errors import ERRORS
from palaver.chat.records import Message

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_WRITTEN = {"messages": "Message", "members": "User"}  # fields that hold lists of these as bytes
_OPAQUE: tuple[Schema, ...] = ({}, {"type": "array", "items": {}})  # what a schema says of msgspec.Raw

_MODULES = {"palaver.chat.requests.": "Request", "palaver.chat.replies.": "Push"}


def component_schemas(types: Iterable[type[msgspec.Struct]]) -> tuple[dict[type, str], dict[str, Schema]]:
    """The name of each struct's schema, and the schemas by name of all of them and of what they hold.

    Where a request and a push share a name, the names here say which is which. Messages and a room's members travel as
    bytes that are encoded already, which a schema cannot see into; what they are is put in.
    """
    given: list[type[msgspec.Struct]] = [*types, Message]
    references, found = msgspec.json.schema_components(given, ref_template=_REF)
    text = msgspec.json.encode([references, found]).decode()
    for module, prefix in _MODULES.items():
        text = text.replace(module, prefix)
    references, schemas = msgspec.json.decode(text)
    for schema in schemas.values():
        properties = schema.get("properties", {})
        for name, kind in _WRITTEN.items():
            if properties.get(name) in _OPAQUE:
                properties[name] = {"type": "array", "items": ref(kind)}
        if "retryable" in properties:
            properties["code"]["enum"] = list(ERRORS)
    names = [reference["$ref"].rpartition("/")[2] for reference in references]
    return dict(zip(given, names, strict=True)), schemas


def without(schema: Schema, names: Iterable[str]) -> Schema:
    """An object's schema without some of its fields."""
    left_out = set(names)
    return schema | {
        "properties": {name: value for name, value in schema["properties"].items() if name not in left_out},
        "required": [name for name in schema.get("required", []) if name not in left_out],
    }


def ref(name: str) -> Schema:
    """A reference to a schema by name."""
    return {"$ref": _REF.format(name=name)}
