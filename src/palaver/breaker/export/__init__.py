"""Exporters of breaker metrics. Both read snapshots when somebody collects, so a call costs nothing more than
without."""
