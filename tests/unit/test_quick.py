"""A quick frozen dataclass is the same dataclass: it is compared with its twin without the decorator."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from timesync.quick import quick


@dataclass(frozen=True, slots=True)
class Plain:
    a: int
    b: float = 2.5
    c: list[int] = field(default_factory=list)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """It says what it is."""

    a: int
    b: float = 2.5
    c: list[int] = field(default_factory=list)


@quick
@dataclass(frozen=True, slots=True)
class Pair:
    a: int
    b: str

    @property
    def text(self) -> str:
        return f"{self.a}{self.b}"


def values(made: object) -> list[object]:
    return [getattr(made, each.name) for each in fields(made)]  # type: ignore[arg-type]  # a dataclass, both times


@pytest.mark.parametrize("words", [{"a": 1}, {"a": 1, "b": 3.5}, {"a": 1, "c": [7]}, {"c": [7], "b": 0.0, "a": -1}])
def test_fields_and_defaults_are_those_of_the_plain_class(words: dict[str, object]) -> None:
    assert values(Quick(**words)) == values(Plain(**words))  # type: ignore[arg-type]  # the words are right
    assert repr(Quick(**words)) == repr(Plain(**words)).replace("Plain", "Quick")  # type: ignore[arg-type]  # as above


def test_instance_is_frozen_once_it_is_made() -> None:
    made = Quick(1)
    with pytest.raises(FrozenInstanceError):
        made.a = 2  # type: ignore[misc]  # that is the point
    with pytest.raises(FrozenInstanceError):
        del made.a  # type: ignore[misc]  # that is the point
    assert type(made) is Quick
    assert not hasattr(made, "__dict__")


def test_default_factory_makes_one_for_each_instance() -> None:
    assert Quick(1).c is not Quick(1).c


def test_instances_compare_hash_replace_and_copy_as_dataclasses_do() -> None:
    made = Pair(1, "x")
    assert made == Pair(1, "x") != Pair(2, "x")
    assert hash(made) == hash(Pair(1, "x"))
    assert replace(made, b="y") == Pair(1, "y")
    assert copy.copy(made) == pickle.loads(pickle.dumps(made)) == made
    assert made.text == "1x"


@pytest.mark.parametrize(("args", "words"), [((), {}), ((1, 2.0, [], 4), {}), ((1,), {"d": 1}), ((1,), {"a": 1})])
def test_wrong_arguments_are_refused(args: tuple[object, ...], words: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Quick(*args, **words)  # type: ignore[arg-type]  # that is the point


def test_signature_and_documentation_are_kept() -> None:
    assert list(inspect.signature(Quick).parameters) == ["a", "b", "c"]
    assert Quick.__doc__ == "It says what it is."


def test_class_that_is_not_covered_is_refused() -> None:
    @dataclass(slots=True)
    class Changing:
        a: int

    @dataclass(frozen=True)
    class WithoutSlots:
        a: int

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ByKeyword:
        a: int

    @dataclass(frozen=True, slots=True)
    class Checking:
        a: int

        def __post_init__(self) -> None:
            assert self.a

    for kind in (Changing, WithoutSlots, ByKeyword, Checking):
        with pytest.raises(TypeError):
            quick(kind)
