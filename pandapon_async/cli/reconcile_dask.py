"""`pandapon reconcile --dask [ADDRESS]`: run the job on a Dask cluster, a new or an existing one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import reconcile as job
from pandapon_async.cli.output import progress
from pandapon_async.cli.parsing import HERE
from pandapon_async.config_file import CONFIG
from pandapon_async.environment import ACCOUNT, by_option
from pandapon_async.errors import ConfigurationError

__all__ = ["DaskOptions", "reconcile_on_dask"]

SHARED = "PANDAPON_SHARED"
MOST_WORKERS = 4
NO_DASK = "--dask needs Dask: pip install 'pandapon-async[dask]'"
CONNECT_WITHIN = 15.0


@attrs.frozen(kw_only=True)
class DaskOptions:
    """The options of --dask."""

    address: str
    parts: int | None = None
    workers: int | None = None
    by_account: bool = False


async def reconcile_on_dask(
    ledger: Path, out: Path, dask: DaskOptions, options: job.Options, settings: dict[str, Any]
) -> job.Summary:
    """Run the job on a cluster."""
    said = {name: value for name, value in settings.items() if name != "concurrency"}  # options say it
    async with _client(dask) as client:
        return await job.reconcile_on(
            client,
            ledger,
            out,
            account=os.environ.get(ACCOUNT),
            config=os.environ.get(CONFIG),
            options=options,
            parts=dask.parts,
            by_account=dask.by_account,
            progress=progress(),
            **said,
        )


@contextlib.asynccontextmanager
async def _client(dask: DaskOptions) -> AsyncIterator[Any]:
    try:
        distributed: Any = importlib.import_module("dask.distributed")
        security: Any = importlib.import_module("distributed.security")
    except ImportError:
        raise ConfigurationError(NO_DASK) from None
    if dask.address == HERE:
        async with _own_cluster(distributed, security, dask.workers) as client:
            yield client
        return
    known = "scheduler_file" if dask.address.endswith(".json") else "address"
    if known == "scheduler_file" and not await asyncio.to_thread(os.path.isfile, dask.address):
        raise ConfigurationError(f"--dask {dask.address}: there is no such file of a scheduler")
    try:
        client = await distributed.Client(
            **{known: dask.address}, asynchronous=True, timeout=CONNECT_WITHIN, set_as_default=False
        )
    except (OSError, ValueError, TypeError) as error:
        # The client that could not connect is still to be collected, and complains of itself then.
        warnings.filterwarnings("ignore", "coroutine 'Client._close'", RuntimeWarning)
        raise ConfigurationError(
            f"no Dask scheduler answers at {dask.address} ({type(error).__name__}); check that it runs "
            "and that Dask's own configuration has its TLS settings"
        ) from None
    async with client:
        yield client


@contextlib.asynccontextmanager
async def _own_cluster(distributed: Any, security: Any, workers: int | None) -> AsyncIterator[Any]:
    """Start a cluster on this machine, for this run only, because a scheduler's clients can run code."""
    try:
        keys = security.Security.temporary()
    except ImportError:
        raise ConfigurationError(NO_DASK) from None
    count = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    with _as_variable(by_option.get().get("shared")):
        async with _begun(distributed, keys, count) as client:
            yield client


@contextlib.contextmanager
def _as_variable(shared: str | None) -> Iterator[None]:
    """What --shared said, for the processes of a cluster of our own; others find it where they are."""
    before = os.environ.get(SHARED)
    if shared is not None:
        os.environ[SHARED] = shared
    try:
        yield
    finally:
        if shared is not None and before is not None:
            os.environ[SHARED] = before
        elif shared is not None:
            del os.environ[SHARED]


@contextlib.asynccontextmanager
async def _begun(distributed: Any, keys: Any, count: int) -> AsyncIterator[Any]:
    async with (
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls://",
            security=keys,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        ) as cluster,
        distributed.Client(cluster, asynchronous=True, set_as_default=False) as client,
    ):
        yield client
