"""The parameters of an endpoint, from the one declaration of what may be asked of it.

Each field of a class of :mod:`.asked` is a parameter: its type says how it is read, how it is
documented, and what is wrong with a text that it is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec
from attrs import frozen
from msgspec import NODEFAULT, inspect, structs

from telemetry_twisted.reading import one_of, whole_number

from .asked import Asked, BadRequest

Schema = dict[str, Any]
Read = Callable[[str], Any]

MOST_VALUES = 50
"""How often a parameter may be given that may be given several times."""


@frozen
class Parameter:
    """Something that a request may say, or must, where it stands in the path.

    ``read`` makes its value of the text, or raises ValueError with what was expected; ``schema``
    tells the same to programs. ``many`` may be given several times and is a list. ``field`` is
    what it is in the declaration.
    """

    name: str
    field: str
    read: Read
    schema: Schema
    description: str
    many: bool
    in_path: bool


def parameters_of(asked: type[Asked], path: str) -> tuple[Parameter, ...]:
    """What may be asked with ``asked`` at ``path``, which names some in braces."""
    return tuple(
        _parameter(each, f"{{{each.encode_name}}}" in path) for each in structs.fields(asked)
    )


def _parameter(declared: structs.FieldInfo, in_path: bool) -> Parameter:
    hint = declared.type
    if type(None) in get_args(hint):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    kind, said = (hint.__origin__, hint.__metadata__) if _is_annotated(hint) else (hint, ())
    description = next((each.description for each in said if each.description), "")
    many = get_origin(kind) is list
    if many:
        (hint,) = get_args(kind)
        kind = hint.__origin__ if _is_annotated(hint) else hint
    schema, read = _own(kind) if hasattr(kind, "SCHEMA") else _known(hint)
    if declared.default not in (NODEFAULT, None):
        default = declared.default
        schema["default"] = default if isinstance(default, int) else str(default)
    if many:
        schema = {"type": "array", "items": schema, "maxItems": MOST_VALUES}
    return Parameter(declared.encode_name, declared.name, read, schema, description, many, in_path)


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _own(kind: Any) -> tuple[Schema, Read]:
    """The schema and the reader of a type that is read in a way of its own."""
    return dict(kind.SCHEMA), kind.read


def _known(hint: Any) -> tuple[Schema, Read]:
    """The schema and the reader of a type of JSON, and what is said of it."""
    schema = msgspec.json.schema(hint)
    schema.pop("description", None)
    kind = inspect.type_info(hint)
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.LiteralType):
        # Here they are in the order of the declaration.
        choices = get_args(hint.__origin__ if _is_annotated(hint) else hint)
        return {**schema, "enum": list(choices)}, one_of(*choices)
    if isinstance(kind, inspect.IntType) and kind.ge is not None and kind.le is not None:
        return schema, whole_number(kind.ge, kind.le)
    if isinstance(kind, inspect.BoolType):
        choice = one_of("true", "false")
        return schema, lambda text: choice(text) == "true"
    if isinstance(kind, inspect.StrType):
        return schema, _text(kind, schema.get("title", ""))
    raise TypeError(f"a parameter cannot be read as {kind}")


def _text(kind: inspect.StrType, title: str) -> Read:
    pattern = re.compile(kind.pattern or ".*", re.DOTALL)
    least, most = kind.min_length or 0, kind.max_length or 1000
    expected = title or f"{least} to {most} characters"

    def read(text: str) -> str:
        if "\0" in text or not least <= len(text) <= most or not pattern.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return read


def read_parameters(
    asked: type[Asked],
    parameters: Sequence[Parameter],
    given: Mapping[bytes, list[bytes]],
    path: Mapping[str, str],
) -> Any:
    """What a request says, as ``asked``.

    :raises BadRequest: if something else was given, or is not what it must be.
    """
    values: dict[str, Any] = {}
    texts = _decoded(given)
    expected = {parameter.name: parameter for parameter in parameters}
    for name in texts:
        if name not in expected or expected[name].in_path:
            accepted = ", ".join(p.name for p in parameters if not p.in_path) or "none"
            raise BadRequest(f"unknown parameter {name!r}; accepted: {accepted}")
    for parameter in parameters:
        name = parameter.name
        several = [path[name]] if parameter.in_path else texts.get(name, [])
        most = MOST_VALUES if parameter.many else 1
        if len(several) > most:
            raise BadRequest(f"{name} is given {len(several)} times, {most} at most")
        try:
            read = [parameter.read(text) for text in several]
        except ValueError as error:
            raise BadRequest(f"{name}: {error}") from None
        if read:
            values[parameter.field] = read if parameter.many else read[0]
    return asked(**values)


def _decoded(given: Mapping[bytes, list[bytes]]) -> dict[str, list[str]]:
    try:
        return {name.decode(): [text.decode() for text in texts] for name, texts in given.items()}
    except UnicodeDecodeError:
        raise BadRequest("the query is not UTF-8") from None
