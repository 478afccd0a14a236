"""Readings come in: MQTT, a journal on disk, decoders, the store; what cannot be used goes to quarantine."""
