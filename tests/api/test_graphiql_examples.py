"""The documents of GraphiQL's example tabs, read from the files that the page is built of."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, OperationType, parse

from app.settings import CHECKOUT
from tests.api.client import Client, Json
from tests.api.conftest import OwnService


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    text: str
    variables: Json

    @classmethod
    def read(cls, path: Path) -> "Example":
        beside = path.with_suffix(".variables.json")
        variables = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
        return cls(name=path.stem, text=path.read_text(encoding="utf-8"), variables=variables)

    @property
    def operations(self) -> dict[str, OperationType]:
        """By name, from which a tab has its title."""
        found = [node for node in parse(self.text).definitions if isinstance(node, OperationDefinitionNode)]
        return {node.name.value if node.name else "": node.operation for node in found}


FOLDER = CHECKOUT / "web" / "graphiql" / "examples"
EXAMPLES = [Example.read(path) for path in sorted(FOLDER.glob("*.graphql"))]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_an_example_works_on_a_service_that_nobody_has_used(own: OwnService, example: Example) -> None:
    for name, kind in example.operations.items():
        if kind is OperationType.SUBSCRIPTION:
            await follow(own.client, example)
        else:
            await run(own.client, example, name)


async def run(client: Client, example: Example, operation: str) -> None:
    body = {"query": example.text, "variables": example.variables, "operationName": operation}
    answer = (await client.post(body)).json()
    assert "errors" not in answer, answer
    assert [payload for payload in answer["data"].values() if payload.get("userErrors")] == []


async def follow(client: Client, example: Example) -> None:
    """Its cursor comes first, and then what happens."""
    async with client.socket() as socket:
        followed = await socket.subscribe(example.text, **example.variables)
        assert (await socket.event(followed))["type"] == "CURSOR"
        await client.request()
        assert (await socket.event(followed))["type"] == "CREATED"


def test_every_kind_of_operation_has_an_example() -> None:
    kinds = {kind for example in EXAMPLES for kind in example.operations.values()}
    assert kinds == set(OperationType)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_names_its_operations_and_fits_into_the_editor(example: Example) -> None:
    assert example.operations
    assert "" not in example.operations
    assert max(map(len, example.text.splitlines())) <= 54
