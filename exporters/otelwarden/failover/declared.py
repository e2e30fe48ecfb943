"""The exporters as the SDK makes them by their name, `failover`: by environment, or in a declarative configuration.

Without arguments their endpoints are those of the environment. In the SDK's declarative file what stands below the name
is given as arguments, which are the options of failover as in a configuration of ours.
"""

from __future__ import annotations

from typing import Any

from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.logs import FailoverLogRecordExporter
from otelwarden.failover.metrics import FailoverMetricExporter
from otelwarden.failover.spans import FailoverSpanExporter


class DeclaredSpanExporter(FailoverSpanExporter):
    """A `FailoverSpanExporter` made of options.

    Raises ConfigError with everything that is wrong with them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(config=FailoverConfig.from_mapping(options))


class DeclaredLogRecordExporter(FailoverLogRecordExporter):
    """A `FailoverLogRecordExporter` made of options.

    Raises ConfigError with everything that is wrong with them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(config=FailoverConfig.from_mapping(options))


class DeclaredMetricExporter(FailoverMetricExporter):
    """A `FailoverMetricExporter` made of options.

    Raises ConfigError with everything that is wrong with them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(config=FailoverConfig.from_mapping(options))
