"""Delivers what is in a spool, without the application that wrote it."""

from __future__ import annotations

from otelwarden.core import SIGNALS, Balance, Deadline, Runtime, Signal, total
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.delivery import Delivery
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.terms import TenantTerms


def drain(config: FailoverConfig, *, timeout: float, runtime: Runtime | None = None) -> dict[Signal, Balance]:
    """Sends what dead processes left in the spool of `config` to its endpoints.

    Streams of living processes are left to them, and batches for which it matters what is recorded about their tenants
    to a process that knows the tenants.

    Args:
        timeout: seconds for each signal; what is not sent by then stays.

    Returns:
        For each signal the account: `received` is what was taken over, `left_in_spool` what is still there.

    Raises:
        ConfigError: the spool or its key cannot be used.
    """
    runtime = runtime or Runtime()
    pool = EndpointPool(config=config, runtime=runtime)
    done: dict[Signal, Balance] = {}
    for signal in SIGNALS:
        delivery = Delivery(signal, pool, config, runtime, TenantTerms(config.headers))
        delivery.replay(Deadline(timeout))
        delivery.shutdown(Deadline(timeout))
        done[signal] = total(runtime.balances(), "failover", signal)
    return done
