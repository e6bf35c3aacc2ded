"""Frozen dataclasses that are made quickly, for the few that every exchange makes.

Rule: nothing but the speed of `__init__` changes: the class stays frozen, with slots, and compares, copies and replaces as before.

The `__init__` of a frozen dataclass has to get round its own `__setattr__`, one call for each field: making the ten small
records of one exchange that way costs as much as its system calls. Here an instance is for the time of its `__init__` of a
subclass that has the same slots and is not frozen, where a field is set by one instruction; then it gets its own class back.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

__all__ = ["quick"]

_Class = TypeVar("_Class")


def quick(cls: type[_Class]) -> type[_Class]:
    """Decorate a class that is already `@dataclass(frozen=True, slots=True)`. Raises TypeError for what it does not cover.

    Not covered: fields that are keyword-only or not in `__init__`, and `__post_init__`.
    """
    parameters = vars(cls).get("__dataclass_params__")
    if parameters is None or not parameters.frozen or "__slots__" not in vars(cls) or hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} is not a plain frozen dataclass with slots")
    unfrozen = type(
        cls.__name__, (cls,), {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    )
    names: dict[str, Any] = {"_become": object.__dict__["__class__"].__set__, "_open": unfrozen, "_closed": cls}
    names["_missing"] = MISSING
    heads, lines = ["self"], []
    for each in fields(cls):  # type: ignore[arg-type]  # it has been looked at above
        if not each.init or each.kw_only:
            raise TypeError(f"{cls.__name__}.{each.name}: only plain fields are covered")
        head, value = each.name, each.name
        if each.default is not MISSING:
            names[f"_default_{each.name}"] = each.default
            head = f"{each.name}=_default_{each.name}"
        elif each.default_factory is not MISSING:
            names[f"_make_{each.name}"] = each.default_factory
            head = f"{each.name}=_missing"
            value = f"_make_{each.name}() if {each.name} is _missing else {each.name}"
        heads.append(head)
        lines.append(f"    self.{each.name} = {value}\n")
    body = f"def __init__({', '.join(heads)}):\n    _become(self, _open)\n{''.join(lines)}    _become(self, _closed)\n"
    exec(body, names)  # noqa: S102 - made of the field names of our own classes, as dataclasses itself does it
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]  # replaced by its equal
    return cls
