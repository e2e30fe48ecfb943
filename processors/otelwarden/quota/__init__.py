"""How much telemetry each tenant may send."""

from otelwarden.quota.config import QuotaConfig, SignalLimits, TenantLimits
from otelwarden.quota.limiter import QuotaLimiter, Usage
from otelwarden.quota.logs import QuotaLogRecordProcessor
from otelwarden.quota.metrics import QuotaMetricReader
from otelwarden.quota.sampler import QuotaSampler
from otelwarden.quota.spans import QuotaSpanProcessor
from otelwarden.quota.store import Bucket, MemoryStore, Store

__all__ = [
    "Bucket",
    "MemoryStore",
    "QuotaConfig",
    "QuotaLimiter",
    "QuotaLogRecordProcessor",
    "QuotaMetricReader",
    "QuotaSampler",
    "QuotaSpanProcessor",
    "SignalLimits",
    "Store",
    "TenantLimits",
    "Usage",
]
