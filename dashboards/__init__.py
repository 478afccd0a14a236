"""Grafana as code: data sources, provider and boards, written as the files that Grafana reads at its start."""
