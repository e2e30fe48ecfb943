"""How much telemetry each tenant may send."""

from otelwarden.quota.amounts import Amount, Budgets
from otelwarden.quota.config import Exempt, QuotaConfig
from otelwarden.quota.limiter import QuotaLimiter, Usage
from otelwarden.quota.limits import MetricLimits, SignalLimits, TenantLimits
from otelwarden.quota.logs import QuotaLogRecordProcessor
from otelwarden.quota.meters import BudgetLimit, LimitStatus, Meter, MeterKey, RateLimit
from otelwarden.quota.metrics import QuotaMetricReader
from otelwarden.quota.notice import DropNotices
from otelwarden.quota.reader import read_usage
from otelwarden.quota.reserveconfig import ReserveConfig
from otelwarden.quota.reservespans import ErrorReserveSpanProcessor
from otelwarden.quota.sampler import QuotaSampler
from otelwarden.quota.series import SeriesLimiter, SeriesUsage
from otelwarden.quota.spans import QuotaSpanProcessor
from otelwarden.quota.store import MemoryStore, Store, open_store
from otelwarden.quota.storeconfig import StoreConfig
from otelwarden.quota.usageconfig import UsageConfig
from otelwarden.quota.usageevents import UsageSum, Used
from otelwarden.quota.usageexport import UsageExport
from otelwarden.quota.usagesinks import UsageSink, read_usage_events

__all__ = [
    "Amount",
    "BudgetLimit",
    "Budgets",
    "DropNotices",
    "ErrorReserveSpanProcessor",
    "Exempt",
    "LimitStatus",
    "MemoryStore",
    "Meter",
    "MeterKey",
    "MetricLimits",
    "QuotaConfig",
    "QuotaLimiter",
    "QuotaLogRecordProcessor",
    "QuotaMetricReader",
    "QuotaSampler",
    "QuotaSpanProcessor",
    "RateLimit",
    "ReserveConfig",
    "SeriesLimiter",
    "SeriesUsage",
    "SignalLimits",
    "Store",
    "StoreConfig",
    "TenantLimits",
    "Usage",
    "UsageConfig",
    "UsageExport",
    "UsageSink",
    "UsageSum",
    "Used",
    "open_store",
    "read_usage",
    "read_usage_events",
]
