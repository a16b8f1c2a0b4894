"""Registrar for asyncio: the calls of `registrar.Registry`, awaited.

    from registrar import aio

    async with aio.connect() as registry:
        version = await registry.get("churn@champion")
        async for model in registry.models():
            print(model)

Names, arguments, results and errors are those of `registrar`; lists are asynchronous iterators. What moves files
works in threads of its own, and never in the event loop.
"""

from registrar.aio.client import Registry, connect

__all__ = ["Registry", "connect"]
