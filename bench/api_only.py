"""The API without a worker: `python -m bench.api_only`, with the settings that `python -m app serve` has.

What is queued stays queued: so the time of this process is that of answering, and of nothing else.
"""

import uvicorn
import uvloop

from app.asgi import create_app
from app.logs import configure_logs
from app.runtime import open_runtime
from app.settings import Settings, read_settings


async def serve(settings: Settings) -> None:
    async with open_runtime(settings) as runtime, runtime.feed.running():
        config = uvicorn.Config(
            create_app(runtime),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    chosen = read_settings()
    configure_logs(chosen.log_level)
    uvloop.run(serve(chosen))
