"""The published schema: exported, described, and within the contract.

The contract is `../shared/schema.graphql` beside this checkout; `DARKROOM_TEST_CONTRACT` names another place.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
    print_ast,
)
from strawberry.types.enum import StrawberryEnumDefinition

from app.env_example import render
from db import models
from resolvers.root import schema
from schema import enums
from services.errors import Refusal
from services.live import LiveUpdateType

CHECKOUT = Path(__file__).resolve().parents[2]
CONTRACT = Path(os.environ.get("DARKROOM_TEST_CONTRACT") or CHECKOUT.parent / "shared" / "schema.graphql")

OURS = build_schema(schema.as_str())


def types_of(schema: GraphQLSchema) -> Mapping[str, GraphQLNamedType]:
    return {
        name: type
        for name, type in schema.type_map.items()
        if not is_introspection_type(type) and not is_specified_scalar_type(type)
    }


def members(type: GraphQLNamedType) -> Iterator[tuple[str, str, str | None]]:
    """Every field, argument, enum value, union member and interface: its path, its type, its description."""
    match type:
        case GraphQLObjectType() | GraphQLInterfaceType():
            for interface in type.interfaces:
                yield f"implements {interface.name}", "", "-"
            for name, field in type.fields.items():
                yield name, str(field.type), field.description
                for argument_name, argument in field.args.items():
                    yield f"{name}({argument_name})", str(argument.type), argument.description
        case GraphQLInputObjectType():
            for name, input_field in type.fields.items():
                yield name, str(input_field.type), input_field.description
        case GraphQLEnumType():
            for name, value in type.values.items():
                yield name, "", value.description
        case GraphQLUnionType():
            for member in type.types:
                yield f"| {member.name}", "", "-"


def test_the_exported_schema_is_the_one_that_is_served() -> None:
    """Else: make sdl"""
    assert (CHECKOUT / "schema" / "schema.graphql").read_text(encoding="utf-8") == schema.as_str() + "\n"


def test_the_example_of_settings_is_the_one_that_the_settings_give() -> None:
    """Else: make sdl"""
    assert (CHECKOUT / ".env.example").read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("name", types_of(OURS))
def test_everything_has_a_sentence(name: str) -> None:
    type = OURS.type_map[name]
    sentences = {name: type.description, **{path: text for path, _, text in members(type)}}
    assert [path for path, text in sentences.items() if not is_sentence(text)] == []


def is_sentence(text: str | None) -> bool:
    return text == "-" or (bool(text) and str(text)[0].isupper() and str(text).endswith("."))


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    if not CONTRACT.exists():
        reason = f"NO CONTRACT at {CONTRACT}: the schema is not compared with it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return build_schema(CONTRACT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", types_of(OURS))
def test_every_name_stands_in_the_contract_with_the_same_type(contract: GraphQLSchema, name: str) -> None:
    ours, theirs = OURS.type_map[name], contract.type_map.get(name)
    assert type(ours) is type(theirs)
    assert theirs is not None
    promised = {(path, kind) for path, kind, _ in members(theirs)}
    assert {(path, kind) for path, kind, _ in members(ours)} - promised == set()


def test_an_original_is_an_attachment_unless_asked_otherwise(contract: GraphQLSchema) -> None:
    for each in (OURS, contract):
        media = each.type_map["Media"]
        assert isinstance(media, GraphQLObjectType)
        default = media.fields["download"].args["disposition"].default
        assert default is not None
        assert default.literal is not None
        assert print_ast(default.literal) == "ATTACHMENT"


@pytest.mark.parametrize("name", enums.__all__)
def test_an_enum_of_the_code_has_the_values_of_the_schema(name: str) -> None:
    published = OURS.type_map[name]
    assert isinstance(published, GraphQLEnumType)
    enum = getattr(enums, name)
    assert isinstance(enum.__strawberry_definition__, StrawberryEnumDefinition)
    assert set(published.values) == {member.value for member in enum}


def test_enums_below_the_schema_are_within_it() -> None:
    """Refusals, logged events and updates become values of the schema by their name."""
    published = {member.value for member in enums.MediaEventType}
    assert {member.value for member in LiveUpdateType} == published
    assert {member.value for member in models.MediaEventType} < published
    refusals = {kind.code for kind in Refusal.__subclasses__()}
    assert refusals == {member.value for member in enums.ErrorCode}
