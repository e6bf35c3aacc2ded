"""A small reader of JSON Schema: enough to hold an answer of our API against its description, and to know when it is not."""

from __future__ import annotations

from typing import Any

__all__ = ["mismatches"]

KNOWN = {"type", "properties", "required", "additionalProperties", "items", "enum", "description", "minimum", "maximum"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def mismatches(schema: dict[str, Any], value: Any, where: str = "$") -> list[str]:
    """Where a value is not as a schema says; empty where it is. Raises AssertionError for a keyword that it cannot judge."""
    assert set(schema) <= KNOWN, f"{where}: a keyword that is not checked: {set(schema) - KNOWN}"
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    fits = any(
        isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in {"integer", "number"})
        for name in names
    )
    if names and not fits:
        return [f"{where}: {value!r} is no {' or '.join(names)}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += mismatches(schema["items"], item, f"{where}[{index}]")
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            inner = properties.get(name, more)
            if inner is False:
                found.append(f"{where}: {name} is not described")
            elif isinstance(inner, dict):
                found += mismatches(inner, item, f"{where}.{name}")
    return found
