"""Run the measurements: `python -m bench [NAME|all]`, each by the name that it has in `BENCHMARKS`.

Everything happens on the loopback interface, in a temporary data directory, and is gone afterwards.
"""

import argparse
import asyncio
import io
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import event_order, image_chain, live, page, pages, picture, signing, transfer, uploads
from bench.report import Result, conditions
from bench.service import Installation, installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int | None
    media: int
    megabytes: int


async def run_page(home: Installation, options: Options) -> Result:
    return await page.measure(home, rounds=options.rounds or 5, media=options.media)


async def run_pages(home: Installation, options: Options) -> Result:
    return await pages.measure(home, rounds=options.rounds or 41)


async def run_picture(home: Installation, options: Options) -> Result:
    return await picture.measure(home, rounds=options.rounds or 5)


async def run_uploads(home: Installation, options: Options) -> Result:
    return await uploads.measure(home, rounds=options.rounds or 5)


async def run_live(home: Installation, options: Options) -> Result:
    return await live.measure(home, rounds=options.rounds or 5)


async def run_images(home: Installation, options: Options) -> Result:
    return await asyncio.to_thread(image_chain.measure, home.directory, rounds=options.rounds or 5)


async def run_signing(home: Installation, options: Options) -> Result:
    return await asyncio.to_thread(signing.measure, rounds=options.rounds or 101)


async def run_transfer(home: Installation, options: Options) -> Result:
    return await transfer.measure(home, rounds=options.rounds or 3, byte_size=options.megabytes * 1_000_000)


async def run_order(home: Installation, options: Options) -> Result:
    with redirect_stdout(io.StringIO()) as printed:
        await event_order.main(home.database_url)
    return Result(
        title="order: three ways to read one log (docs/decisions/0002)", method=printed.getvalue().strip()
    )


BENCHMARKS: dict[str, Callable[[Installation, Options], Awaitable[Result]]] = {
    "page": run_page,
    "pages": run_pages,
    "picture": run_picture,
    "uploads": run_uploads,
    "live": run_live,
    "images": run_images,
    "signing": run_signing,
    "transfer": run_transfer,
    "order": run_order,
}


async def run(names: Sequence[str], options: Options) -> dict[str, object]:
    """One after the other, each in an installation of its own; returns what there is to keep."""
    began, facts, results = time.monotonic(), dict[str, str](), dict[str, Result]()
    for name in names:
        sys.stderr.write(f"{name} …\n")
        async with installation() as home:
            if not facts:
                facts = conditions(home.postgres_version)
                print("# Benchmarks of Darkroom\n")
                print("\n".join(f"- {fact}: {value}" for fact, value in facts.items()))
            results[name] = await BENCHMARKS[name](home, options)
        print(f"\n{results[name].markdown()}", flush=True)
    print(f"\nIt took {time.monotonic() - began:.0f} s. How to read this: docs/benchmarks.md")
    return {"conditions": facts, "results": {name: asdict(result) for name, result in results.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Darkroom.")
    parser.add_argument(
        "name", nargs="?", choices=[*BENCHMARKS, "all"], default="all", help="what to measure (default: all)"
    )
    parser.add_argument("--rounds", type=_at_least(2), help="repetitions of everything but order")
    parser.add_argument(
        "--media", type=_at_least(2_000), default=10_000, help="size of page's library (default: 10000)"
    )
    parser.add_argument(
        "--megabytes", type=_at_least(105), default=1_000, help="size of transfer's file (default: 1000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    arguments = parser.parse_args()
    if not Path("/proc/self/stat").exists():
        raise SystemExit("These benchmarks read the time of processes from /proc: run them on Linux.")
    names = list(BENCHMARKS) if arguments.name == "all" else [arguments.name]
    options = Options(rounds=arguments.rounds, media=arguments.media, megabytes=arguments.megabytes)
    report = asyncio.run(run(names, options))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


if __name__ == "__main__":
    main()
