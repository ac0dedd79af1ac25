"""Telemetry that is on. Only ``worker.telemetry`` imports it, when there is something to send: it loads all of OpenTelemetry."""
