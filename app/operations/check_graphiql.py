"""GraphiQL: whether its files are there while it is to be shown."""

from app.graphiql_page import missing_files
from app.operations.findings import Finding, ok, problem
from app.settings import Settings


async def check(settings: Settings) -> list[Finding]:
    if not settings.graphiql:
        return [ok("graphiql", "GraphiQL is switched off (DARKROOM_GRAPHIQL=0).")]
    if missing := missing_files():
        advice = "Restore the checkout, or set DARKROOM_GRAPHIQL=0; `serve` refuses to start like this."
        return [problem("graphiql", f"GraphiQL's file {missing[0]} is missing.", advice)]
    return [ok("graphiql", "GraphiQL's page is there, with all files that it names.")]
