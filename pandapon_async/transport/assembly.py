"""Put a client's pipeline together: the quota and the journal that its settings name, and what it shares."""

from __future__ import annotations

import aiohttp

from pandapon_async.core.retry import RetryBudget
from pandapon_async.environment import tell
from pandapon_async.events import Observed
from pandapon_async.journal import selection
from pandapon_async.journal.identity import Writer
from pandapon_async.settings import Credentials, Settings
from pandapon_async.transport.calls import CallRegistry
from pandapon_async.transport.foreign_limiter import limiter_of
from pandapon_async.transport.pipeline import Pipeline, Statistics
from pandapon_async.transport.rate_limiter import ConcurrencyLimiter, Limiter
from pandapon_async.transport.server_time import ServerTime
from pandapon_async.transport.session import Session
from pandapon_async.transport.wait_queue import CancellableTimers

__all__ = ["pipeline_of"]


def pipeline_of(
    credentials: Credentials, settings: Settings, session: aiohttp.ClientSession | None
) -> Pipeline:
    """Return the pipeline of a new client; a `session` that is passed in is used and left open."""
    clock = settings.clock
    limiter = _limiter_of(credentials, settings)
    pipeline = Pipeline(
        credentials=credentials,
        settings=settings,
        session=Session(session),
        limiter=limiter,
        slots=ConcurrencyLimiter(settings.concurrency, clock),
        budget=RetryBudget(settings.retry.budget),
        timers=CancellableTimers(clock),
        server_time=ServerTime(clock),
        statistics=Statistics(),
        journal=selection.select_journal(credentials, settings),
        writer=Writer.of(credentials, settings),
        calls=CallRegistry(clock),
        observed=Observed.of(settings.observer),
    )
    pipeline.statistics.watch(limiter)
    return pipeline


def _limiter_of(credentials: Credentials, settings: Settings) -> Limiter:
    """The limiter that the settings name: the one passed in, the shared database's, or a new one."""
    if settings.shared is None:
        return limiter_of(settings)
    if settings.limiter is not None:
        tell(f"the limiter passed in is used, not the quota in {settings.shared}")
        return limiter_of(settings)
    # Imported here: most programs are one process and do not need it.
    from pandapon_async.transport.shared_limiter import shared_limiter_of

    return shared_limiter_of(credentials, settings)
