"""An asyncio service whose concurrent tasks belong to different tenants.

`use_tenant` keeps the tenant in the OpenTelemetry context, and every asyncio task has a context of its own: tasks that
take turns on one thread never see each other's tenant, and a task started inside the block inherits it.
"""

import asyncio
import contextlib
import logging
import os
from collections import Counter

from opentelemetry import trace

from otelwarden.pipeline import configure
from otelwarden.tenancy import use_tenant
from otelwarden.testing import FaultyReceiver

TENANTS = ("acme", "globex", "initech")
log = logging.getLogger("example")


async def fetch(job: str) -> None:
    """A part of a job; knows nothing of tenants."""
    with trace.get_tracer("example").start_as_current_span(f"fetch for {job}"):
        await asyncio.sleep(0.002)  # the others run meanwhile
        log.warning("fetched for %s", job)


async def handle(tenant: str, number: int) -> None:
    """A job: says whose it is once, at the door."""
    job = f"{tenant}/{number}"
    with use_tenant(tenant), trace.get_tracer("example").start_as_current_span(f"job {job}"):
        await asyncio.gather(fetch(job), fetch(job))


async def serve() -> None:
    """Many jobs of all tenants at once."""
    await asyncio.gather(*(handle(tenant, number) for number in range(20) for tenant in TENANTS))


def main() -> None:
    """Serves, and shows that no item went to the wrong tenant."""
    with contextlib.ExitStack() as stack:
        receiver = None
        endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint is None:
            receiver = stack.enter_context(FaultyReceiver())
            endpoint = receiver.grpc_endpoint
        # A configuration may be given as a mapping, too: here any tenant passes, and spans and logs leave.
        pipeline = {"processors": ["tenancy"], "exporters": ["failover"]}
        warden = configure(
            {
                "processors": {"tenancy": {"unknown": "pass"}},
                "exporters": {"failover": {"endpoints": [{"url": endpoint}]}},
                "service": {"pipelines": {"traces": pipeline, "logs": pipeline}},
            }
        )
        asyncio.run(serve())
        warden.shutdown()
        if receiver is None:
            return
        items = [(span.name, span.attributes["tenant.id"]) for span in receiver.spans()]
        items += [(record.body, record.attributes["tenant.id"]) for record in receiver.log_records()]
        for tenant, count in sorted(Counter(tag for _, tag in items).items()):
            print(f"{tenant}: {count} spans and log records")
        print(f"tagged with another tenant: {sum(f'{tag}/' not in what for what, tag in items)}")


if __name__ == "__main__":
    main()
