"""Grafana dashboards and rules, made from `source`; see README.md."""
