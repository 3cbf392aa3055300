"""`quota` beside a running service: what it shows, and what it sets for one user."""

from tests import pictures
from tests.operations.commands import Operations
from tests.service.client import Client
from tests.service.service import Service

QUOTA = "{ viewer { usedBytes quotaBytes } }"


async def test_a_quota_is_set_shown_and_taken_back(
    service: Service, client: Client, operations: Operations
) -> None:
    picture = pictures.jpeg()
    await client.upload(picture, anew=False)

    async def run(*arguments: str) -> dict[str, object]:
        said = await operations.run("quota", *arguments, "--json", DARKROOM_DATA_DIR=str(service.data_dir))
        assert said.code == 0, said.stderr
        return said.document

    free = {"user": "local", "usedBytes": len(picture), "quotaBytes": None, "own": False}
    assert await run() == free
    assert await run("local", "5000000000") == {**free, "quotaBytes": 5_000_000_000, "own": True}
    assert (await client.ask(QUOTA))["viewer"] == {
        "usedBytes": len(picture),
        "quotaBytes": 5_000_000_000,
    }
    assert await run("local", "none") == free
    said = await operations.run("quota", DARKROOM_DATA_DIR=str(service.data_dir))
    assert said.stdout == f"local: {len(picture):,} bytes used, no quota\n"


async def test_what_cannot_be_is_refused(service: Service, operations: Operations) -> None:
    numbers = "BYTES must be a number of bytes up to 9,223,372,036,854,775,807, or none."
    for arguments, sentence in (
        (("nobody",), "There is no user 'nobody'."),
        (("nobody", "1"), "There is no user 'nobody'."),
        (("local", "many"), numbers),
        (("local", str(2**63)), numbers),
    ):
        said = await operations.run("quota", *arguments, DARKROOM_DATA_DIR=str(service.data_dir))
        assert (said.code, said.stderr) == (1, f"{sentence}\n")
