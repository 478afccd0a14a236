"""Bring what is ours into a Grafana that exists, over HTTP, and leave what is not ours alone (decision 0024)."""
