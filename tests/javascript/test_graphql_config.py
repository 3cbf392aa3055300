"""graphql.config.yml, as GraphQL Code Generator and the plugins of editors read it."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    is_abstract_type,
    parse,
    validate,
)

from tests.corpus import CHECKOUT
from tests.javascript.node import HOME, run

SCHEMA = CHECKOUT / "schema" / "schema.graphql"
#: Those of the programs in `tests/node`, and the tabs of GraphiQL.
DOCUMENTS = (HOME / "documents", CHECKOUT / "web" / "graphiql" / "examples")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"))


@pytest.fixture
def project(node: Path, tmp_path: Path) -> Path:
    """What the configuration reads, in a directory where something may be written."""
    shutil.copy(CHECKOUT / "graphql.config.yml", tmp_path)
    for part in (
        "schema/schema.graphql",
        "tests/node/documents",
        "web/graphiql/examples",
        "web/graphiql/src",
    ):
        source, copy = CHECKOUT / part, tmp_path / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        elif source.exists():
            shutil.copy(source, copy)
    (tmp_path / "node_modules").symlink_to(HOME / "node_modules")
    return tmp_path


def generate(node: Path, project: Path) -> "subprocess.CompletedProcess[str]":
    return run(node, project / "node_modules" / ".bin" / "graphql-codegen", cwd=project)


def definitions() -> list[OperationDefinitionNode | FragmentDefinitionNode]:
    """Those of all documents."""
    paths = [path for directory in DOCUMENTS for path in sorted(directory.glob("*.graphql"))]
    texts = (path.read_text(encoding="utf-8") for path in paths)
    found = [definition for text in texts for definition in parse(text).definitions]
    return [each for each in found if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode)]


def operations() -> dict[str, str]:
    """The name of each, and of its generated type."""
    named = {}
    for definition in definitions():
        if isinstance(definition, OperationDefinitionNode):
            assert definition.name is not None
            named[definition.name.value] = definition.name.value + definition.operation.value.capitalize()
    return named


def test_every_place_that_is_named_has_documents() -> None:
    assert all(any(directory.glob("*.graphql")) for directory in DOCUMENTS)


def test_every_operation_becomes_a_typed_document(node: Path, project: Path) -> None:
    """Twice: what was generated is no document itself."""
    for _ in range(2):
        generated = generate(node, project)
        assert generated.returncode == 0, generated.stdout + generated.stderr
    code = (project / "tests/node/gql/graphql.ts").read_text(encoding="utf-8")
    assert operations()
    for name, type in operations().items():
        document = rf"export const {name}Document = .* as unknown as DocumentNode<{type}, {type}Variables>;"
        assert re.search(document, code), name
    assert re.search(r"export type MediaRowFragment = .*createdAt: string, ", code)
    assert "any" not in re.findall(r"\w+", "\n".join(re.findall(r"export type \w+Subscription = .*", code)))


def test_every_operation_gets_the_identifier_of_its_text(
    node: Path, project: Path, schema: GraphQLSchema
) -> None:
    assert generate(node, project).returncode == 0
    persisted = json.loads((project / "tests/node/gql/persisted-documents.json").read_text(encoding="utf-8"))
    names = set()
    for identifier, text in persisted.items():
        assert identifier == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        document = parse(text)
        assert validate(schema, document) == []
        names |= set(named_operations(document))
    assert names >= operations().keys()


def named_operations(document: DocumentNode) -> list[str]:
    return [
        definition.name.value
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode) and definition.name is not None
    ]


@pytest.mark.parametrize("place", ["web/graphiql/examples", "tests/node/documents"])
def test_a_document_that_the_schema_does_not_answer_is_refused(node: Path, project: Path, place: str) -> None:
    wrong = project / place / "wrong.graphql"
    wrong.write_text("query Wrong { viewer { shoeSize } }")
    generated = generate(node, project)
    assert generated.returncode != 0
    assert 'Cannot query field "shoeSize" on type "User".' in generated.stdout + generated.stderr


def test_documents_are_found_in_typescript_too(node: Path, project: Path) -> None:
    component = project / "web/graphiql/src/Name.tsx"
    component.parent.mkdir(parents=True, exist_ok=True)
    component.write_text(
        'import { graphql } from "./gql";\n'
        "export const NAME = graphql(`query Name { viewer { username } }`);\n"
    )
    generated = generate(node, project)
    assert generated.returncode == 0, generated.stdout + generated.stderr
    assert "export type NameQuery = " in (project / "tests/node/gql/graphql.ts").read_text(encoding="utf-8")


def test_the_possible_types_are_generated(node: Path, project: Path) -> None:
    """Else: npm --prefix tests/node run codegen"""
    assert generate(node, project).returncode == 0
    generated = (project / "tests/node/possible_types.json").read_text(encoding="utf-8")
    assert json.loads(generated) == json.loads((HOME / "possible_types.json").read_text(encoding="utf-8"))


def test_the_possible_types_are_those_of_the_schema(schema: GraphQLSchema) -> None:
    """Apollo's cache needs them to know that what is spread on a `Node` belongs to a `Media`."""
    committed = json.loads((HOME / "possible_types.json").read_text(encoding="utf-8"))["possibleTypes"]
    assert {name: set(types) for name, types in committed.items()} == {
        name: {possible.name for possible in schema.get_possible_types(type)}
        for name, type in schema.type_map.items()
        if is_abstract_type(type) and not name.startswith("__")
    }


def test_editors_find_the_schema_and_the_documents(
    node: Path, project: Path, schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAPHQL_URL", raising=False)
    paths = ["schema/schema.graphql", "web/graphiql/src/App.tsx", "web/graphiql/examples/list.graphql"]
    found = load(node, project, *paths, "app/page.tsx", "README.md")
    assert found["types"] == sorted(name for name in schema.type_map if not name.startswith("__"))
    names = {definition.name.value for definition in definitions() if definition.name is not None}
    assert set(found["documents"]) >= names
    assert found["matches"] == paths
    assert found["endpoint"] == {"url": "http://127.0.0.1:8000/graphql", "introspect": True}


def test_editors_ask_the_service_that_the_environment_names(
    node: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHQL_URL", "https://media.example.com/graphql")
    endpoint = load(node, project)["endpoint"]
    assert endpoint == {"url": "https://media.example.com/graphql", "introspect": True}


def load(node: Path, project: Path, *paths: str) -> dict[str, Any]:
    """What graphql-config's own loader makes of it, and which of the paths it takes for its own."""
    loaded = run(node, "project.mjs", project, *paths)
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, Any] = json.loads(loaded.stdout)
    return found
