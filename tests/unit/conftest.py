"""How hypothesis runs here: no test fails because the machine is slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("timesync", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("timesync")
